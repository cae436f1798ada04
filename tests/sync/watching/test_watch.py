import asyncio
import errno
import gc
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from watchfiles import _rust_notify
from watchfiles._rust_notify import RustNotify

from sidecar.sync.rules.ignore import Rules
from sidecar.sync.watching import inotify_tree, portable_tree, watch
from sidecar.sync.watching.settling import SETTLE, STORM_SETTLE, Settling
from sidecar.sync.watching.watch import Batch, Watcher

DEADLINE = 60.0


class Reader:
    """Gathers what a watcher tells, and waits for it."""

    def __init__(self, watcher: Watcher) -> None:
        self.watcher = watcher
        self.paths: set[str] = set()
        self.rescans = 0
        self.batches: list[Batch] = []
        self._changed = asyncio.Condition()

    async def read(self) -> None:
        async with aclosing(self.watcher.batches()) as batches:
            async for batch in batches:
                async with self._changed:
                    self.paths |= batch.paths
                    self.rescans += batch.rescan
                    self.batches.append(batch)
                    self._changed.notify_all()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with self._changed:
            await asyncio.wait_for(self._changed.wait_for(condition), DEADLINE)

    async def told(self, *paths: str) -> None:
        await self.until(lambda: set(paths) <= self.paths)


@asynccontextmanager
async def watching(
    root: Path, rules: Rules | None = None, **options: bool
) -> AsyncIterator[Reader]:
    reader = Reader(Watcher(root, rules or Rules.load(root), **options))  # type: ignore[arg-type]
    task = asyncio.create_task(reader.read())
    try:
        await reader.until(lambda: reader.rescans > 0)
        reader.rescans = 0
        yield reader
    finally:
        task.cancel()
        (result,) = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(result, asyncio.CancelledError), result


both = pytest.mark.parametrize(
    "portable",
    [
        pytest.param(
            False,
            id="inotify",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="only on Linux"),
        ),
        pytest.param(True, id="watchfiles"),
    ],
)
linux = pytest.mark.skipif(sys.platform != "linux", reason="only on Linux: inotify")


