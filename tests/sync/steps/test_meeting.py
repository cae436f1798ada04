"""Both sides over a new connection: whose folders they are, and whether they still are the same."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest

from sidecar.errors import SyncError
from sidecar.sync.guarding import first_contact
from sidecar.sync.steps.meeting import EMPTIED, TAKE_OVER
from sidecar.sync.trees.bond import Bond, Here, folder_at
from sidecar.sync.trees.there import There
from tests.sync.sides import Answering, Sides


@pytest.fixture
async def sides(tmp_path: Path) -> AsyncIterator[Sides]:
    made = Sides(tmp_path)
    yield made
    await made.end()


async def together(sides: Sides, count: int = 3) -> None:
    for number in range(count):
        sides.write(f"file{number}.py", f"{number}\n")
    await sides.begin(watch=False)
    await sides.attach()


async def again(sides: Sides) -> None:
    """Another connection."""
    if sides.agent is not None:
        await sides.cut()
    await sides.attach()


def replaced_by_a_copy(folder: Path) -> Path:
    """As after a restored backup: equal files, and none is the one that it was."""
    old = folder.with_name(f"{folder.name}-old")
    folder.rename(old)
    shutil.copytree(old, folder, symlinks=True)
    return old


# --- first contact ---------------------------------------------------------------------------


async def test_to_look_at_each_leaves_conflicts_and_pushes_what_is_only_here(
    sides: Sides,
) -> None:
    sides.write("main.py", "mine\n")
    sides.write("new.py", "new\n")
    sides.write_there("main.py", "theirs\n")
    sides.person = Answering(first_contact.LOOK_AT_EACH)
    await sides.begin(watch=False)
    await sides.attach()
    assert sides.notes() == {"main.py": "conflict"}
    assert sides.tree_there() == {"main.py": b"theirs\n", "new.py": b"new\n"}
    await sides.engine.sync(prefer="local")
    assert sides.read_there("main.py") == "mine\n"


async def test_theirs_may_be_taken_where_newer(sides: Sides) -> None:
    for name, mine, theirs in (("a.py", 1, 2), ("b.py", 2, 1)):
        os.utime(sides.write(name, "mine\n"), (mine * 10**9, mine * 10**9))
        os.utime(sides.write_there(name, "theirs\n"), (theirs * 10**9, theirs * 10**9))
    sides.person = Answering(first_contact.TAKE_NEWER)
    await sides.begin(watch=False)
    await sides.attach()
    assert sides.tree_there() == {"a.py": b"theirs\n", "b.py": b"mine\n"}
    assert (sides.here / "a.py").read_text() == "theirs\n"
    assert sides.notes() == {}


async def test_the_summary_names_sizes_and_what_only_they_have_without_entering_it(
    sides: Sides,
) -> None:
    sides.write("same.py", "same\n")
    sides.write("pkg/a.bin", b"x" * 2_000_000)
    sides.write("pkg/small.py", "mine\n")
    sides.write("new.bin", b"n" * 5_000)
    sides.write_there("same.py", "same\n")
    sides.write_there("pkg/a.bin", b"y" * 1_000_000)
    sides.write_there("pkg/small.py", "their\n")
    sides.write_there("pkg/out.pt", "theirs")
    for number in range(50):
        sides.write_there(f"runs/{number}/log.txt", "theirs")
    await sides.begin(watch=False)
    with pytest.raises(SyncError) as caught:
        await sides.attach()
    assert caught.value.why.endswith(
        "compared with here: 1 equal, 2 different "
        "(pkg/a.bin: 2.0 MB here, 1.0 MB there; pkg/small.py: 5 B here, 6 B there), "
        "1 only here (5.0 KB), 2 only there (pkg/out.pt; runs/)"
    )
    (asked,) = sides.person.asked
    assert asked.options[-1] == first_contact.NOT_NOW


async def test_a_preview_of_a_first_contact_says_how_both_sides_compare(sides: Sides) -> None:
    sides.write("main.py", "mine\n")
    sides.write("new.py", "new\n")
    sides.write_there("main.py", "theirs\n")
    await sides.begin(watch=False)
    await sides.connect()
    assert sides.agent is not None
    plan, summary = await sides.engine.preview(sides.agent, sides.new_root())
    assert plan == ["push new.py", "decide main.py"]
    assert "1 different (main.py: 5 B here, 7 B there)" in summary
    assert sides.person.asked == []
    assert sides.tree_there() == {"main.py": b"theirs\n"}


async def test_the_summary_says_what_mirror_mode_would_remove_and_asks_about_that_alone(
    sides: Sides,
) -> None:
    for name in ("main.py", ".gitignore"):
        sides.write(name, "*.log\n")
        sides.write_there(name, "*.log\n")
    for name in ("old.py", "old/x.py", "x.log", "runs/1.txt"):
        sides.write_there(name, "theirs\n")
    await sides.begin(watch=False, mode="mirror", pull=["runs/"])
    await sides.connect()
    assert sides.agent is not None
    plan, _ = await sides.engine.preview(sides.agent, sides.new_root())
    assert plan == ["remove old/", "remove old.py"]
    with pytest.raises(SyncError) as caught:
        await sides.attach()
    assert caught.value.why.endswith(
        "4 only there (old/; old.py; runs/; x.log), "
        "of which mirror mode removes 2 (old/; old.py), to the trash there"
    )
    assert sides.tree_there().keys() > {"old.py", "old/x.py"}


async def test_a_folder_that_holds_only_what_is_ignored_is_no_question(sides: Sides) -> None:
    sides.write("main.py", "1\n")
    sides.write_there(".venv/bin/python", "theirs\n")
    await sides.begin(watch=False)
    await sides.attach()
    assert sides.read_there("main.py") == "1\n"
    assert sides.read_there(".venv/bin/python") == "theirs\n"


@pytest.mark.parametrize("name", ["notes.md", ".git/HEAD", "sidecar.toml"])
async def test_what_is_somebodys_beside_what_is_ignored_is_a_question(
    sides: Sides, name: str
) -> None:
    sides.write("main.py", "1\n")
    sides.write_there(".venv/bin/python", "theirs\n")
    sides.write_there(name, "theirs\n")
    await sides.begin(watch=False)
    with pytest.raises(SyncError, match="already holds something"):
        await sides.attach()
    assert not (sides.there / "main.py").exists()


async def test_a_large_tree_is_compared_in_slices_and_says_how_much_is_left(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_contact, "SLICE", 10)
    for number in range(25):
        sides.write(f"{number:02}.py", f"{number}\n")
        sides.write_there(f"{number:02}.py", f"{number}\n" if number else "x\n")
    asked, left = list[int](), list[int]()
    digests = There.digests

    async def counted(there: There, paths: Iterable[str]) -> dict[str, str]:
        asked.append(len(list(paths)))
        return await digests(there, paths)

    monkeypatch.setattr(There, "digests", counted)
    engine = await sides.begin(watch=False)
    changed = engine._shared.changed
    monkeypatch.setattr(engine._shared, "changed", lambda: (left.append(engine.queued), changed()))
    await sides.connect()
    assert sides.agent is not None
    plan, _ = await engine.preview(sides.agent, sides.new_root())
    assert plan == ["decide 00.py"]
    assert [count for count in asked if count] == [10, 10, 5]
    assert left == [25, 15, 5, 0]


async def test_a_file_written_between_the_scan_and_the_look_is_not_taken_for_what_was_scanned(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within one tick of the clock it may even have the identity that the scan saw."""
    path = sides.write("main.py", "same\n")
    sides.write_there("main.py", "same\n")
    await sides.begin(watch=False)
    readable = sides.engine._here.readable

    async def and_then_written(name: str) -> object:
        read = await readable(name)
        before = path.stat()
        path.write_text("diff\n")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        return read

    monkeypatch.setattr(sides.engine._here, "readable", and_then_written)
    sides.person = Answering(first_contact.PUSH_MINE)
    await sides.attach()
    monkeypatch.undo()
    await sides.engine.sync()
    assert sides.read_there("main.py") == "diff\n"


