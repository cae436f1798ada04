"""The trees and files that are synced, and what is done to them. Everything comes from a seed."""

from __future__ import annotations

import base64
import json
import os
import random
import shutil
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path

OURS_ALONE = frozenset({".sidecar", "sidecar.local.toml"})
"""Names that are part of no tree that is compared."""

SAVED = "pkg7/module3.py"
NOTEBOOK = "analysis.ipynb"
LARGE = "data.bin"

LARGE_SIZE = 256 * 1024 * 1024

WORDS = ("def", "return", "self", "value", "import", "for", "not", "None", "index", "print")


def source(choice: random.Random, size: int) -> str:
    """Text that compresses about as source code does."""
    lines: list[str] = []
    length = 0
    while length < size:
        lines.append(_line(choice))
        length += len(lines[-1])
    return "".join(lines)[: size - 1] + "\n"


def _line(choice: random.Random) -> str:
    return f"    {choice.choice(WORDS)} {choice.choice(WORDS)}_{choice.randrange(10**6)}\n"


def modules(root: Path, count: int, size: int) -> Path:
    """A project of so many files, fifty to a folder; the root again."""
    choice = random.Random(1)
    for number in range(count):
        folder = root / f"pkg{number // 50}"
        folder.mkdir(parents=True, exist_ok=True)
        text = source(choice, choice.randrange(size // 2, size * 3 // 2))
        (folder / f"module{number % 50}.py").write_text(text)
    saved = root / SAVED
    saved.parent.mkdir(exist_ok=True)
    saved.write_text(source(choice, 12_000))
    return root


def many(root: Path, count: int = 20_000) -> None:
    """Small files, a hundred to a folder."""
    for number in range(count):
        folder = root / f"part{number // 1000}" / f"sub{number // 100 % 10}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"file{number % 100}.txt").write_text(f"{number}\n" * 20)


def standard_library(root: Path) -> None:
    """This Python's, without caches and what was installed beside it."""
    left_out = shutil.ignore_patterns("__pycache__", "site-packages", "*.pyc", "*.so", "*.a")
    shutil.copytree(sysconfig.get_path("stdlib"), root, ignore=left_out, symlinks=True)


def notebook(root: Path) -> None:
    """3 MB: cells of code, and plots as they are kept in there."""
    choice = random.Random(2)
    cells = [_cell(choice, 70_000 if number % 5 == 0 else 0) for number in range(200)]
    (root / NOTEBOOK).write_text(json.dumps({"cells": cells, "nbformat": 4}, indent=1))


def _cell(choice: random.Random, plot: int) -> dict[str, object]:
    outputs = [{"image/png": base64.b64encode(choice.randbytes(plot * 3 // 4)).decode()}]
    return {
        "cell_type": "code",
        "metadata": {},
        "source": source(choice, 600).splitlines(keepends=True),
        "outputs": outputs if plot else [],
    }


def large(root: Path) -> None:
    """Random, so that no peer's compression helps it."""
    choice = random.Random(3)
    with (root / LARGE).open("wb") as file:
        for _ in range(LARGE_SIZE >> 20):
            file.write(choice.randbytes(1 << 20))


# --- edits; each leaves its file complete


def save(path: Path, choice: random.Random) -> None:
    """A line is written anew, as an editor saves it. The size changes, too: rsync and others go by
    size and whole seconds, and would not see two saves of one size within one."""
    before = path.read_text()
    lines = before.splitlines(keepends=True)
    while (after := "".join(lines)) == before or len(after) == len(before):
        lines[choice.randrange(len(lines))] = _line(choice)
    path.write_text(after)


def insert_cell(path: Path, choice: random.Random) -> None:
    document = json.loads(path.read_text())
    document["cells"].insert(choice.randrange(len(document["cells"])), _cell(choice, 0))
    path.write_text(json.dumps(document, indent=1))


def overwrite(path: Path, choice: random.Random) -> None:
    """1 KB in the middle, in place. The size stays, so it is a later second: see `save`."""
    # The clock of files may be a few milliseconds behind.
    while time.time() < int(path.stat().st_mtime) + 1.05:
        time.sleep(0.05)
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2 + choice.randrange(1 << 20))
        file.write(choice.randbytes(1024))


def append(path: Path, choice: random.Random) -> None:
    with path.open("ab") as file:
        file.write(choice.randbytes(1024))


def insert_in_front(path: Path, choice: random.Random) -> None:
    _rewritten(path, [(0, choice.randbytes(100 + choice.randrange(100)))])


def scatter(path: Path, choice: random.Random) -> None:
    """200 insertions of 10 to 100 bytes."""
    size = path.stat().st_size
    places = sorted(choice.randrange(size) for _ in range(200))
    _rewritten(path, [(at, choice.randbytes(choice.randrange(10, 100))) for at in places])


def _rewritten(path: Path, insertions: list[tuple[int, bytes]]) -> None:
    """Written beside the project and renamed in, as programs do that rewrite large files."""
    old = path.read_bytes()
    new = path.parent.with_name(f"{path.parent.name}.new")
    with new.open("wb") as file:
        done = 0
        for at, data in insertions:
            file.write(memoryview(old)[done:at])
            file.write(data)
            done = at
        file.write(memoryview(old)[done:])
    new.replace(path)


def switch(root: Path, branch: int, *, changed: int = 500, own: int = 100) -> Callable[[], None]:
    """What `git checkout` does to a tree made by `modules`: on every branch other content in the
    same files, and files of its own. Each is unlinked and written. Returns what does it, so that
    thinking it up takes none of its time."""
    new: dict[Path, str] = {}
    for number, path in enumerate(sorted(root.glob("pkg*/*.py"))[:changed]):
        choice = random.Random(branch * 10_000 + number)
        lines = path.read_text().splitlines(keepends=True)
        for _ in range(1 + len(lines) // 20):
            lines[choice.randrange(len(lines))] = _line(choice)
        new[path] = "".join(lines) + "#" * (branch % 7) + "\n"
    for number in range(own):
        choice = random.Random(branch * 20_000 + number)
        new[root / f"only{branch}" / f"new{number}.py"] = source(choice, 5000)
    gone = root / f"only{branch - 1}"

    def do() -> None:
        if gone.exists():
            shutil.rmtree(gone)
        (root / f"only{branch}").mkdir()
        for path, text in new.items():
            path.unlink(missing_ok=True)
            path.write_text(text)

    return do


# --- comparing


def files(root: Path) -> Iterator[str]:
    """All that is compared, as paths below the root."""
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in OURS_ALONE]
        for name in names:
            if name not in OURS_ALONE:
                yield os.path.relpath(os.path.join(folder, name), root)


def difference(here: Path, there: Path) -> str:
    """The first path at which the trees differ, with a word on how; "" where they are the same."""
    ours, theirs = set(files(here)), set(files(there))
    if ours != theirs:
        return f"{min(ours ^ theirs)} is on one side only, with {len(ours ^ theirs) - 1} others"
    for path in sorted(ours):
        if not same(here / path, there / path):
            return f"{path} differs"
    return ""


def same(one: Path, other: Path) -> bool:
    """Content, or the target of a link."""
    if one.is_symlink() or other.is_symlink():
        return one.is_symlink() and other.is_symlink() and os.readlink(one) == os.readlink(other)
    try:
        if one.stat().st_size != other.stat().st_size:
            return False
        with one.open("rb") as left, other.open("rb") as right:
            while data := left.read(1 << 20):
                if data != right.read(len(data)):
                    return False
    except FileNotFoundError:
        return False
    return True
