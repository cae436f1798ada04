"""Saves while something else wants the line: beside an idle one, in the same run."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

from bench.results import OURS, Result
from bench.sync import trees
from bench.sync.ours import Sidecar
from bench.sync.peers import Copy
from bench.sync.scene import Scene, arrival, looks, seeded

IDLE = "save, idle line"
UPLOAD = "save, 1 GB goes up"
PRINTING = "save, a job prints 13 MB/s"
RATE_ALONE = "upload alone"
RATE_TOGETHER = "upload with saves"

SIZE = 1_000_000_000

PRINTER = "printer.py"
PRINTS = """
import os, time
end = __file__.replace("printer.py", "printer.end")
began = time.monotonic()
while not os.path.exists(end) and time.monotonic() - began < 120:
    os.write(1, b"x" * 65535 + b"\\n")
    time.sleep(0.005)
"""
"""13 MB/s, twice what the line at 80 ms carries, until it is told to end."""

PAUSE = 0.1
"""Seconds between two saves."""


def busy(scene: Scene) -> list[Result]:
    """The upload's rate is what the wire says over a part of it, with and without saves."""
    copy = scene.copy("busy", lambda root: trees.modules(root, 100, 12_000), both=True)
    scene.ours.meet(copy)
    choice = seeded(IDLE)
    count = scene.rounds * 8
    _saves(scene.ours, copy, choice, 3)
    results = [_result(scene, IDLE, _saves(scene.ours, copy, choice, count))]
    with _printing(scene, copy):
        results.append(_result(scene, PRINTING, _saves(scene.ours, copy, choice, count)))
    if scene.box.line is not None and scene.box.line.delay_ms:
        results += _while_uploading(scene, copy, choice, count)
    return results


def _while_uploading(scene: Scene, copy: Copy, choice: random.Random, count: int) -> list[Result]:
    """On a line with a rate: elsewhere 1 GB is up before anything could be measured."""
    file = copy.here / "large.bin"
    with file.open("wb") as out:
        for _ in range(SIZE // 1_000_000):
            out.write(os.urandom(1_000_000))
    scene.ours.begin(copy, file.name)
    _until_it_flows(scene)
    window = 4.0 if scene.quick else 10.0
    before_it = _rate(scene, lambda: time.sleep(window))
    samples: list[float] = []
    together = _rate(scene, lambda: samples.extend(_saves(scene.ours, copy, choice, count)))
    # The better of two: a rate may still grow at first.
    alone = max(before_it, _rate(scene, lambda: time.sleep(window)))
    return [
        _result(scene, UPLOAD, samples),
        Result(RATE_ALONE, scene.link, OURS, "MB/s", (alone,)),
        Result(RATE_TOGETHER, scene.link, OURS, "MB/s", (together,)),
    ]


def _rate(scene: Scene, meanwhile: Callable[[], object]) -> float:
    """MB/s on the wire, towards the remote."""
    before, began = scene.traffic(), time.perf_counter()
    meanwhile()
    return (scene.traffic() - before).up / (time.perf_counter() - began) / 1e6


def _until_it_flows(scene: Scene) -> None:
    deadline = time.monotonic() + 60
    before = scene.traffic().up
    while scene.traffic().up - before < 5_000_000:
        if time.monotonic() > deadline:
            raise RuntimeError("the upload does not begin")
        time.sleep(0.05)
    time.sleep(1)  # slow start is over


@contextlib.contextmanager
def _printing(scene: Scene, copy: Copy) -> Iterator[None]:
    """A job whose output fills the line, followed from a shell. It ends by itself: what a program
    has printed is shown to the end, and this one is ahead of the line."""
    (copy.here / PRINTER).write_text(PRINTS)
    command = [sys.executable, "-m", "sidecar", "run", PRINTER]
    shell = subprocess.Popen(
        command,
        cwd=copy.here,
        env=scene.box.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    drain = None
    try:
        assert shell.stdout is not None
        seen = b""
        while b"x" * 1000 not in seen:
            more = shell.stdout.read(1 << 12)
            if not more:
                raise RuntimeError(f"the job does not print: {seen.decode(errors='replace')}")
            seen = seen[-2000:] + more
        drain = subprocess.Popen(["cat"], stdin=shell.stdout, stdout=subprocess.DEVNULL)
        yield
        if shell.poll() is not None:
            raise RuntimeError("the job ended before the saves did")
    finally:
        (copy.there / PRINTER).with_suffix(".end").touch()
        shell.kill()
        shell.wait()
        if drain is not None:
            drain.wait()


def _saves(peer: Sidecar, copy: Copy, choice: random.Random, count: int) -> list[float]:
    path, there = copy.here / trees.SAVED, copy.there / trees.SAVED
    samples = []
    for _ in range(count):
        before = looks(there)
        trees.save(path, choice)
        began = time.perf_counter()
        peer.begin(copy, trees.SAVED)
        samples.append(arrival(path, there, before, began, peer.name))
        peer.finish(copy, trees.SAVED)
        time.sleep(PAUSE)
    return samples


def _result(scene: Scene, workload: str, samples: list[float]) -> Result:
    return Result(workload, scene.link, OURS, "ms", tuple(samples))
