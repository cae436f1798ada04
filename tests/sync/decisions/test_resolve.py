"""Decisions and their undoing, over the real agent: what a shell cannot easily bring about."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar import api
from sidecar.core import identity
from sidecar.errors import SyncError, UsageError
from sidecar.sync.decisions import resolve
from sidecar.sync.decisions.resolve import LEAVE, WITHOUT_COPY, Keep, Resolver
from sidecar.sync.decisions.undo import Undo
from sidecar.sync.disk import trash
from sidecar.sync.disk.landing import LocalLanding
from tests.sync.sides import Sides


@pytest.fixture
async def sides(tmp_path: Path) -> AsyncIterator[Sides]:
    made = Sides(tmp_path)
    yield made
    await made.end()


async def met(sides: Sides, mode: str = "push", **files: str) -> None:
    for name, content in {"keep.py": "kept\n", **files}.items():
        sides.write(name, content)
    await sides.begin(watch=False, mode=mode)
    await sides.attach()


async def resolved(
    sides: Sides, keep: Keep, *paths: str, named: bool = True
) -> tuple[list[api.PathNote], list[api.PathNote]]:
    made = Resolver(sides.engine.both_sides())
    names = frozenset(paths) if named else frozenset[str]()
    return await made.resolve(lambda path: path in paths, keep, named=names)


def undo(sides: Sides) -> Undo:
    return Undo(sides.engine.this_side(), sides.engine.both_sides())


async def undone(sides: Sides, *paths: str, side: str = "") -> list[api.Copy]:
    made = undo(sides)
    return await made.restore(await made.chosen((), paths, side))


# --- what is larger than a trash ---------------------------------------------------------------


@pytest.mark.parametrize("answer", [WITHOUT_COPY, LEAVE, None])
async def test_what_the_trash_here_cannot_hold_is_asked_about(
    sides: Sides, monkeypatch: pytest.MonkeyPatch, answer: str | None
) -> None:
    await met(sides, a="one\n")
    sides.write("a", "mine, too large\n")
    sides.write_there("a", "theirs\n")
    monkeypatch.setattr(trash, "MOST_BYTES", 10)
    sides.person.answer = answer
    done, left = await resolved(sides, "remote", "a")
    assert len(sides.person.asked) == 1
    if answer == WITHOUT_COPY:
        assert (sides.here / "a").read_text() == "theirs\n"
        assert ([one.path for one in done], left) == (["a"], [])
        assert sides.engine.trash.entries() == []
    else:
        assert (sides.here / "a").read_text() == "mine, too large\n"
        assert [one.path for one in left] == ["a"]
        assert "too large for the trash" in left[0].text


@pytest.mark.parametrize("answer", [WITHOUT_COPY, None])
async def test_what_the_trash_there_cannot_hold_is_asked_about(
    sides: Sides, answer: str | None
) -> None:
    await met(sides, a="one\n")
    sides.write("a", "mine\n")
    with sides.write_there("a", "theirs\n").open("r+b") as file:
        file.truncate(1_000_000_001)
    sides.person.answer = answer
    done, left = await resolved(sides, "local", "a")
    assert len(sides.person.asked) == 1
    if answer == WITHOUT_COPY:
        assert sides.read_there("a") == "mine\n"
        assert ([one.path for one in done], left) == (["a"], [])
    else:
        assert (sides.there / "a").stat().st_size > 1_000_000_000
        assert [one.kind for one in left] == ["refused"]
        assert "sidecar resolve" in left[0].text


# --- theirs ------------------------------------------------------------------------------------


async def test_what_may_run_by_itself_is_kept_back_where_it_was_not_named(sides: Sides) -> None:
    await met(sides, **{".envrc": "one\n"})
    sides.write_there(".envrc", "theirs\n")
    _, left = await resolved(sides, "remote", ".envrc", named=False)
    assert [one.kind for one in left] == ["conflict"]
    assert (sides.here / ".envrc").read_text() == "one\n"
    done, _ = await resolved(sides, "remote", ".envrc")
    assert [one.path for one in done] == [".envrc"]
    assert (sides.here / ".envrc").read_text() == "theirs\n"


async def test_mine_is_not_pushed_where_theirs_did_not_arrive_beside_it(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    await met(sides, a="one\n")
    sides.write("a", "mine\n")
    sides.write_there("a", "theirs\n")

    def full(self: LocalLanding) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(LocalLanding, "stage", full)
    done, left = await resolved(sides, "both", "a")
    assert (done, [one.path for one in left]) == ([], ["a"])
    assert sides.read_there("a") == "theirs\n"
    assert (sides.here / "a").read_text() == "mine\n"


async def test_a_name_beside_mine_is_one_that_nothing_has(sides: Sides) -> None:
    await met(sides, **{"a.py": "one\n", "a.remote-box.py": "taken\n"})
    sides.write("a.py", "mine\n")
    sides.write_there("a.py", "theirs\n")
    await resolved(sides, "both", "a.py")
    assert (sides.here / "a.remote-box.py").read_text() == "taken\n"
    assert (sides.here / "a.remote-box-2.py").read_text() == "theirs\n"


async def test_a_folder_of_too_many_things_is_not_taken(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolve, "MOST_BELOW", 2)
    await met(sides, a="one\n")
    (sides.there / "a").unlink()
    for number in range(3):
        sides.write_there(f"a/{number}", "theirs\n")
    _, left = await resolved(sides, "remote", "a")
    assert "more than 2 things" in left[0].text
    assert (sides.here / "a").read_text() == "one\n"


async def test_what_is_held_back_goes_or_comes_back(sides: Sides) -> None:
    await met(sides, **{f"{number:03}": "x\n" for number in range(80)})
    for number in range(60):
        (sides.here / f"{number:03}").unlink()
    await sides.engine.sync()
    assert sides.notes()["000"] == "held"
    await resolved(sides, "local", "000")
    assert not (sides.there / "000").exists()
    await resolved(sides, "remote", "001")
    assert (sides.here / "001").read_text() == "x\n"
    assert "000" not in sides.notes()
    assert "001" not in sides.notes()
    assert sides.notes()["002"] == "held"


# --- undo --------------------------------------------------------------------------------------


async def test_undo_waits_for_what_is_on_its_way(sides: Sides) -> None:
    await met(sides, a="one\n")
    sides.write("a", "two\n")
    sides.engine.saved([str(sides.here / "a")])
    await sides.engine.sync()
    await undone(sides, "a")
    assert sides.read_there("a") == "one\n"
    sides.write("a", "three\n")
    await sides.engine.sync()
    assert sides.read_there("a") == "one\n"
    assert sides.notes() == {"a": "conflict"}
    assert await sides.lists_are_equal()


async def test_what_a_restart_finds_undone_is_not_pushed_over(sides: Sides) -> None:
    await met(sides, a="one\n")
    sides.write("a", "two\n")
    await sides.engine.sync()
    await undone(sides, "a")
    await sides.restart(watch=False)
    await sides.attach()
    assert sides.read_there("a") == "one\n"
    assert sides.notes() == {"a": "newer-there"}


async def test_in_mirror_mode_what_was_removed_and_undone_stays_until_it_is_decided(
    sides: Sides,
) -> None:
    await met(sides, mode="mirror", a="one\n")
    (sides.here / "a").unlink()
    await sides.engine.sync()
    assert not (sides.there / "a").exists()
    await undone(sides, "a")
    await sides.engine.sync()
    assert sides.read_there("a") == "one\n"
    assert sides.notes() == {"a": "kept"}
    await sides.restart(watch=False, mode="mirror")
    await sides.attach()
    assert sides.read_there("a") == "one\n"
    assert sides.notes() == {"a": "kept"}
    await resolved(sides, "remote", "a")
    assert (sides.here / "a").read_text() == "one\n"
    assert sides.notes() == {}


async def test_a_link_of_mine_that_leads_elsewhere_comes_back_here(sides: Sides) -> None:
    await met(sides)
    (sides.here / "l").symlink_to("/etc/hosts")
    kept = sides.engine.trash.keep(sides.here, "l", _at(sides.here / "l"), "replaced by theirs")
    (sides.here / "l").unlink()
    assert [copy.kind for copy in await undone(sides, "l")] == ["link"]
    assert os.readlink(sides.here / "l") == "/etc/hosts"
    assert not kept.file.is_symlink()


async def test_nothing_comes_back_over_a_folder_here(sides: Sides) -> None:
    await met(sides, a="one\n")
    sides.engine.trash.keep(sides.here, "a", _at(sides.here / "a"), "replaced by theirs")
    (sides.here / "a").unlink()
    sides.write("a/b", "mine\n")
    with pytest.raises(SyncError, match="a folder"):
        await undone(sides, "a", side="local")
    assert len(sides.engine.trash.entries()) == 1


async def test_an_id_that_stands_for_several_is_a_usage_error(sides: Sides) -> None:
    await met(sides, a="one\n")
    for number in range(40):
        sides.write("a", f"{number}\n")
        await sides.engine.sync()
    found, _ = await undo(sides).copies()
    [(digit, many)] = Counter(one.copy.id[0] for one in found).most_common(1)
    assert many > 1
    with pytest.raises(UsageError, match="stands for"):
        await undo(sides).chosen([digit], (), "")


async def test_both_trashes_are_one_list_newest_first(sides: Sides) -> None:
    await met(sides, a="one\n", b="one\n")
    sides.write_there("a", "theirs\n")
    await resolved(sides, "remote", "a")
    sides.write("b", "two\n")
    await sides.engine.sync()
    found, more = await undo(sides).copies()
    assert {(one.copy.side, one.copy.path) for one in found} == {("local", "a"), ("remote", "b")}
    assert [one.copy.when for one in found] == sorted(
        (one.copy.when for one in found), reverse=True
    )
    assert not more
    assert [one.copy.path for one in (await undo(sides).copies(["b"]))[0]] == ["b"]


def _at(path: Path) -> identity.Identity:
    return identity.from_stat(path.lstat())


# --- what was deleted there --------------------------------------------------------------------


async def test_a_deletion_there_that_was_put_back_can_be_accepted_by_name(sides: Sides) -> None:
    await met(sides, **{"a.py": "one\n", "pkg/b.py": "two\n", "pkg/c.py": "three\n", "d.py": "x\n"})
    (sides.there / "a.py").unlink()
    (sides.there / "pkg" / "b.py").unlink()
    (sides.there / "pkg" / "c.py").unlink()
    (sides.there / "pkg").rmdir()
    (sides.there / "d.py").unlink()
    sides.write("a.py", "changed here\n")
    result = await sides.engine.sync()
    assert {note.kind for note in result.notes} == {"deleted-there"}
    assert sides.read_there("pkg/b.py") == "two\n"
    done, left = await resolved(sides, "remote", "a.py", "pkg")
    assert ([one.path for one in done], left) == (["a.py", "pkg"], [])
    assert "removed here and on box" in done[0].text
    await sides.engine.sync()
    for side in (sides.here, sides.there):
        assert sorted(path.name for path in side.glob("*.py")) == ["d.py", "keep.py"]
        assert not (side / "pkg").exists()
    kept = {one.path: one.file.read_text() for one in sides.engine.trash.entries()}
    assert kept == {"a.py": "changed here\n", "pkg/b.py": "two\n", "pkg/c.py": "three\n"}
    assert sides.notes() == {}
    assert await sides.lists_are_equal()


async def test_who_names_nothing_keeps_what_was_put_back(sides: Sides) -> None:
    await met(sides, a="one\n")
    (sides.there / "a").unlink()
    await sides.engine.sync()
    made = Resolver(sides.engine.both_sides())
    assert await made.resolve(lambda path: True, "remote", everything=True) == ([], [])
    assert sides.read_there("a") == (sides.here / "a").read_text() == "one\n"
