"""A job that prints as fast as it can to somebody who reads: its rate, and the memory that it
takes on the way. On a line with a rate less is printed, since the line is what it waits for.

What comes through us is hashed, and is to be what was printed; at our rates that takes a fiftieth
of the reader's time. What comes through `ssh` is only counted, so that it is not held up.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench import processes
from bench.results import RATE, Result
from bench.run.scene import SHELL, SSH, Project, Scene

SIZE = {"lan": 1_000_000_000}
SIZE_ON_A_LINE = 32_000_000

PRINTED = "a job prints {}"
MEMORY_OF = "peak memory while "
MEMORY = MEMORY_OF + "{} is printed, {}"

PROGRAM = "flood.py"
FLOOD = """
import os, sys
left = int(sys.argv[1])
block = b"".join(b"%099d\\n" % number for number in range(655))
while left:
    wanted = block[:left]
    while wanted:
        count = os.write(1, wanted)
        left, wanted = left - count, wanted[count:]
"""


def _printed(size: int) -> str:
    """The digest of what the program prints."""
    block = b"".join(b"%099d\n" % number for number in range(655))
    digest = hashlib.sha256()
    while size:
        digest.update(block[:size])
        size -= min(size, len(block))
    return digest.hexdigest()


def named(size: int) -> str:
    return f"{size / 1e9:g} GB" if size >= 1_000_000_000 else f"{size / 1e6:g} MB"


def output(scene: Scene) -> list[Result]:
    project = scene.project("output", _fill)
    size = SIZE.get(scene.link, SIZE_ON_A_LINE)
    if scene.quick:
        size = min(size, 200_000_000)
    rounds = 1 if scene.quick else min(scene.rounds, 2)
    ours, theirs = [], []
    peaks: dict[str, list[float]] = {}
    for _ in range(rounds):
        rate, peak = _ours(scene, project, size)
        ours.append(rate)
        for whose, value in peak.items():
            peaks.setdefault(whose, []).append(value)
        there = f"{project.here.name}/{PROGRAM}"
        command = [*scene.ssh, sys.executable, there, str(size)]
        ssh = subprocess.Popen(command, env=scene.box.environ, stdout=subprocess.PIPE)
        assert ssh.stdout is not None
        first = os.read(ssh.stdout.fileno(), 1 << 16)
        theirs.append(_read_all(ssh, size - len(first)))
    workload = PRINTED.format(named(size))
    return [
        scene.result(workload, SHELL, ours, RATE),
        scene.result(workload, SSH, theirs, RATE),
        *(
            scene.result(MEMORY.format(named(size), whose), "sidecar", found, "MB")
            for whose, found in peaks.items()
        ),
    ]


def _fill(root: Path) -> None:
    (root / PROGRAM).write_text(FLOOD)


def _ours(scene: Scene, project: Project, size: int) -> tuple[float, dict[str, float]]:
    hub, agent = scene.hub(), scene.agent()
    for pid in (hub, agent):
        processes.forget_peak(pid)
    shell = scene.command(
        project, "run", PROGRAM, str(size), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    assert shell.stdout is not None
    first = os.read(shell.stdout.fileno(), 1 << 16)  # it runs
    whose = {"hub": hub, "agent": agent, "sidecar run": shell.pid}
    for pid in _supervisors():
        whose["supervisor"] = pid
    peaks: dict[str, float] = {}

    def look() -> None:
        for name, pid in whose.items():
            peaks[name] = max(peaks.get(name, 0.0), processes.peak_mb(pid))

    digest = hashlib.sha256(first)
    rate = _read_all(shell, size - len(first), look, digest.update)
    if digest.hexdigest() != _printed(size):
        raise RuntimeError("what came is not what was printed")
    return rate, peaks


def _supervisors() -> list[int]:
    """Of what prints now; a spare one has nothing below it."""
    return [
        pid
        for pid in processes.named("sidecar-supervisor")
        if any(PROGRAM in processes.command(child) for child in processes.below(pid))
    ]


def _read_all(
    process: subprocess.Popen[bytes],
    size: int,
    look: Callable[[], None] = lambda: None,
    take: Callable[[bytes], object] = len,
) -> float:
    """MB/s of what comes from now on, all of which `take` gets. `look` is called every 0.2 s."""
    assert process.stdout is not None
    reader = process.stdout.fileno()
    count = 0
    began = looked = time.perf_counter()
    while data := os.read(reader, 1 << 20):
        count += len(data)
        take(data)
        if time.perf_counter() - looked > 0.2:
            look()
            looked = time.perf_counter()
    took = time.perf_counter() - began
    if process.wait() or count != size:
        raise RuntimeError(f"{count} of {size} bytes came, status {process.returncode}")
    return size / took / 1e6