# --- owners ----------------------------------------------------------------------------------


def claimed_by(sides: Sides, owner: str) -> None:
    marker = sides.there / ".sidecar/marker.json"
    state = json.loads(marker.read_text())
    marker.write_text(json.dumps({**state, "owner": owner}) + "\n")


async def test_a_folder_that_another_one_took_over_is_asked_about(sides: Sides) -> None:
    await together(sides)
    await sides.cut()
    claimed_by(sides, "bob@desk:/home/bob/project")
    sides.write("file0.py", "changed\n")
    with pytest.raises(SyncError, match="bob@desk") as caught:
        await sides.attach()
    assert caught.value.code == "second-owner"
    assert sides.read_there("file0.py") == "0\n"
    assert [one.options[0] for one in sides.person.asked] == [TAKE_OVER]
    sides.person.answer = TAKE_OVER
    await again(sides)
    assert sides.read_there("file0.py") == "changed\n"
    # From now on it is ours.
    sides.person.answer = None
    await again(sides)
    assert len(sides.person.asked) == 2


async def test_a_folder_may_be_taken_over_beforehand(sides: Sides) -> None:
    await together(sides)
    await sides.cut()
    claimed_by(sides, "bob@desk:/home/bob/project")
    await sides.attach(take_over=True)
    marker = json.loads((sides.there / ".sidecar/marker.json").read_text())
    assert marker["owner"] == "ada@laptop:/home/ada/project"
    assert sides.person.asked == []


