"""Every name and kind of thing that a folder can hold, with a real agent on the other side."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import tempfile
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.sync.sides import Sides
from tests.sync.trees.test_scan import without_privileges
from tests.whole.waiting import soon

NAMES = (
    "caf\udce9",  # no UTF-8
    "\udcff\udcfe",
    "new\nline",
    "tab\tand\rreturn",
    "x" * 255,
    "é" * 127,
    " blank ",
    "-rf",
    "~x",
    "*?[x]{y}$HOME`id`",
    "\\",
    "\"quoted'",
    "\x01\x7f",
    "...",
    "con.",
    "\u202eright to left",
    "🐍",
)


@pytest.fixture
async def sides(tmp_path: Path) -> AsyncIterator[Sides]:
    made = Sides(tmp_path)
    made.write("keep.py", "1\n")
    yield made
    await made.end()


async def began(sides: Sides) -> None:
    await sides.begin()
    await sides.attach()


async def synced(sides: Sides) -> None:
    """A sync in which nothing remains to be said."""
    await sides.engine.sync()
    assert sides.notes() == {}
    assert await sides.lists_are_equal()


# --- names -----------------------------------------------------------------------------------


@pytest.mark.skipif(os.uname().sysname != "Linux", reason="only on systems that take any name")
@pytest.mark.parametrize("how", ["first", "watched", "told"])
async def test_any_name_is_synced(sides: Sides, how: str) -> None:
    if how != "first":
        await began(sides)
    for number, name in enumerate(NAMES):
        for path in (name, f"d{number}/{name}"):
            written = sides.write(path, os.fsencode(path))
            if how == "told":
                sides.engine.saved([str(written)])
    if how == "first":
        await began(sides)
    await soon(lambda: len(sides.tree_there()) == 2 * len(NAMES) + 1, "all names")
    assert all(sides.tree_there()[name] == os.fsencode(name) for name in NAMES)
    await synced(sides)
    for number, name in enumerate(NAMES):
        (sides.here / name).unlink()
        shutil.rmtree(sides.here / f"d{number}")
    await sides.engine.sync(prefer="local")
    assert set(sides.tree_there()) == {"keep.py"}


async def test_a_path_as_long_as_the_system_takes_is_synced(sides: Sides) -> None:
    path = "/".join(["d" * 200] * 15) + "/f"
    sides.write(path, "deep\n")
    await began(sides)
    assert sides.read_there(path) == "deep\n"


async def test_a_name_that_changes_its_case_alone_is_renamed(sides: Sides) -> None:
    sides.write("Readme", "1\n")
    sides.write("pkg/a.py", "1\n")
    await began(sides)
    (sides.here / "Readme").rename(sides.here / "README")
    (sides.here / "pkg").rename(sides.here / "Pkg")
    await synced(sides)
    assert {path.name for path in sides.there.iterdir()} == {"keep.py", "README", "Pkg", ".sidecar"}
    assert sides.read_there("Pkg/a.py") == "1\n"


# --- kinds -----------------------------------------------------------------------------------


async def test_a_file_that_becomes_a_folder_and_the_reverse(sides: Sides) -> None:
    sides.write("one", "1\n")
    sides.write("two/deep/b", "1\n")
    await began(sides)
    for _ in range(2):
        (sides.here / "one").unlink()
        shutil.rmtree(sides.here / "two")
        sides.write("one/in/a", "2\n")
        sides.write("two", "2\n")
        await synced(sides)
        assert set(sides.tree_there()) == {"keep.py", "one/in/a", "two"}
        shutil.rmtree(sides.here / "one")
        (sides.here / "two").unlink()
        sides.write("one", "1\n")
        sides.write("two/deep/b", "1\n")
        await synced(sides)
        assert set(sides.tree_there()) == {"keep.py", "one", "two/deep/b"}


async def test_links_to_files_to_folders_and_to_nothing_are_links_there(sides: Sides) -> None:
    sides.write("pkg/a.py", "1\n")
    targets = {
        "to-file": "pkg/a.py",
        "to-folder": "pkg",
        "dangling": "nowhere/at/all",
        "pkg/up": "../keep.py",
        "odd": "caf\udce9\nline",
        "self": "self",
    }
    for path, target in targets.items():
        (sides.here / path).symlink_to(target)
    await began(sides)
    assert {path: os.readlink(sides.there / path) for path in targets} == targets
    (sides.here / "to-file").unlink()
    (sides.here / "to-file").symlink_to("keep.py")
    (sides.here / "dangling").unlink()
    await synced(sides)
    assert os.readlink(sides.there / "to-file") == "keep.py"
    assert not os.path.lexists(sides.there / "dangling")
    assert sides.read_there("pkg/a.py") == "1\n"


async def test_a_folder_behind_a_link_is_not_entered_and_a_link_takes_turns_with_others(
    sides: Sides,
) -> None:
    (sides.folder / "outside").mkdir()
    (sides.folder / "outside" / "secret").write_text("no\n")
    sides.write("pkg/a.py", "1\n")
    await began(sides)
    shutil.rmtree(sides.here / "pkg")
    (sides.here / "pkg").symlink_to("other")
    await synced(sides)
    assert os.readlink(sides.there / "pkg") == "other"
    (sides.here / "pkg").unlink()
    sides.write("pkg", "a file\n")
    await synced(sides)
    assert sides.read_there("pkg") == "a file\n"
    assert not (sides.there / "pkg").is_symlink()
    (sides.here / "out").symlink_to(sides.folder / "outside")
    await sides.engine.sync()
    assert not os.path.lexists(sides.there / "out")


@pytest.mark.parametrize("target", ["/etc/passwd", "../../elsewhere", "pkg/../../x"])
async def test_a_link_that_leaves_the_project_is_said_and_not_sent(
    sides: Sides, target: str
) -> None:
    (sides.here / "link").symlink_to(target)
    await began(sides)
    assert sides.notes() == {"link": "skipped"}
    assert not os.path.lexists(sides.there / "link")
    await sides.engine.barrier()  # and keeps no run back


async def test_a_sparse_file_arrives_as_it_reads(sides: Sides) -> None:
    await began(sides)
    with (sides.here / "sparse").open("wb") as file:
        file.truncate(30_000_000)
        file.seek(20_000_000)
        file.write(b"something")
    await synced(sides)
    assert (sides.there / "sparse").read_bytes() == (sides.here / "sparse").read_bytes()
    assert sides.attachment.pusher.bytes_sent < 1_000_000


async def test_an_empty_file_and_an_empty_folder_arrive(sides: Sides) -> None:
    sides.write("empty", "")
    (sides.here / "hollow" / "deep").mkdir(parents=True)
    await began(sides)
    assert sides.tree_there()["empty"] == b""
    assert (sides.there / "hollow" / "deep").is_dir()


async def test_an_unreadable_file_is_said_and_keeps_no_other_back() -> None:
    # pytest's own temporary folders are closed to others.
    with tempfile.TemporaryDirectory(prefix="sc-") as folder:
        if os.geteuid() == 0:
            os.chown(folder, 65534, 65534)
        with without_privileges():
            sides = Sides(Path(folder))
            try:
                sides.write("keep.py", "1\n")
                closed = sides.write("closed", "1\n")
                sides.write("pkg/a.py", "1\n")
                await began(sides)
                closed.write_text("2\n")
                closed.chmod(0)
                (sides.here / "pkg").chmod(0)
                sides.write("other", "1\n")
                await sides.engine.sync()
                notes = sides.notes()
                assert {"closed", "pkg"} <= notes.keys() <= {"closed", "pkg", "pkg/a.py"}
                assert set(notes.values()) == {"unreadable"}
                assert sides.tree_there() == {
                    "keep.py": b"1\n", "closed": b"1\n", "pkg/a.py": b"1\n", "other": b"1\n",
                }  # fmt: skip
                closed.chmod(0o600)
                (sides.here / "pkg").chmod(0o700)
                await sides.engine.sync()
                assert sides.notes() == {}
                assert sides.read_there("closed") == "2\n"
            finally:
                with contextlib.suppress(FileNotFoundError):
                    (sides.here / "pkg").chmod(0o700)
                await sides.end()


async def test_a_file_of_two_names_is_synced_under_both_and_an_edit_reaches_both(
    sides: Sides,
) -> None:
    one = sides.write("a/one", "1\n")
    (sides.here / "b").mkdir()
    os.link(one, sides.here / "b" / "other")
    await began(sides)
    assert sides.read_there("a/one") == sides.read_there("b/other") == "1\n"
    with one.open("w") as file:
        file.write("2\n")
    await soon(lambda: sides.read_there("a/one") == "2\n", "the name that was written")
    await soon(lambda: sides.read_there("b/other") == "2\n", "the other name")
    (sides.here / "b" / "other").unlink()
    await synced(sides)
    assert sides.read_there("a/one") == "2\n"
    assert not (sides.there / "b" / "other").exists()


async def test_a_file_of_two_names_there_is_replaced_under_one_only(sides: Sides) -> None:
    path = sides.write("main.py", "1\n")
    await began(sides)
    os.link(sides.there / "main.py", sides.home / "snapshot")
    await sides.engine.sync()
    path.write_text("2\n")
    await synced(sides)
    assert sides.read_there("main.py") == "2\n"
    assert (sides.home / "snapshot").read_text() == "1\n"


async def test_what_is_neither_file_nor_folder_nor_link_is_said_and_neither_blocks(
    sides: Sides,
) -> None:
    await began(sides)
    os.mkfifo(sides.here / "fifo")
    listening = socket.socket(socket.AF_UNIX)
    cwd = os.getcwd()
    os.chdir(sides.here)  # the path of a socket is short
    try:
        listening.bind("socket")
    finally:
        os.chdir(cwd)
    listening.close()
    device = False
    with contextlib.suppress(PermissionError):
        os.mknod(sides.here / "device", 0o020666, os.makedev(1, 3))
        device = True
    sides.write("after", "1\n")
    await sides.engine.sync()
    names = {"fifo", "socket", *(["device"] if device else [])}
    assert sorted(note.path for note in sides.engine.notes) == sorted(names)
    assert sides.notes() == dict.fromkeys(names, "skipped")
    assert set(sides.tree_there()) == {"keep.py", "after"}
    await sides.engine.barrier()
    for name in names:
        (sides.here / name).unlink()
        sides.write(name, "1\n")
    await synced(sides)
    assert set(sides.tree_there()) == {"keep.py", "after", *names}


async def test_what_is_neither_there_is_never_replaced(sides: Sides) -> None:
    path = sides.write("main.py", "1\n")
    await began(sides)
    (sides.there / "main.py").unlink()
    os.mkfifo(sides.there / "main.py")
    path.write_text("2\n")
    await asyncio.wait_for(sides.engine.sync(), 20)
    assert sides.notes() == {"main.py": "conflict"}
    assert (sides.there / "main.py").is_fifo()


@pytest.mark.parametrize("size", [3_000, 3_000_000])
async def test_a_file_that_is_written_while_it_is_read_arrives_as_one_of_its_contents(
    sides: Sides, size: int
) -> None:
    """The writer writes over it in place, all of it in one call."""
    contents = [bytes([letter]) * size for letter in b"ab"]
    path = sides.write("data", contents[0])
    await began(sides)
    stop = threading.Event()

    def write() -> None:
        turn = 0
        with path.open("r+b", buffering=0) as file:
            while not stop.wait(0.001):
                turn += 1
                os.pwrite(file.fileno(), contents[turn % 2], 0)

    wrong: list[int] = []
    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(15):
            sides.engine.saved([str(path)])
            await sides.engine.sync()
            there = (sides.there / "data").read_bytes()
            if there not in contents:
                wrong.append(len(there))
    finally:
        stop.set()
        writer.join()
    assert wrong == []
    path.write_bytes(b"c" * size)
    await soon(lambda: (sides.there / "data").read_bytes() == b"c" * size, "the last content")
    await synced(sides)
