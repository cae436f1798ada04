"""What travels: content, executable bit, mtime and links; other bits are the remote's. And what is
never missed, never torn, and never touched."""

from __future__ import annotations

import os
import shutil
import stat
import struct
import subprocess
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.servers.programs import need_program
from tests.sync.sides import Sides


@pytest.fixture
async def sides(tmp_path: Path) -> AsyncIterator[Sides]:
    made = Sides(tmp_path)
    made.write("keep.py", "1\n")
    yield made
    await made.end()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def save(sides: Sides, path: str, content: str | bytes) -> None:
    """Returns when it is there."""
    told = len(sides.synced)
    sides.engine.saved([str(sides.write(path, content))])
    await sides.until(lambda: len(sides.synced) > told)


# --- what travels ----------------------------------------------------------------------------


async def test_content_mtime_executable_bit_and_links_travel(sides: Sides) -> None:
    plain = sides.write("plain", b"\0\xff\r\n" * 100)
    script = sides.write("script", "echo\n")
    script.chmod(0o700)
    for path, seconds in ((plain, 1_000_000_000), (script, 4_000_000_000)):
        os.utime(path, ns=(seconds * 10**9 + 1, seconds * 10**9 + 123_456_789))
    (sides.here / "link").symlink_to("plain")
    await sides.begin()
    await sides.attach()
    for path in (plain, script):
        there = sides.there / path.name
        assert there.read_bytes() == path.read_bytes()
        assert there.stat().st_mtime_ns == path.stat().st_mtime_ns
        assert os.access(there, os.X_OK) == os.access(path, os.X_OK)
    assert os.readlink(sides.there / "link") == "plain"


async def test_a_changed_executable_bit_alone_travels_and_back(sides: Sides) -> None:
    script = sides.write("script", "echo\n")
    await sides.begin()
    await sides.attach()
    for bits, executable in ((0o755, True), (0o644, False)):
        script.chmod(bits)
        result = await sides.engine.sync()
        assert result.sent == 1
        assert bool(mode(sides.there / "script") & 0o100) is executable
        assert sides.notes() == {}


async def test_other_bits_come_from_the_umask_there_and_are_kept_on_replacement(
    sides: Sides,
) -> None:
    sides.write("secret", "1\n").chmod(0o600)
    sides.write("open", "1\n").chmod(0o666)
    sides.write("tool", "1\n").chmod(0o700)
    await sides.begin()
    await sides.attach()
    mask = os.umask(0)
    os.umask(mask)
    assert mode(sides.there / "secret") == mode(sides.there / "open") == 0o666 & ~mask
    assert mode(sides.there / "tool") == 0o777 & ~mask
    (sides.there / "secret").chmod(0o640)
    await sides.engine.sync()
    sides.write("secret", "2\n").chmod(0o666)
    await sides.engine.sync()
    assert sides.read_there("secret") == "2\n"
    assert mode(sides.there / "secret") == 0o640


@pytest.mark.skipif(os.name != "posix", reason="only on systems with groups of files")
async def test_a_folders_group_there_is_its_new_files_group(sides: Sides) -> None:
    sides.there.mkdir()
    groups = [group for group in (*os.getgroups(), 12345) if group != os.getegid()]
    try:
        os.chown(sides.there, -1, groups[0])
    except PermissionError:
        pytest.skip("only on accounts with two groups")
    sides.there.chmod(0o2775)
    sides.write("pkg/a.py", "1\n")
    await sides.begin()
    await sides.attach()
    await save(sides, "pkg/a.py", "2\n")
    assert (sides.there / "pkg").stat().st_gid == groups[0]
    assert (sides.there / "pkg").stat().st_mode & stat.S_ISGID
    assert (sides.there / "pkg" / "a.py").stat().st_gid == groups[0]


