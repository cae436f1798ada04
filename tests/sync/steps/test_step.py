"""Steps over many paths: in slices and batches, with a real agent; and saves that go past them."""

from __future__ import annotations

import asyncio
import os
import random
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.core import batch
from sidecar.errors import SidecarError
from sidecar.sync.delta import pressing
from sidecar.sync.steps.step import FEW, MOST_BATCHES, SLICE, SLICE_BYTES
from sidecar.sync.trees.here import Here
from tests.sync.sides import DEADLINE, Sides

MANY = 4 * SLICE + 10


@pytest.fixture
async def sides(tmp_path: Path) -> AsyncIterator[Sides]:
    made = Sides(tmp_path)
    yield made
    await made.end()


class Gate:
    """Lets so many slices be read, and the next one only when `open` is called."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, free: int) -> None:
        self.read: list[int] = []
        """Bytes of each slice that was read."""
        self._free, self._opened = free, threading.Event()
        self._before = Here.read_some
        monkeypatch.setattr(Here, "read_some", lambda *given: self._read_some(*given))

    def open(self) -> None:
        self._opened.set()

    def _read_some(self, *given: Any) -> Any:
        if len(self.read) >= self._free:
            assert self._opened.wait(DEADLINE)
        read = self._before(*given)
        self.read.append(sum(len(getattr(one, "data", b"") or b"") for _, one in read))
        return read


def fill(sides: Sides, word: str, count: int = MANY) -> dict[str, bytes]:
    tree = {f"pkg{n % 7}/m{n:04}.py": f"{word} = {n}\n".encode() * 20 for n in range(count)}
    for path, content in tree.items():
        sides.write(path, content)
    return tree


async def test_a_tree_of_many_files_arrives(sides: Sides) -> None:
    tree = fill(sides, "x")
    tree["large.bin"] = bytes(range(256)) * 8000
    tree["middle.bin"] = bytes(range(256)) * 900
    for path in ("large.bin", "middle.bin"):
        sides.write(path, tree[path])
    (sides.here / "pkg0/link").symlink_to("m0000.py")
    (sides.here / "empty").mkdir()
    await sides.begin(watch=False)
    await sides.attach()
    assert sides.tree_there() == {**tree, "pkg0/link": tree["pkg0/m0000.py"]}
    assert (sides.there / "empty").is_dir()
    assert await sides.lists_are_equal()
    again = await sides.engine.sync()
    assert (again.sent, again.removed) == (0, 0)


@pytest.fixture
def far_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes up is pressed, as on a slow line."""
    monkeypatch.setattr(pressing, "LEVELS", (5, 5, 5))


def edited(sides: Sides, tree: dict[str, bytes]) -> dict[str, bytes]:
    """One line of each file is another, and none as long as it was."""
    after = {path: b"first = 100\n" + content for path, content in tree.items()}
    for path, content in after.items():
        sides.write(path, content)
    return after


def noise(sides: Sides) -> dict[str, bytes]:
    """As many files as are a batch, of which compression alone leaves much."""
    tree = {f"pkg/m{n}.py": random.Random(n).randbytes(2000).hex().encode() for n in range(FEW + 9)}
    for path, content in tree.items():
        sides.write(path, content)
    return tree


@pytest.mark.usefixtures("far_away")
async def test_of_what_replaces_what_was_sent_only_the_difference_goes(sides: Sides) -> None:
    tree = noise(sides)
    await sides.begin(watch=False)
    await sides.attach()
    after = edited(sides, tree)
    result = await sides.engine.sync()
    assert sides.tree_there() == after
    assert result.sent == len(after)
    assert result.bytes_sent < sum(map(len, after.values())) / 10


@pytest.mark.usefixtures("far_away")
async def test_where_a_difference_does_not_fit_all_of_the_file_goes(sides: Sides) -> None:
    tree = noise(sides)
    await sides.begin(watch=False)
    await sides.attach()
    touched = next(iter(tree))
    os.utime(sides.there / touched, ns=(1, 1))  # the same content, but nobody knows yet
    after = edited(sides, tree)
    await sides.engine.sync()
    assert sides.tree_there() == after
    assert not sides.engine.notes
    assert await sides.lists_are_equal()


async def test_a_switched_branch_arrives_as_a_whole(sides: Sides) -> None:
    tree = fill(sides, "x")
    await sides.begin(watch=False)
    await sides.attach()
    for path in list(tree)[:50]:
        (sides.here / path).unlink()
        del tree[path]
    (sides.here / "pkg3").rename(sides.here / "moved")
    tree = {path.replace("pkg3/", "moved/"): content for path, content in tree.items()}
    sides.write("pkg3", "a file now\n")
    for n, path in enumerate(tree):
        if n % 3:
            tree[path] = sides.write(path, f"y = {n}\n").read_bytes()
    tree["pkg3"] = b"a file now\n"
    result = await sides.engine.sync(prefer="local")
    assert sides.tree_there() == tree
    assert result.removed > 50
    assert await sides.lists_are_equal()


async def test_a_save_goes_past_a_long_step(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = fill(sides, "x")
    await sides.begin(watch=False)
    gate = Gate(monkeypatch, free=2)
    attaching = asyncio.create_task(sides.attach())
    await sides.until(lambda: len(gate.read) == 2 and sides.engine.queued)
    for path in ("pkg0/m0000.py", "pkg6/m0006.py", "new.py"):  # sent, yet to be read, not known
        tree[path] = b"saved = True\n"
        saved = sides.write(path, tree[path])
        sides.engine.saved([str(saved)])
        await sides.until(lambda path=path: any(path in one.paths for one in sides.synced))
        assert (sides.there / path).read_bytes() == tree[path]
    assert not attaching.done()
    assert len(gate.read) == 2
    gate.open()
    await asyncio.wait_for(attaching, DEADLINE)
    assert sides.tree_there() == tree


async def test_no_more_is_held_in_memory_than_some_slices(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(40):
        sides.write(f"data/{n}.bin", bytes([n]) * (900 << 10))
    fill(sides, "x")
    await sides.begin(watch=False)
    gate = Gate(monkeypatch, free=1000)
    await sides.attach()
    assert max(gate.read) <= SLICE_BYTES + batch.LARGEST
    assert len(gate.read) > 2 * MOST_BATCHES
    assert len(sides.tree_there()) == 40 + MANY


async def test_after_a_cut_each_file_is_old_or_new_and_then_new(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = fill(sides, "old")
    await sides.begin(watch=False)
    await sides.attach()
    new = fill(sides, "new")
    gate = Gate(monkeypatch, free=2)  # else a quick sync is over before the cut
    syncing = asyncio.create_task(sides.engine.sync())
    await sides.until(lambda: (sides.there / "pkg0/m0000.py").read_bytes() == new["pkg0/m0000.py"])
    await sides.cut(9)
    gate.open()
    with pytest.raises(SidecarError):
        await syncing
    now = sides.tree_there()
    assert now.keys() == old.keys()
    assert all(content in (old[path], new[path]) for path, content in now.items())
    await sides.attach()
    assert sides.tree_there() == new
    assert sides.notes() == {}


async def test_what_is_to_be_asked_about_is_asked_for_the_whole_step(sides: Sides) -> None:
    sides.write("small.py", "x\n")
    await sides.begin(watch=False, ask_above=200_000)
    await sides.attach()
    fill(sides, "x" * 50)
    await sides.engine.sync()
    assert set(sides.tree_there()) == {"small.py"}
    assert set(sides.notes().values()) == {"waiting"}
