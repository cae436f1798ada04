"""A save of a 12 KB file in a project of 2,000: from the editor's `didSave` to the new content
on the remote. Beside it, in the same run, rsync over a connection that stands."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path

from bench.figures import Figure, spread
from bench.line import Line
from bench.remote import HOST, Remote, remote
from sidecar.demo.editor import Editor

FILES = 2000
SIZE = 12_000
PATIENCE = 30.0


def measure(line: Line | None, name: str, rounds: int = 40) -> list[Figure]:
    with remote(line) as box:
        _fill(box.project)
        editor = Editor(box.project, box.environ, box.prefix)
        try:
            editor.open()
            editor.wait_for("sidecar/didChangeStatus", lambda health: health["state"] == "ready")
            path = box.project / "pkg7" / "module3.py"
            ours = [
                milliseconds(path, box.there / "pkg7" / "module3.py", lambda: editor.save(path))
                for _ in range(rounds)
            ]
        finally:
            editor.close()
        with box.master() as ssh:
            theirs = [_rsync(box, ssh) for _ in range(max(3, rounds // 4))]
    return [
        spread(f"save → visible, {name}: sidecar", ours, "ms"),
        spread(f"save → visible, {name}: rsync over a ControlMaster", theirs, "ms"),
    ]


def _fill(project: Path) -> None:
    choice = random.Random(1)
    for folder in range(40):
        place = project / f"pkg{folder}"
        place.mkdir()
        for number in range(FILES // 40):
            (place / f"module{number}.py").write_text(source(choice))


def source(choice: random.Random) -> str:
    """Text that compresses about as source code does."""
    words = ["def", "return", "self", "value", "import", "for", "in", "not", "None", "index"]
    text = ""
    while len(text) < SIZE:
        text += f"    {choice.choice(words)} {choice.choice(words)}_{choice.randrange(10**6)}\n"
    return text[:SIZE]


def milliseconds(path: Path, there: Path, save: Callable[[], None]) -> float:
    """Milliseconds until the content there is the content here."""
    text = path.read_text()
    path.write_text(f"# {time.monotonic_ns()}\n" + text[25:])
    expected = path.read_bytes()
    before = _inode(there)
    began = time.perf_counter()
    save()
    while _inode(there) == before:
        if time.perf_counter() - began > PATIENCE:
            raise RuntimeError("the save does not arrive")
        time.sleep(0.0002)
    took = time.perf_counter() - began
    if there.read_bytes() != expected:
        raise RuntimeError("what arrived is not what was saved")
    return took * 1000


def _inode(path: Path) -> int:
    return os.stat(path).st_ino


def _rsync(box: Remote, ssh: str) -> float:
    path = box.project / "pkg8" / "module3.py"
    there = box.there / "pkg8" / "module3.py"

    def save() -> None:
        box.run("rsync", "-a", "-e", ssh, path, f"{HOST}:project/pkg8/")

    return milliseconds(path, there, save)
