"""Save → visible: from the `didSave` bytes to the new content of the remote file."""

from __future__ import annotations

import random
import time
from functools import partial
from pathlib import Path

from bench.figures import Figure, spread
from bench.world import World

FILES = 2000
SIZE = 12 * 1024
SAVES = 200


def measure(world: World) -> list[Figure]:
    """A 12 KB source file in a project of 2,000 files, one line changed in each save."""
    draw = random.Random(1)
    lines = [b"    value_%04d = compute(%d)" % (number, number) for number in range(SIZE // 32)]
    for number in range(FILES - 1):
        world.write(f"package_{number % 40}/module_{number}.py", b"x = %d\n" % number)
    path = world.write("train.py", b"\n".join(lines))
    editor = world.open()
    there = world.remote / "train.py"
    times, sent = [], 0
    for number in range(SAVES):
        lines[draw.randrange(len(lines))] = b"    value_%04d = other(%d)" % (number, number)
        content = b"\n".join(lines)
        path.write_bytes(content)
        began = time.perf_counter()
        editor.save(path)
        world.until(partial(_holds, there, content))
        times.append(time.perf_counter() - began)
        sent += editor.wait_for("sidecar/synced", lambda one: "train.py" in one["paths"])[
            "bytesSent"
        ]
    return [
        *spread("save → visible, 12 KB of 2,000 files", times),
        Figure("sent for each save", sent / SAVES, "bytes"),
    ]


def _holds(path: Path, content: bytes) -> bool:
    return path.read_bytes() == content