@both
async def test_each_kind_of_change_is_told(tmp_path: Path, portable: bool) -> None:
    for name in ("changed", "gone", "moved", "mode", "replaced"):
        (tmp_path / name).write_text("x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "in").write_text("x")
    async with watching(tmp_path, portable=portable) as reader:
        (tmp_path / "changed").write_text("y")
        (tmp_path / "gone").unlink()
        (tmp_path / "moved").rename(tmp_path / "there")
        (tmp_path / "mode").chmod(0o755)
        (tmp_path / "new").write_text("x")
        (tmp_path / "link").symlink_to("new")
        (tmp_path / "made").mkdir()
        (tmp_path / "temporary").write_text("z")
        (tmp_path / "temporary").rename(tmp_path / "replaced")
        (tmp_path / "folder" / "in").write_text("y")
        await reader.told(
            "changed", "gone", "moved", "there", "mode", "new", "link", "made", "replaced",
            "folder/in",
        )  # fmt: skip


@both
async def test_files_in_folders_that_appear_and_fill_at_once_are_not_missed(
    tmp_path: Path, portable: bool
) -> None:
    async with watching(tmp_path, portable=portable) as reader:

        def burst() -> None:
            for number in range(200):
                (tmp_path / f"d{number}" / "deep").mkdir(parents=True)
                (tmp_path / f"d{number}" / "deep" / "f").write_text("x")

        await asyncio.to_thread(burst)
        await reader.told(*(f"d{number}/deep/f" for number in range(200)))


@both
async def test_a_folder_that_is_moved_in_is_told_with_all_in_it(
    tmp_path: Path, portable: bool
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "outside" / "deep").mkdir(parents=True)
    (tmp_path / "outside" / "deep" / "f").write_text("x")
    async with watching(root, portable=portable) as reader:
        (tmp_path / "outside").rename(root / "inside")
        await reader.told("inside", "inside/deep", "inside/deep/f")
        (root / "inside" / "deep" / "g").write_text("x")
        await reader.told("inside/deep/g")
        (root / "inside").rename(root / "again")
        await reader.told("again/deep/g")
        (root / "again" / "deep" / "h").write_text("x")
        await reader.told("again/deep/h")
        assert "inside/deep/h" not in reader.paths


@both
async def test_a_name_that_is_no_utf_8_does_not_end_the_watch(
    tmp_path: Path, portable: bool
) -> None:
    async with watching(tmp_path, portable=portable) as reader:
        (tmp_path / "caf\udce9").write_text("x")
        await reader.until(lambda: "caf\udce9" in reader.paths or reader.rescans > 0)
        if portable:  # watchfiles ends at such a name, and is started again
            await reader.until(lambda: reader.rescans > 1)
        (tmp_path / "after").write_text("x")
        await reader.told("after")


@both
async def test_ignored_paths_are_not_told(tmp_path: Path, portable: bool) -> None:
    (tmp_path / ".gitignore").write_text("*.log\n")
    (tmp_path / "node_modules" / "deep").mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    async with watching(tmp_path, portable=portable) as reader:
        (tmp_path / "node_modules" / "deep" / "f").write_text("x")
        (tmp_path / ".git" / "index").write_text("x")
        (tmp_path / "a.log").write_text("x")
        (tmp_path / "__pycache__").mkdir()
        (tmp_path / "__pycache__" / "m.pyc").write_text("x")
        (tmp_path / "last").write_text("x")
        await reader.told("last")
        assert reader.paths == {"last"}
        assert reader.rescans == 0


@both
async def test_a_replaced_root_is_noticed(tmp_path: Path, portable: bool) -> None:
    root = tmp_path / "root"
    root.mkdir()
    async with watching(root, portable=portable) as reader:
        root.rename(tmp_path / "old")
        await reader.until(lambda: reader.rescans > 0)
        reader.rescans = 0
        root.mkdir()
        (root / "f").write_text("x")
        await reader.until(lambda: reader.rescans > 0)
        assert reader.watcher.missing == ""
        (root / "g").write_text("x")
        await reader.told("g")


@both
async def test_a_root_whose_folder_is_moved_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, portable: bool
) -> None:
    for module, name in (
        (watch, "TICK"), (inotify_tree, "ROOT_EVERY"), (portable_tree, "TURN"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, 0.05)
    root = tmp_path / "above" / "root"
    root.mkdir(parents=True)
    async with watching(root, portable=portable) as reader:
        (tmp_path / "above").rename(tmp_path / "elsewhere")
        await reader.until(lambda: reader.rescans > 0)
        await reader.until(lambda: reader.watcher.missing != "")


@linux
async def test_a_root_that_is_unmounted_is_noticed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    mount = ["mount", "-t", "tmpfs", "none", str(root)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only on machines where we may mount")
    async with watching(root) as reader:
        subprocess.run(["umount", "-l", str(root)], check=True)
        await reader.until(lambda: reader.rescans > 0)
        reader.rescans = 0
        (root / "f").write_text("x")
        await reader.until(lambda: "f" in reader.paths or reader.rescans > 0)


@both
async def test_other_names_of_a_changed_file_are_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, portable: bool
) -> None:
    monkeypatch.setattr(inotify_tree, "LINKED_EVERY", 0.1)
    monkeypatch.setattr(portable_tree, "LOOKS", (0.05, 0.1))
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, other = tmp_path / "a" / "one", tmp_path / "b" / "other"
    one.write_text("x")
    os.link(one, other)
    async with watching(tmp_path, portable=portable) as reader:
        for _ in range(2):
            with one.open("a") as file:
                file.write("y")
            await reader.told("a/one")
            await reader.until(lambda: reader.rescans > 0 or "b/other" in reader.paths)
            reader.rescans = 0
            reader.paths.clear()


@both
async def test_a_scan_is_asked_for_at_every_beat(tmp_path: Path, portable: bool) -> None:
    async with watching(tmp_path, portable=portable, beat=0.05) as reader:  # type: ignore[arg-type]
        await reader.until(lambda: reader.rescans >= 3)


@both
async def test_nothing_is_left_running(tmp_path: Path, portable: bool) -> None:
    descriptors = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for _ in range(3):
        async with watching(tmp_path, portable=portable):
            pass
    gc.collect()
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []
    watchers = [one for one in threading.enumerate() if "notify" in one.name]
    assert watchers == []
    if descriptors:
        assert len(os.listdir("/proc/self/fd")) <= descriptors + 3  # asyncio's own


@both
async def test_what_is_not_fetched_grows_together(tmp_path: Path, portable: bool) -> None:
    watcher = Watcher(tmp_path, Rules.load(tmp_path), portable=portable)
    async with aclosing(watcher.batches()) as batches:
        assert await batches.__anext__() == Batch(frozenset(), True)
        for number in range(20):
            (tmp_path / f"f{number}").write_text("x")
            await asyncio.sleep(0)
        seen: set[str] = set()
        while len(seen) < 20:
            seen |= (await asyncio.wait_for(batches.__anext__(), DEADLINE)).paths
        assert seen == {f"f{number}" for number in range(20)}


async def test_more_paths_than_can_wait_become_a_scan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "MAX_PATHS", 10)
    async with watching(tmp_path) as reader:
        for number in range(200):
            (tmp_path / f"f{number}").write_text("x")
        await reader.until(lambda: reader.rescans > 0 or len(reader.paths) >= 200)


