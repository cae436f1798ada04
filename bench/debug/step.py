"""A step over a line: from the key to the program stopped again."""

from __future__ import annotations

import time

from bench.debug.peers import PROGRAM, checked, fill, ways
from bench.results import Result
from bench.run.scene import Scene

STEP = "a step"
_EACH = 8
"""Steps that count, in every round."""


def step(scene: Scene) -> list[Result]:
    project = scene.project("stepped", fill)
    peers = ways(scene, project)
    samples: dict[str, list[float]] = {peer: [] for peer in peers}
    debuggers = {}
    try:
        for peer, begin in peers.items():
            debuggers[peer] = begin()
            checked(peer, debuggers[peer], project.here / PROGRAM)
            for _ in range(_EACH):
                debuggers[peer].step()
        for _ in range(scene.rounds):
            for peer, debugger in debuggers.items():
                for _ in range(_EACH):
                    time.sleep(0.01)
                    began = time.perf_counter()
                    debugger.step()
                    samples[peer].append((time.perf_counter() - began) * 1000)
    finally:
        for debugger in debuggers.values():
            debugger.end()
    return [scene.result(STEP, peer, found) for peer, found in samples.items()]