async def test_who_is_taken_over_while_at_it_is_told_and_changes_nothing(sides: Sides) -> None:
    await together(sides)
    claimed_by(sides, "bob@desk:/home/bob/project")
    sides.write("file0.py", "changed\n")
    with pytest.raises(SyncError, match=r"taken over by bob@desk") as caught:
        await sides.engine.sync()
    assert caught.value.code == "remote-lost"
    assert not sides.engine.attached
    assert sides.read_there("file0.py") == "0\n"


async def test_who_is_taken_over_is_told_though_nothing_changes(sides: Sides) -> None:
    await together(sides)
    claimed_by(sides, "bob@desk:/home/bob/project")
    with pytest.raises(SyncError, match=r"taken over by bob@desk"):
        await sides.engine.sync()


async def test_a_marker_that_is_lost_is_made_again(sides: Sides) -> None:
    await together(sides)
    shutil.rmtree(sides.there / ".sidecar")
    with pytest.raises(SyncError, match="marker"):
        await sides.engine.sync()
    await sides.attach()
    sides.write("file0.py", "changed\n")
    await sides.engine.sync()
    assert sides.read_there("file0.py") == "changed\n"
    assert sides.person.asked == []


async def test_a_laptop_whose_name_changes_with_its_network_is_itself(sides: Sides) -> None:
    await together(sides)
    await sides.restart(watch=False)
    sides.engine._owner = "ada@laptop.some.cafe:/home/ada/project"
    await sides.attach()
    assert sides.person.asked == []
    marker = json.loads((sides.there / ".sidecar/marker.json").read_text())
    assert marker["owner"] == "ada@laptop.some.cafe:/home/ada/project"


# --- other folders ---------------------------------------------------------------------------


async def test_another_folder_here_that_holds_the_same_goes_on_without_a_question(
    sides: Sides,
) -> None:
    await together(sides)
    replaced_by_a_copy(sides.here)
    sides.write("new.py", "new\n")
    await again(sides)
    assert sides.person.asked == []
    assert sides.tree_there()["new.py"] == b"new\n"


async def test_an_older_copy_in_the_place_of_the_project_is_not_pushed_without_a_word(
    sides: Sides,
) -> None:
    await together(sides)
    copy = sides.folder / "copy"
    shutil.copytree(sides.here, copy)
    sides.write("file0.py", "the work of today\n")
    await sides.engine.sync()
    sides.here.rename(sides.folder / "aside")
    copy.rename(sides.here)
    with pytest.raises(SyncError, match="another folder than it was"):
        await sides.engine.sync()
    assert sides.engine.lost is not None
    with pytest.raises(SyncError, match="another folder than it was") as caught:
        await sides.attach()
    assert caught.value.code == "first-contact"
    assert sides.read_there("file0.py") == "the work of today\n"
    # The right one again, under the name that it had.
    sides.here.rename(copy)
    (sides.folder / "aside").rename(sides.here)
    await sides.attach()
    assert sides.notes() == {}


async def test_a_restored_backup_there_is_compared_as_at_first_contact(sides: Sides) -> None:
    await together(sides)
    await sides.cut()
    shutil.rmtree(replaced_by_a_copy(sides.there))
    sides.write_there("file0.py", "older\n")
    bond = Bond(sides.store / "bond.json")
    assert bond.here is not None
    bond.tie(bond.marker, bond.owner, bond.here, 12345)  # another file system than it was
    await sides.restart(watch=False)
    with pytest.raises(SyncError, match="another folder than it was") as caught:
        await sides.attach()
    assert "1 different (file0.py" in caught.value.why
    assert sides.read_there("file0.py") == "older\n"
    await sides.attach(prefer="local")
    assert sides.read_there("file0.py") == "0\n"


