"""From Debug to stopped at the first breakpoint."""

from __future__ import annotations

import time

from bench.debug.peers import PROGRAM, checked, fill, ways
from bench.results import Result
from bench.run.scene import Scene

START = "Debug → first breakpoint"


def start(scene: Scene) -> list[Result]:
    project = scene.project("debugged", fill)
    peers = ways(scene, project)
    samples: dict[str, list[float]] = {peer: [] for peer in peers}
    # The first round sends debugpy along and has Python compile it, once for that machine.
    for number in range(-1, scene.rounds):
        for peer, begin in peers.items():
            began = time.perf_counter()
            debugger = begin()
            took = (time.perf_counter() - began) * 1000
            checked(peer, debugger, project.here / PROGRAM)
            debugger.end()
            if number >= 0:
                samples[peer].append(took)
            time.sleep(0.2)
    return [scene.result(START, peer, found) for peer, found in samples.items()]
