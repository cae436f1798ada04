"""Edits made on the remote are seen by themselves, with a real agent."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.core import identity, messages
from sidecar.sync.watching import lookout
from tests.sync.sides import DEADLINE, Sides

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")


@pytest.fixture
async def sides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sides]:
    monkeypatch.setattr(lookout, "SWEEP_EVERY", 3600.0)  # so that only notices can tell
    made = Sides(tmp_path)
    yield made
    await made.end()


async def watching(sides: Sides, **settings: object) -> None:
    await sides.begin(**settings)
    await sides.attach()
    await asyncio.wait_for(sides.attachment.lookout.looked.wait(), DEADLINE)


async def test_an_edit_made_there_is_noticed(sides: Sides) -> None:
    sides.write("pkg/a.py", "ours")
    await watching(sides)
    sides.write_there("pkg/a.py", "theirs")
    await sides.until(lambda: sides.notes() == {"pkg/a.py": "newer-there"})
    assert (sides.here / "pkg/a.py").read_text() == "ours"


async def test_what_is_undone_there_is_noticed_too(sides: Sides) -> None:
    sides.write("a.py", "ours")
    await watching(sides)
    os.rename(sides.there / "a.py", sides.there / "b.py")
    os.rename(sides.there / "b.py", sides.there / "a.py")
    sides.write_there("a.py", "theirs")
    await sides.until(lambda: "a.py" in sides.notes())
    sides.write_there("a.py", "ours")
    await sides.until(lambda: sides.notes() == {})
    assert await sides.lists_are_equal()


async def test_what_was_deleted_there_is_put_back_soon(sides: Sides) -> None:
    sides.write("pkg/a.py", "ours")
    await watching(sides)
    (sides.there / "pkg/a.py").unlink()
    await sides.until(lambda: sides.tree_there() == {"pkg/a.py": b"ours"})


async def test_what_is_removed_as_a_whole_there_is_not_put_back_file_by_file(
    sides: Sides,
) -> None:
    for number in range(200):
        sides.write(f"pkg{number % 10}/file{number}.py", "ours")
    await watching(sides)
    shutil.rmtree(sides.there)
    await sides.until(lambda: sides.engine.lost is not None)
    assert not sides.there.exists()
    assert not sides.engine.attached


async def test_a_folder_that_is_moved_away_there_is_noticed(sides: Sides) -> None:
    sides.write("a.py", "ours")
    await watching(sides)
    sides.there.rename(sides.home / "aside")
    await sides.until(lambda: sides.engine.lost is not None)
    assert sides.engine.lost.code == "remote-lost"


async def test_files_in_folders_pushed_later_are_noticed(sides: Sides) -> None:
    await watching(sides)
    sides.write("new/deep/a.py", "ours")
    await sides.until(lambda: "new/deep/a.py" in sides.tree_there())
    sides.write_there("new/deep/a.py", "theirs")
    await sides.until(lambda: sides.notes() == {"new/deep/a.py": "newer-there"})


async def test_our_own_saves_cause_no_notice(sides: Sides) -> None:
    await watching(sides)
    told: list[messages.Noticed] = []
    assert sides.agent is not None
    sides.agent.listen(messages.Noticed, None, told.append)  # type: ignore[arg-type]
    for number in range(20):
        sides.write("a.py", f"{number}")
        await sides.until(lambda n=number: sides.tree_there().get("a.py") == b"%d" % n)  # type: ignore[misc]
    sides.write_there("a.py", "theirs")
    await sides.until(lambda: bool(told))
    # On a busy machine theirs may be seen twice, first while it is empty.
    sizes = {there.size for one in told for _, there in identity.unpack(one.body) if there}
    assert sizes <= {0, len("theirs")}


async def test_a_loss_of_notices_means_a_sweep(sides: Sides) -> None:
    sides.write("a.py", "ours")
    await watching(sides)
    there = sides.attachment.there
    there.noticed = lambda entries: []  # the notice of this edit gets lost
    sides.write_there("a.py", "theirs")
    sides.attachment.lookout._noticed(messages.Noticed(there.number, True, identity.pack([])))
    await sides.until(lambda: sides.notes() == {"a.py": "newer-there"})


async def test_a_hostile_notice_changes_nothing(sides: Sides) -> None:
    sides.write("a.py", "ours")
    await watching(sides)
    there = sides.attachment.there
    strange = identity.Identity("f", 0o644, 1, 1, 1, 1)
    for path in ("../a.py", "/etc/passwd", ".sidecar/marker.json", "a\0b", "unknown.py"):
        body = identity.pack([(path, strange)])
        sides.attachment.lookout._noticed(messages.Noticed(there.number, False, body))
    sides.attachment.lookout._noticed(messages.Noticed(there.number, False, b"no list"))
    assert there.differing == {}
    assert sides.engine.attached


async def test_the_watch_stands_again_after_a_cut(sides: Sides) -> None:
    sides.write("a.py", "ours")
    await watching(sides)
    await sides.cut()
    await sides.attach()
    await asyncio.wait_for(sides.attachment.lookout.looked.wait(), DEADLINE)
    sides.write_there("a.py", "theirs")
    await sides.until(lambda: sides.notes() == {"a.py": "newer-there"})