@linux
async def test_ignored_folders_take_no_watches(tmp_path: Path) -> None:
    for number in range(2000):
        (tmp_path / "node_modules" / f"d{number}" / "lib").mkdir(parents=True)
    (tmp_path / "src" / "deep").mkdir(parents=True)
    tree = inotify_tree.InotifyTree(tmp_path, Rules.load(tmp_path))
    try:
        told = Path(f"/proc/self/fdinfo/{tree.fileno()}").read_text().splitlines()
        assert sum(line.startswith("inotify wd:") for line in told) == 3  # the root, src, deep
    finally:
        tree.close()


@linux
async def test_the_watch_follows_new_rules(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / ".gitignore").write_text("data/\n")
    rules = Rules.load(tmp_path)
    async with watching(tmp_path, rules) as reader:
        (tmp_path / ".gitignore").write_text("")
        await reader.told(".gitignore")
        rules.reload()
        (tmp_path / "poke").write_text("")
        await reader.until(lambda: reader.rescans > 0)
        (tmp_path / "data" / "f").write_text("x")
        await reader.told("data/f")


@linux
async def test_a_folder_that_takes_an_ignored_environments_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "pyvenv.cfg").write_text("")
    async with watching(tmp_path) as reader:
        shutil.rmtree(tmp_path / "env")
        (tmp_path / "env").mkdir()
        (tmp_path / "env" / "f").write_text("x")
        await reader.told("env/f")


@linux
async def test_a_file_is_told_when_it_is_closed_or_written_to_for_long(tmp_path: Path) -> None:
    async with watching(tmp_path) as reader:
        with (tmp_path / "log").open("w") as log:
            log.write("begin")
            log.flush()
            (tmp_path / "other").write_text("x")
            await reader.told("other")
            assert "log" not in reader.paths
            await reader.told("log")
            reader.paths.clear()
            log.write("end")
        await reader.told("log")