async def test_a_disk_that_was_numbered_anew_is_the_same(sides: Sides) -> None:
    await together(sides)
    await sides.end()
    bond = Bond(sides.store / "bond.json")
    bond.tie(bond.marker, bond.owner, Here(12345, 6), 12345)
    await sides.begin(watch=False)
    (sides.here / "file0.py").unlink()
    await sides.attach()
    assert sides.person.asked == []
    assert "file0.py" not in sides.tree_there()
    assert Bond(sides.store / "bond.json").here == folder_at(sides.here, "")


@pytest.mark.parametrize("content", [b"", b"[]", b'{"version": 1}', b'{"version": 2}'])
async def test_a_bond_that_cannot_be_understood_binds_nothing(sides: Sides, content: bytes) -> None:
    await together(sides)
    await sides.end()
    (sides.store / "bond.json").write_bytes(content)
    await sides.begin(watch=False)
    await sides.attach()
    assert sides.person.asked == []
    assert Bond(sides.store / "bond.json").marker


# --- gone and emptied ------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["moved", "removed", "emptied", "replaced"])
async def test_a_folder_there_that_goes_while_at_it_loses_nothing_and_may_come_back(
    sides: Sides, how: str
) -> None:
    await together(sides)
    aside = sides.home / "aside"
    if how == "emptied":
        for number in range(3):
            (sides.there / f"file{number}.py").unlink()
    else:
        sides.there.rename(aside)
    if how == "replaced":
        sides.there.mkdir()
    if how == "removed":
        shutil.rmtree(aside)
    sides.write("file0.py", "changed\n")
    with pytest.raises(SyncError) as caught:
        await sides.engine.sync()
    assert caught.value.code == ("remote-emptied" if how == "emptied" else "remote-lost")
    assert not sides.engine.attached
    assert sides.tree_there() == {}
    with pytest.raises(SyncError) as caught:
        await sides.attach()
    assert caught.value.code == "remote-emptied"
    assert len(os.listdir(sides.here)) == 3
    if how == "moved":
        aside.rename(sides.there)
    else:
        sides.person = sides.engine._person = Answering(EMPTIED["remote-emptied"])
    await sides.attach()
    assert sides.tree_there() == {
        "file0.py": b"changed\n",
        "file1.py": b"1\n",
        "file2.py": b"2\n",
    }
    assert set(sides.notes().values()) <= {"deleted-there"}


@pytest.mark.parametrize("how", ["moved", "emptied", "replaced"])
async def test_a_project_that_goes_while_at_it_removes_nothing_and_may_come_back(
    sides: Sides, how: str
) -> None:
    await together(sides)
    before = sides.tree_there()
    aside = sides.folder / "aside"
    sides.here.rename(aside)
    if how != "moved":
        sides.here.mkdir()
    if how == "replaced":
        sides.write("other.py", "of another project\n")
    with pytest.raises(SyncError) as caught:
        await sides.engine.sync()
    assert caught.value.code == ("root-gone" if how == "moved" else "root-replaced")
    with pytest.raises(SyncError) as caught:
        await sides.attach()
    assert caught.value.code == {"moved": "root-gone", "emptied": "root-emptied"}.get(
        how, "first-contact"
    )
    assert sides.tree_there() == before
    shutil.rmtree(sides.here, ignore_errors=True)
    aside.rename(sides.here)
    sides.write("file0.py", "changed\n")
    await sides.attach()
    assert sides.tree_there() == {**before, "file0.py": b"changed\n"}
    assert sides.person.asked == [] or how != "moved"


async def test_an_emptied_project_may_be_meant(sides: Sides) -> None:
    await together(sides)
    await sides.cut()
    for name in os.listdir(sides.here):
        (sides.here / name).unlink()
    sides.person = sides.engine._person = Answering(EMPTIED["root-emptied"])
    await sides.attach()
    assert sides.tree_there() == {}


async def test_a_file_in_the_place_of_the_project_is_no_project(sides: Sides) -> None:
    await together(sides)
    sides.here.rename(sides.folder / "aside")
    sides.here.write_text("")
    with pytest.raises(SyncError) as caught:
        await sides.engine.sync()
    assert caught.value.code == "root-gone"


async def test_a_folder_that_another_host_shows_is_synced_once(sides: Sides) -> None:
    await together(sides)
    await sides.cut()
    marker = sides.engine.marker
    sides.engine._shown_by = {marker: "gpu1"}.get
    with pytest.raises(SyncError, match="box and gpu1 show the same folder") as caught:
        await sides.attach()
    assert caught.value.code == "shown-twice"
