"""`sidecar status` from a shell, and what of it is Python's start."""

from __future__ import annotations

import subprocess
import sys
import time

from bench.results import Result
from bench.run.scene import EDITOR, SIDECAR, SSH, Scene

STATUS = "status, from a shell"
PYTHON = "python -c pass"


def status(scene: Scene) -> list[Result]:
    project = scene.project("status", lambda root: None)
    commands = {
        EDITOR: [*SIDECAR, "status"],
        PYTHON: [sys.executable, "-c", "pass"],
        f"{SSH} -O check": [scene.ssh[0], "-O", "check", *scene.ssh[1:]],
    }
    samples: dict[str, list[float]] = {peer: [] for peer in commands}
    for number in range(-1, scene.rounds * 4):
        for peer, command in commands.items():
            began = time.perf_counter()
            subprocess.run(
                command, env=scene.box.environ, cwd=project.here, check=True, capture_output=True
            )
            if number >= 0:
                samples[peer].append((time.perf_counter() - began) * 1000)
    return [scene.result(STATUS, peer, found) for peer, found in samples.items()]