@linux
async def test_lost_events_ask_for_a_scan_and_new_folders_are_watched(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    tree = inotify_tree.InotifyTree(tmp_path, Rules.load(tmp_path))
    try:
        limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
        one, other = tmp_path / "a" / "one", tmp_path / "a" / "other"
        one.touch()
        other.touch()
        for _ in range(limit // 2 + 10):  # in turn, since the kernel joins equal events
            os.utime(one)
            os.utime(other)
        (tmp_path / "unseen").mkdir()
        assert tree.look().lost
        assert "unseen" in tree._watches
        (tmp_path / "unseen" / "f").write_text("x")
        assert tree.look().paths == {"unseen/f"}
    finally:
        tree.close()


class FewWatches(inotify_tree.Inotify):
    """Has none left for folders of that name, for a time."""

    used_up = True

    def add(self, folder: str) -> int:
        if self.used_up and folder.endswith("deep"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().add(folder)


@linux
async def test_without_watches_left_the_watch_says_so_scans_and_tries_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inotify_tree, "Inotify", FewWatches)
    monkeypatch.setattr(FewWatches, "used_up", True)
    for module, name in ((watch, "TICK"), (watch, "UNWATCHED"), (inotify_tree, "COVER_EVERY")):
        monkeypatch.setattr(module, name, 0.05)
    (tmp_path / "deep").mkdir()
    async with watching(tmp_path) as reader:
        assert reader.watcher.missing == (
            "no inotify watches are left (sysctl fs.inotify.max_user_watches)"
        )
        (tmp_path / "f").write_text("x")
        await reader.told("f")
        await reader.until(lambda: reader.rescans >= 3)
        FewWatches.used_up = False
        await reader.until(lambda: reader.watcher.missing == "")
        (tmp_path / "deep" / "g").write_text("x")
        await reader.told("deep/g")


class NoInstances(inotify_tree.Inotify):
    def __init__(self) -> None:
        raise OSError(errno.EMFILE, "Too many open files")


@linux
async def test_where_there_is_no_inotify_to_be_had_scans_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inotify_tree, "Inotify", NoInstances)
    monkeypatch.setattr(watch, "TICK", 0.05)
    monkeypatch.setattr(watch, "UNWATCHED", 0.05)
    async with watching(tmp_path) as reader:
        assert "inotify instances" in reader.watcher.missing
        await reader.until(lambda: reader.rescans >= 3)


def test_many_paths_in_a_moment_are_waited_for_longer_until_it_is_over() -> None:
    settling = Settling()
    assert settling.wait(100.0) == SETTLE
    settling.told(4, 100.0)  # a save
    assert settling.wait(100.0) == SETTLE
    for turn in range(10):
        settling.told(3, 200 + turn * 0.02)
    assert settling.wait(200.2) == STORM_SETTLE
    assert settling.wait(200.6) == SETTLE
    settling.told(50_000, 300.0)
    assert settling.wait(302.0) == SETTLE


# --- what watchfiles misses -------------------------------------------------------------------


async def test_what_came_into_a_new_folder_unseen_is_found_by_the_next_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class SeesTheTopAlone:
        """As if its watch on every new folder came too late."""

        def __init__(self, *options: Any) -> None:
            self._notify = RustNotify(*options)
            self.close = self._notify.close

        def watch(self, *options: Any) -> Any:
            told = self._notify.watch(*options)
            if not isinstance(told, set):
                return told
            top = os.path.realpath(tmp_path)
            return {one for one in told if os.path.dirname(one[1]) == top} or "timeout"

    monkeypatch.setattr(_rust_notify, "RustNotify", SeesTheTopAlone)
    async with watching(tmp_path, portable=True) as reader:
        (tmp_path / "new").mkdir()
        await reader.told("new")
        (tmp_path / "new" / "deep").mkdir()
        (tmp_path / "new" / "deep" / "f").write_text("x")
        await reader.told("new/deep/f")
        assert reader.rescans == 0


async def test_a_later_look_tells_only_what_is_not_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portable_tree, "LOOKS", (0.01, 0.02))
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "same").write_text("x")
    (outside / "gone").write_text("x")
    root = tmp_path / "root"
    root.mkdir()
    tree = portable_tree.PortableTree(root, Rules.load(root))
    try:
        outside.rename(root / "new")
        seen: set[str] = set()
        while "new/gone" not in seen:
            seen = (await asyncio.to_thread(tree.look)).paths
        assert seen == {"new", "new/same", "new/gone"}
        tree._notify = _Silent(tree._notify)
        (root / "new" / "gone").unlink()
        while not (seen := (await asyncio.to_thread(tree.look)).paths):
            pass
        assert seen == {"new/gone"}
    finally:
        tree.close()


class _Silent:
    """A watchfiles that tells nothing any more."""

    def __init__(self, notify: Any) -> None:
        self._notify = notify

    def watch(self, *options: Any) -> str:
        return "timeout"

    def close(self) -> None:
        self._notify.close()


async def test_after_a_flood_a_scan_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portable_tree, "FLOOD", 20)
    monkeypatch.setattr(portable_tree, "LOOKS", (0.05, 0.1))

    async with watching(tmp_path, portable=True) as reader:

        def burst() -> None:
            for number in range(500):
                (tmp_path / f"f{number}").write_text("x")

        await asyncio.to_thread(burst)
        await reader.until(lambda: reader.rescans > 0)


@pytest.mark.skipif(sys.platform == "win32", reason="it has no pipes that a loop can watch")
@pytest.mark.parametrize("turns", range(6))
async def test_a_watch_that_is_ended_when_something_happens_ends(turns: int) -> None:
    reading, writing = os.pipe()
    try:
        waiting = asyncio.create_task(watch._readable(reading, DEADLINE))
        await asyncio.sleep(0)
        os.write(writing, b"x")
        for _ in range(turns):
            await asyncio.sleep(0)
        if waiting.cancel():
            with pytest.raises(asyncio.CancelledError):
                await waiting
    finally:
        os.close(reading)
        os.close(writing)
