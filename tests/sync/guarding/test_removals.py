"""An unusual number of removals waits for a word, and goes on waiting until it comes."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.errors import RunError
from sidecar.sync.guarding.removals import AT_ONCE, MANY, Removals
from sidecar.sync.guarding.waiting import REMOVE
from tests.servers.programs import need_program
from tests.sync.sides import Sides


@pytest.fixture
async def sides(tmp_path: Path) -> AsyncIterator[Sides]:
    made = Sides(tmp_path)
    yield made
    await made.end()


def names(count: int, folder: str = "pkg") -> list[str]:
    return [f"{folder}/file{number}.py" for number in range(count)]


# --- the rule --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("removed", "known", "waits"),
    [
        (1, 1, False),  # a project of one file
        (2, 2, True),  # all there was
        (50, 60, False),  # not many
        (51, 203, True),  # many, and more than a quarter
        (51, 204, False),  # many, and a quarter
        (60, 10_000, False),
    ],
)
async def test_many_and_more_than_a_quarter_wait(
    tmp_path: Path, removed: int, known: int, waits: bool
) -> None:
    agreed = dict.fromkeys(names(known))
    removals = Removals(tmp_path / "removals.json", tmp_path)
    waiting = await removals.that_must_wait(names(removed), agreed, 0.0)
    assert waiting == (set(names(removed)) if waits else set())
    assert removals.held == waiting


async def test_what_is_seen_in_parts_counts_together_for_a_while(tmp_path: Path) -> None:
    agreed = dict.fromkeys(names(100))
    removals = Removals(tmp_path / "removals.json", tmp_path)
    first, second, third = names(MANY), names(60)[MANY:], names(70)[60:]
    assert await removals.that_must_wait(first, agreed, 0.0) == set()
    assert await removals.that_must_wait(second, agreed, AT_ONCE / 2) == set(second)
    assert await removals.that_must_wait(third, agreed, 3 * AT_ONCE) == set()


async def test_what_mirror_mode_removes_beside_counts_as_well(tmp_path: Path) -> None:
    agreed = dict.fromkeys(names(10))
    removals = Removals(tmp_path / "removals.json", tmp_path)
    theirs = names(5, "theirs")
    assert await removals.that_must_wait(theirs, agreed, 0.0) == set()
    theirs = names(100, "theirs")
    assert await removals.that_must_wait(theirs, agreed, 0.0) == set(theirs)


async def test_a_removal_that_waits_is_remembered_until_it_is_settled(tmp_path: Path) -> None:
    agreed = dict.fromkeys(["pkg", *names(80)])
    state = tmp_path / "removals.json"
    all_of_them = set(names(80))
    assert await Removals(state, tmp_path).that_must_wait(all_of_them, agreed, 0.0) == all_of_them
    removals = Removals(state, tmp_path)
    # One alone is no mass deletion, and waits all the same; so does the folder that holds others.
    one, *_ = names(1)
    assert await removals.that_must_wait([one, "pkg"], agreed, 1000.0) == {one, "pkg"}
    removals.looked_at({one: object()}, set(), agreed)
    assert one not in Removals(state, tmp_path).held
    removals.may_be_made(all_of_them | {"pkg"})
    assert Removals(state, tmp_path).held == set()
    assert state.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"", b"[]", b'{"version": 9}', b'{"version": 1, "held": 3}'])
def test_what_cannot_be_understood_holds_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "removals.json").write_bytes(content)
    assert Removals(tmp_path / "removals.json", tmp_path).held == set()


# --- with two sides --------------------------------------------------------------------------


async def many(sides: Sides) -> None:
    for name in names(80):
        sides.write(name, name)
    sides.write("main.py", "main\n")
    await sides.begin(watch=False)
    await sides.attach()


async def test_a_removal_that_waits_is_not_made_when_its_path_alone_is_touched(
    sides: Sides,
) -> None:
    await many(sides)
    shutil.rmtree(sides.here / "pkg")
    await sides.engine.sync()
    assert len(sides.tree_there()) == 81
    one = names(1)[0]
    for restarted in (False, True):
        if restarted:
            await sides.restart(watch=False)
            await sides.attach()
        sides.write(one, "again\n")
        sides.engine._pending.touch(one)
        shutil.rmtree(sides.here / "pkg")
        await sides.engine._loop.settle()
        await sides.engine.sync()
        assert len(sides.tree_there()) == 81
        assert sides.notes()[one] == "held"
    with pytest.raises(RunError, match="of your changes are not on box"):
        await sides.engine.barrier()
    await sides.engine.sync(prefer="local")
    assert sides.tree_there() == {"main.py": b"main\n"}
    assert not (sides.there / "pkg").exists()
    assert sides.notes() == {}


async def test_files_that_are_back_wait_no_more(sides: Sides) -> None:
    await many(sides)
    (sides.here / "pkg").rename(sides.folder / "aside")
    await sides.engine.sync()
    assert "held" in sides.notes().values()
    (sides.folder / "aside").rename(sides.here / "pkg")
    await sides.engine.sync()
    assert sides.notes() == {}
    assert sides.engine._shared.removals.held == set()
    one = names(1)[0]
    (sides.here / one).unlink()
    await sides.engine.sync()
    assert one not in sides.tree_there()


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments],
        cwd=folder,
        check=True,
        capture_output=True,
    )


async def in_git(sides: Sides) -> None:
    need_program("git")
    sides.write("main.py", "main\n")
    git(sides.here, "init", "-q", "-b", "main")
    git(sides.here, "add", "-A")
    git(sides.here, "commit", "-qm", "one")
    git(sides.here, "checkout", "-qb", "wide")
    for name in names(80):
        sides.write(name, name)
    git(sides.here, "add", "-A")
    git(sides.here, "commit", "-qm", "two")
    await sides.begin(watch=False)
    await sides.attach()
    assert len(sides.tree_there()) == 81


async def test_what_a_checkout_removes_goes_at_once(sides: Sides) -> None:
    await in_git(sides)
    git(sides.here, "checkout", "-q", "main")
    await sides.engine.sync()
    assert sides.tree_there() == {"main.py": b"main\n"}
    assert not (sides.there / "pkg").exists()
    assert sides.notes() == {}


async def test_what_rm_removes_waits_in_a_repository_too(sides: Sides) -> None:
    await in_git(sides)
    shutil.rmtree(sides.here / "pkg")
    git(sides.here, "status")  # which writes the index, too
    await sides.engine.sync()
    assert len(sides.tree_there()) == 81
    git(sides.here, "reset", "-q", "--hard", "main")
    await sides.engine.sync()
    assert sides.tree_there() == {"main.py": b"main\n"}
    assert sides.engine._shared.removals.held == set()


async def test_a_checkout_that_is_seen_in_its_middle_is_waited_for(sides: Sides) -> None:
    await in_git(sides)
    lock = sides.here / ".git/index.lock"
    lock.touch()
    shutil.rmtree(sides.here / "pkg")
    await sides.engine.sync()
    assert set(sides.notes().values()) == {"held"}
    assert sides.engine._shared.removals.held == set()
    lock.unlink()
    git(sides.here, "reset", "-q", "--hard", "main")
    await sides.engine.start()
    await sides.until(lambda: sides.engine.files == 1 and sides.notes() == {})
    assert sides.tree_there() == {"main.py": b"main\n"}


async def test_a_lock_that_git_left_behind_is_not_waited_for(sides: Sides) -> None:
    await in_git(sides)
    lock = sides.here / ".git/index.lock"
    lock.touch()
    os.utime(lock, (1, 1))
    shutil.rmtree(sides.here / "pkg")
    await sides.engine.sync()
    assert len(sides.engine._shared.removals.held) == 81


async def test_the_person_is_asked_and_may_say_yes(sides: Sides) -> None:
    await many(sides)
    shutil.rmtree(sides.here / "pkg")
    sides.person.answer = REMOVE
    await sides.engine.sync()
    (asked,) = sides.person.asked
    assert "81 files were deleted here at once" in str(asked)
    assert sides.tree_there() == {"main.py": b"main\n"}
    assert sides.notes() == {}