def acl(*entries: tuple[int, int, int]) -> bytes:
    """As Linux keeps it: tag, permissions and id of each entry."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


NO_ID = 0xFFFFFFFF
OWNER, USER, GROUP, MASK, OTHERS = 1, 2, 4, 16, 32


async def test_the_default_acl_of_a_folder_there_holds_for_new_files(sides: Sides) -> None:
    sides.there.mkdir()
    rules = acl(
        (OWNER, 7, NO_ID), (USER, 7, 12345), (GROUP, 5, NO_ID), (MASK, 7, NO_ID),
        (OTHERS, 0, NO_ID),
    )  # fmt: skip
    try:
        os.setxattr(sides.there, "system.posix_acl_default", rules)
    except (OSError, AttributeError):
        pytest.skip("only on file systems with ACLs")
    await sides.begin()
    await sides.attach()
    for content in ("2\n", "3\n"):
        await save(sides, "keep.py", content)
        there = os.getxattr(sides.there / "keep.py", "system.posix_acl_access")
        assert struct.pack("<HHI", USER, 7, 12345) in there


# --- never missed, never torn ----------------------------------------------------------------


@pytest.mark.parametrize("told", [True, False], ids=["told", "watched"])
async def test_saves_of_the_same_size_within_a_second_are_all_seen(
    sides: Sides, told: bool
) -> None:
    await sides.begin()
    await sides.attach()
    for number in range(10):
        path = sides.write("main.py", f"x = {number}\n")
        if told:
            sides.engine.saved([str(path)])
        await sides.until(lambda: (sides.there / "main.py").is_file())
        await sides.until(lambda n=number: sides.read_there("main.py") == f"x = {n}\n")


@pytest.mark.parametrize("into", [True, False], ids=["in-place", "replaced"])
async def test_a_save_that_keeps_size_and_mtime_is_seen(sides: Sides, into: bool) -> None:
    path = sides.write("main.py", "x = 0\n")
    await sides.begin()
    await sides.attach()
    for number in range(1, 10):
        status = path.stat()
        at = path if into else path.with_name("fresh")
        at.write_text(f"x = {number}\n")
        os.utime(at, ns=(status.st_atime_ns, status.st_mtime_ns))
        os.replace(at, path)
        await sides.engine.sync()
        assert sides.read_there("main.py") == f"x = {number}\n"


class TightReader(threading.Thread):
    """Opens a file in a loop, and keeps what was neither of the whole contents."""

    def __init__(self, path: Path) -> None:
        super().__init__(name="tight reader")
        self.path, self.looks, self.wrong = path, 0, list[str]()
        self._stop_it = threading.Event()

    def run(self) -> None:
        while not self._stop_it.is_set():
            self.looks += 1
            try:
                content = self.path.read_bytes()
            except OSError as error:
                self.wrong.append(str(error))
                continue
            if not content or content != content[:1] * len(content):
                self.wrong.append(f"{len(content)} bytes")

    def stop(self) -> None:
        self._stop_it.set()
        self.join()


@pytest.mark.parametrize("size", [5_000, 400_000])
async def test_a_reader_there_never_finds_a_file_empty_partial_or_gone(
    sides: Sides, size: int
) -> None:
    sides.write("data", b"a" * size)
    await sides.begin()
    await sides.attach()
    reader = TightReader(sides.there / "data")
    reader.start()
    try:
        for number in range(30):
            await save(sides, "data", bytes([98 + number]) * (size + number % 3))
    finally:
        reader.stop()
    assert reader.wrong == []
    assert reader.looks > 30


# --- ignored there ---------------------------------------------------------------------------


async def test_ignored_files_there_are_left_alone_in_a_folder_that_is_deleted_here(
    sides: Sides,
) -> None:
    sides.write(".gitignore", "*.log\ncache/\n")
    sides.write("pkg/a.py", "1\n")
    sides.write("pkg/deep/b.py", "1\n")
    sides.write("gone/c.py", "1\n")
    await sides.begin()
    await sides.attach()
    sides.write_there("pkg/run.log", "theirs\n")
    sides.write_there("pkg/deep/cache/x", "theirs\n")
    sides.write_there("pkg/deep/__pycache__/b.pyc", "theirs\n")
    shutil.rmtree(sides.here / "pkg")
    shutil.rmtree(sides.here / "gone")
    await sides.engine.sync()
    there = sides.tree_there()
    assert {path for path in there if path.startswith(("pkg", "gone"))} == {
        "pkg/run.log",
        "pkg/deep/cache/x",
        "pkg/deep/__pycache__/b.pyc",
    }
    assert not (sides.there / "gone").exists()


async def test_what_git_ignores_here_and_tracks_is_sent_and_the_rest_is_not(sides: Sides) -> None:
    need_program("git")
    sides.write(".gitignore", "data/\n")
    sides.write("data/tracked.csv", "1\n")
    sides.write("data/other.csv", "1\n")
    subprocess.run(["git", "init", "-q", sides.here], check=True)
    subprocess.run(["git", "-C", sides.here, "add", "-f", "data/tracked.csv"], check=True)
    await sides.begin()
    await sides.attach()
    assert set(sides.tree_there()) == {".gitignore", "keep.py", "data/tracked.csv"}
