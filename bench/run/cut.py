"""The connection is cut while a job prints: how long until its output goes on here."""

from __future__ import annotations

import os
import signal
import subprocess
import time

from bench.results import Result
from bench.run.scene import SHELL, Scene

CUT = "a connection is cut → the job's output goes on"
COLD = "ssh, a new connection"

PROGRAM = "counter.py"
COUNTS = """
import time
number = 0
while True:
    print(number, flush=True)
    number += 1
    time.sleep(0.005)
"""


def cut(scene: Scene) -> list[Result]:
    """The sshd that serves the connection is killed, as by a reset; what was printed meanwhile
    comes with the rest, and no number may be missing."""
    project = scene.project("cut", lambda root: (root / PROGRAM).write_text(COUNTS))
    ours, theirs = [], []
    shell = scene.command(project, "run", PROGRAM, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert shell.stdout is not None
    expected = 0
    try:
        for _ in range(scene.rounds):
            enough = time.perf_counter() + 1.0
            while time.perf_counter() < enough:
                expected = _next(shell.stdout.readline(), expected)
            printed = time.time()
            os.kill(scene.session(), signal.SIGKILL)
            began = time.perf_counter()
            # Lines that were on their way come at once; the first after a silence is the new one.
            while True:
                before = time.perf_counter()
                expected = _next(shell.stdout.readline(), expected)
                if time.perf_counter() - before > 0.03 or time.time() - printed > 30:
                    break
            ours.append((time.perf_counter() - began) * 1000)
            cold = ["-o", "ControlPath=none"]
            began = time.perf_counter()
            subprocess.run(
                [scene.ssh[0], *cold, *(w for w in scene.ssh[1:]), "true"],
                env=scene.box.environ,
                check=True,
            )
            theirs.append((time.perf_counter() - began) * 1000)
    finally:
        shell.send_signal(signal.SIGTERM)
        shell.communicate()
    return [scene.result(CUT, SHELL, ours), scene.result(CUT, COLD, theirs)]


def _next(line: bytes, expected: int) -> int:
    if int(line) != expected:
        raise RuntimeError(f"{line!r} came, not {expected}")
    return expected + 1
