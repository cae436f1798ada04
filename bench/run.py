"""Save → first output: how soon a run of what was just saved says something."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from bench.figures import Figure, spread
from bench.world import World

RUNS = 20


def measure(world: World) -> list[Figure]:
    """A one-line program, saved and run right behind the save. A bare interpreter's start is in
    it."""
    path = world.write("hello.py", b"print(0)\n")
    editor = world.open()
    times = []
    for number in range(1, RUNS + 1):
        path.write_bytes(b"print(%d)\n" % number)
        began = time.perf_counter()
        editor.save(path)
        job = editor.request("sidecar/run", {"project": str(world.project), "target": str(path)})
        output = editor.wait_for("sidecar/output", _of(job["job"]))
        times.append(time.perf_counter() - began)
        if output["data"].strip() != str(number):
            raise RuntimeError(f"stale code ran: {output['data']!r} instead of {number}")
        editor.wait_for("sidecar/exited", _of(job["job"]))
    return spread("save → first output of a run", times)


def _of(job: str) -> Callable[[dict[str, Any]], bool]:
    return lambda params: bool(params["job"] == job)
