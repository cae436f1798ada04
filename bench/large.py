"""A large file of which little changed: what goes over the wire, and how long it takes."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

from bench.figures import Figure
from bench.world import World
from sidecar.demo.editor import Editor

SIZE = 256 << 20


def measure(world: World) -> list[Figure]:
    """256 MB without structure: 1 KB overwritten in its middle; then 100 bytes put in front."""
    path = world.write("data.bin", random.Random(2).randbytes(SIZE))
    began = time.perf_counter()
    editor = world.open()
    figures = [Figure("256 MB, first sync", time.perf_counter() - began, "s")]
    with path.open("r+b") as file:
        file.seek(SIZE // 2)
        file.write(os.urandom(1024))
    figures += _saved(world, editor, path, "256 MB, 1 KB changed in the middle")
    path.write_bytes(os.urandom(100) + path.read_bytes())
    figures += _saved(world, editor, path, "256 MB, 100 bytes put in front")
    return figures


def _saved(world: World, editor: Editor, path: Path, name: str) -> list[Figure]:
    began = time.perf_counter()
    editor.save(path)
    told = editor.wait_for("sidecar/synced", lambda one: path.name in one["paths"])
    seconds = time.perf_counter() - began
    if (world.remote / path.name).read_bytes() != path.read_bytes():
        raise RuntimeError(f"{name}: the remote has something else")
    return [Figure(name, seconds, "s"), Figure(f"{name}, sent", told["bytesSent"], "bytes")]
