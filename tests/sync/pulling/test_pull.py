"""What the remote makes comes here, with a real agent."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.core import delta, identity, messages
from sidecar.errors import Disconnected, SyncError
from sidecar.sync.pulling import incoming, logs, pull
from sidecar.sync.watching import lookout
from tests.sync.sides import DEADLINE, Sides

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")


@pytest.fixture
async def sides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sides]:
    monkeypatch.setattr(lookout, "SWEEP_EVERY", 3600.0)  # so that only notices can tell
    made = Sides(tmp_path)
    yield made
    await made.end()


async def watching(sides: Sides, *wanted: str, **settings: Any) -> None:
    await sides.begin(pull=list(wanted), **settings)
    await sides.attach()
    await asyncio.wait_for(sides.attachment.lookout.looked.wait(), DEADLINE)


def here(sides: Sides, path: str) -> bytes | None:
    try:
        return (sides.here / path).read_bytes()
    except FileNotFoundError:
        return None


async def until_here(sides: Sides, path: str, content: bytes) -> None:
    await sides.until(lambda: here(sides, path) == content)
    await settled(sides)


async def settled(sides: Sides) -> None:
    """Nothing is under way in either direction."""
    engine = sides.engine
    await sides.until(
        lambda: not engine.queued and not sides.attachment.puller.waiting and not engine.stepping
    )


async def unsent(sides: Sides) -> int:
    return int(sides.attachment.pusher.seq)


# --- as it appears


async def test_a_plot_that_a_job_writes_comes_here(sides: Sides) -> None:
    sides.write("train.py", "x")
    await watching(sides, "figures/")
    sides.write_there("figures/run1/loss.png", b"\x89PNG" * 100)
    await until_here(sides, "figures/run1/loss.png", b"\x89PNG" * 100)
    sides.write_there("figures/run1/loss.png", b"\x89PNG, later")
    await until_here(sides, "figures/run1/loss.png", b"\x89PNG, later")
    assert sides.notes() == {}


async def test_what_was_there_before_comes_at_once_and_keeps_its_time(sides: Sides) -> None:
    sides.write("train.py", "x")
    await watching(sides)
    await sides.end()
    plot = sides.write_there("runs/1/loss.png", "old")
    os.utime(plot, ns=(10**18, 10**18))
    await watching(sides, "runs/")
    await until_here(sides, "runs/1/loss.png", b"old")
    assert (sides.here / "runs/1/loss.png").stat().st_mtime_ns == 10**18


async def test_what_came_is_not_sent_back(sides: Sides) -> None:
    sides.write("train.py", "x")
    await watching(sides, "runs/", "*.csv")
    for number in range(20):
        sides.write_there(f"runs/{number}/a.csv", f"{number}")
    sides.write_there("top.csv", "x")
    await until_here(sides, "top.csv", b"x")
    await sides.until(lambda: all(here(sides, f"runs/{n}/a.csv") for n in range(20)))
    await settled(sides)
    before = {path: (sides.there / path).stat().st_ino for path in sides.tree_there()}
    sides.write("other.py", "x")
    await sides.until(lambda: "other.py" in sides.tree_there())
    await settled(sides)
    assert {path: (sides.there / path).stat().st_ino for path in before} == before
    assert await sides.lists_are_equal()


async def test_what_git_ignores_comes_where_a_pattern_names_it_and_is_never_sent(
    sides: Sides,
) -> None:
    sides.write(".gitignore", "runs/\n")
    (sides.here / ".git").mkdir()
    (sides.here / ".git/HEAD").write_text("ref: refs/heads/main\n")
    sides.write("runs/mine.log", "only here")
    await watching(sides, "runs/", ignore=["runs/"])
    sides.write_there("runs/theirs.bin", "theirs")
    await until_here(sides, "runs/theirs.bin", b"theirs")
    sides.write("runs/theirs.bin", "edited here")
    sides.write("a.py", "x")
    await sides.until(lambda: "a.py" in sides.tree_there())
    await settled(sides)
    assert sides.tree_there()["runs/theirs.bin"] == b"theirs"
    assert "runs/mine.log" not in sides.tree_there()


async def test_all_brings_edits_of_ours_and_what_is_new_there(sides: Sides) -> None:
    sides.write("train.py", "ours")
    sides.write("gone.py", "ours")
    await watching(sides, "**", ignore=["data/"])
    sides.write_there("train.py", "edited there")
    sides.write_there("pkg/new.py", "new there")
    sides.write_there("data/huge.bin", "not wanted")
    await until_here(sides, "train.py", b"edited there")
    await until_here(sides, "pkg/new.py", b"new there")
    assert here(sides, "data/huge.bin") is None
    (sides.here / "gone.py").unlink()
    await sides.until(lambda: "gone.py" not in sides.tree_there())
    sides.write("train.py", "edited here")
    await sides.until(lambda: sides.tree_there()["train.py"] == b"edited here")
    await settled(sides)
    assert sides.notes() == {}
    assert await sides.lists_are_equal()


async def test_what_was_replaced_here_is_in_the_trash(sides: Sides) -> None:
    sides.write("train.py", "ours")
    await watching(sides, "**")
    sides.write_there("train.py", "theirs")
    await until_here(sides, "train.py", b"theirs")
    kept = [path.read_bytes() for path in (sides.store / "trash").glob("*.kept")]
    assert kept == [b"ours"]


async def test_both_changed_is_a_conflict_and_neither_is_touched(sides: Sides) -> None:
    sides.write("runs/config", "base")
    await watching(sides, "runs/")
    await sides.cut()
    sides.write("runs/config", "mine")
    sides.write_there("runs/config", "theirs")
    await sides.attach()
    await asyncio.wait_for(sides.attachment.lookout.looked.wait(), DEADLINE)
    await sides.until(lambda: sides.notes() == {"runs/config": "conflict"})
    assert here(sides, "runs/config") == b"mine"
    assert sides.read_there("runs/config") == "theirs"


async def test_a_pull_never_deletes_here_and_nothing_is_put_back_there(sides: Sides) -> None:
    sides.write("a.py", "x")
    await watching(sides, "runs/")
    sides.write_there("runs/1.ckpt", "one")
    await until_here(sides, "runs/1.ckpt", b"one")
    (sides.there / "runs/1.ckpt").unlink()
    sides.write_there("runs/2.ckpt", "two")
    await until_here(sides, "runs/2.ckpt", b"two")
    await sides.engine.sync()
    assert here(sides, "runs/1.ckpt") == b"one"
    assert set(sides.tree_there()) == {"a.py", "runs/2.ckpt"}


async def test_what_is_deleted_here_stays_there_and_comes_again_when_it_changes(
    sides: Sides,
) -> None:
    sides.write("a.py", "x")
    await watching(sides, "runs/")
    sides.write_there("runs/1.ckpt", "one")
    await until_here(sides, "runs/1.ckpt", b"one")
    (sides.here / "runs/1.ckpt").unlink()
    await sides.engine.sync()
    assert sides.read_there("runs/1.ckpt") == "one"
    assert here(sides, "runs/1.ckpt") is None
    sides.write_there("runs/1.ckpt", "two")
    await until_here(sides, "runs/1.ckpt", b"two")


async def test_runs_do_not_ask_about_what_is_the_remotes(sides: Sides) -> None:
    sides.write("train.py", "x")
    await watching(sides, "**")
    sides.write_there("out.bin", "one")
    await until_here(sides, "out.bin", b"one")
    await sides.engine.barrier()
    entries = dict(sides.engine._base.remote_entries())
    assert "out.bin" not in entries
    assert "train.py" in entries
    assert await sides.lists_are_equal()


async def test_a_restart_knows_what_came(sides: Sides) -> None:
    sides.write("a.py", "x")
    await watching(sides, "**")
    sides.write_there("out.bin", "one")
    await until_here(sides, "out.bin", b"one")
    await sides.end()
    (sides.there / "out.bin").unlink()
    await watching(sides, "**")
    await sides.engine.sync()
    assert set(sides.tree_there()) == {"a.py"}
    assert here(sides, "out.bin") == b"one"
    assert sides.notes() == {}


async def test_a_sync_waits_for_what_comes(sides: Sides) -> None:
    sides.write("a.py", "x")
    await sides.begin(watch=False, pull=["runs/"])
    await sides.attach()
    for number in range(50):
        sides.write_there(f"runs/{number}.txt", "x" * number)
    await sides.engine.sync()
    assert len(list((sides.here / "runs").iterdir())) == 50


# --- large files, logs


async def test_what_is_too_large_is_said_and_left(sides: Sides) -> None:
    sides.write("a.py", "x")
    await watching(sides, "runs/", pull_max=1000)
    sides.write_there("runs/big.ckpt", bytes(1001))
    await sides.until(lambda: sides.notes() == {"runs/big.ckpt": pull.TOO_LARGE})
    assert "sidecar pull runs/big.ckpt" in sides.engine.notes[0].text
    sides.write_there("runs/small", bytes(1000))
    await until_here(sides, "runs/small", bytes(1000))
    assert here(sides, "runs/big.ckpt") is None


async def test_a_log_comes_by_its_tail(sides: Sides) -> None:
    sides.write("a.py", "x")
    await watching(sides, "runs/")
    start = b"".join(b"step %d\n" % number for number in range(20_000))
    sides.write_there("runs/train.log", start)
    await until_here(sides, "runs/train.log", start)
    inode = (sides.here / "runs/train.log").stat().st_ino
    before = sides.attachment.puller.bytes_received
    whole = start
    with (sides.there / "runs/train.log").open("ab") as log:
        for number in range(3):
            line = b"later %d\n" % number
            whole += line
            log.write(line)
            log.flush()
            await until_here(sides, "runs/train.log", whole)
    assert sides.attachment.puller.bytes_received - before < 20_000
    assert (sides.here / "runs/train.log").stat().st_ino == inode
    node = sides.engine._base.entries["runs/train.log"].node
    assert node.digest == delta.content_digest(whole)


async def test_a_log_that_was_being_added_to_at_a_crash_is_no_edit(sides: Sides) -> None:
    sides.write("a.py", "x")
    await watching(sides, "runs/")
    sides.write_there("runs/train.log", b"one\n")
    await until_here(sides, "runs/train.log", b"one\n")
    before = sides.engine._base.entries["runs/train.log"]
    with (sides.there / "runs/train.log").open("ab") as log:
        log.write(b"two\n")
    await until_here(sides, "runs/train.log", b"one\ntwo\n")
    added = sides.engine._base.entries["runs/train.log"].node.digest
    await sides.cut()
    sides.engine._base.agree("runs/train.log", before)  # as it was between write and record
    sides.engine._base.intend("runs/train.log", logs.ADDED + added)
    with (sides.there / "runs/train.log").open("ab") as log:
        log.write(b"three\n")
    await sides.attach()
    await until_here(sides, "runs/train.log", b"one\ntwo\nthree\n")
    assert sides.notes() == {}


async def test_a_log_that_was_begun_anew_comes_anew(sides: Sides) -> None:
    sides.write("a.py", "x")
    await watching(sides, "runs/")
    sides.write_there("runs/train.log", b"old\n" * 5000)
    await until_here(sides, "runs/train.log", b"old\n" * 5000)
    sides.write_there("runs/train.log", b"new\n" * 6000)  # the same inode, only longer
    await until_here(sides, "runs/train.log", b"new\n" * 6000)


async def test_a_log_rewritten_in_its_middle_is_found_out_when_it_is_quiet(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "QUIET", 0.1)
    sides.write("a.py", "x")
    await watching(sides, "runs/")
    whole = bytearray(b"line\n" * 5000)
    sides.write_there("runs/train.log", bytes(whole))
    await until_here(sides, "runs/train.log", bytes(whole))
    whole[:4] = b"LINE"
    whole += b"more\n"
    with (sides.there / "runs/train.log").open("r+b") as log:
        log.write(b"LINE")
        log.seek(0, os.SEEK_END)
        log.write(b"more\n")
    await until_here(sides, "runs/train.log", bytes(whole))


async def test_of_a_large_changed_file_only_what_changed_travels(sides: Sides) -> None:
    sides.write("a.py", "x")
    await watching(sides, "runs/")
    old = os.urandom(4 << 20)
    sides.write_there("runs/model.bin", old)
    await until_here(sides, "runs/model.bin", old)
    before = sides.attachment.puller.bytes_received
    new = old[:1_000_000] + b"inserted" + old[1_000_000:3_000_000] + os.urandom(1000)
    sides.write_there("runs/model.bin", new)
    await until_here(sides, "runs/model.bin", new)
    assert sides.attachment.puller.bytes_received - before < len(new) / 4


async def test_a_file_that_never_stops_changing_keeps_nothing_else(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides.write("a.py", "x")
    await watching(sides, "runs/")
    real = incoming.Incoming.whole

    async def changing(self: Any, path: str, there: Any, into: Any) -> Any:
        if path == "runs/busy.bin":
            sides.write_there(path, os.urandom(100))
        return await real(self, path, there, into)

    monkeypatch.setattr(incoming.Incoming, "whole", changing)
    sides.write_there("runs/busy.bin", os.urandom(100))
    sides.write_there("runs/calm.bin", b"calm")
    await sides.until(lambda: here(sides, "runs/calm.bin") == b"calm")
    assert here(sides, "runs/busy.bin") is None
    monkeypatch.setattr(incoming.Incoming, "whole", real)
    sides.write_there("runs/busy.bin", b"done")
    await until_here(sides, "runs/busy.bin", b"done")


# --- a remote that is not to be trusted


async def test_nothing_comes_that_this_machine_would_run(sides: Sides) -> None:
    sides.write("a.py", "x")
    await watching(sides, "**", "runs/")
    for path in (".git/hooks/post-commit", ".envrc", ".vscode/tasks.json", "runs/.envrc",
                 "runs/.git/config", "sidecar.local.toml", ".idea/x.xml"):  # fmt: skip
        sides.write_there(path, "evil")
    tool = sides.write_there("runs/tool.sh", "#!/bin/sh\n")
    tool.chmod(0o755)
    sides.write_there("runs/last", "x")
    await until_here(sides, "runs/last", b"x")
    await until_here(sides, "runs/tool.sh", b"#!/bin/sh\n")
    assert not os.access(sides.here / "runs/tool.sh", os.X_OK)
    came = {str(p.relative_to(sides.here)) for p in sides.here.rglob("*") if p.is_file()}
    assert came == {"a.py", "runs/tool.sh", "runs/last"}


async def test_an_executable_bit_here_outlives_a_pull(sides: Sides) -> None:
    script = sides.write("run.sh", "#!/bin/sh\n")
    script.chmod(0o755)
    await watching(sides, "**")
    sides.write_there("run.sh", "#!/bin/sh\nedited\n")
    await until_here(sides, "run.sh", b"#!/bin/sh\nedited\n")
    assert os.access(script, os.X_OK)


async def test_nothing_comes_through_a_link_that_leads_out(sides: Sides, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    sides.write("a.py", "x")
    (sides.here / "runs").symlink_to(outside)
    await watching(sides, "/runs/**", ignore=["/runs"])
    sides.write_there("runs/evil", "evil")
    sides.write_there("b.py", "x")
    await sides.engine.sync()
    assert list(outside.iterdir()) == []


async def test_a_link_comes_only_if_it_stays_inside(sides: Sides) -> None:
    sides.write("a.py", "x")
    await watching(sides, "runs/")
    sides.write_there("runs/1/x", "x")
    (sides.there / "runs/latest").symlink_to("1")
    (sides.there / "runs/evil").symlink_to("../../../.ssh")
    await sides.until(lambda: (sides.here / "runs/latest").is_symlink())
    await sides.until(lambda: "runs/evil" in sides.notes())
    assert os.readlink(sides.here / "runs/latest") == "1"
    assert not os.path.lexists(sides.here / "runs/evil")


async def test_strange_names_and_numbers_of_a_hostile_remote_write_nothing(
    sides: Sides,
) -> None:
    sides.write("a.py", "x")
    await watching(sides, "**")
    huge = identity.Identity("f", 0o644, (1 << 64) - 1, 1, 1, 1)
    small = identity.Identity("f", 0o644, 10, 1, 1, 1)
    for path, there in (
        ("../evil", small), ("/tmp/evil", small), (".git/config", small), ("a/../../b", small),
        ("huge", huge), ("not-there", small),
    ):  # fmt: skip
        body = identity.pack([(path, there)])
        sides.attachment.lookout._noticed(
            messages.Noticed(sides.attachment.there.number, False, body)
        )
    await sides.until(lambda: sides.notes().get("huge") == pull.TOO_LARGE)
    await settled(sides)
    assert {path.name for path in sides.here.iterdir()} == {"a.py"}
    assert sides.engine.attached


async def test_an_edit_made_here_while_a_pull_is_under_way_is_kept(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides.write("train.py", "ours")
    await watching(sides, "**")
    real = incoming.Incoming.whole

    async def slow(self: Any, path: str, there: Any, into: Any) -> Any:
        arrived = await real(self, path, there, into)
        if path == "train.py":
            sides.write("train.py", "edited here meanwhile")
        return arrived

    monkeypatch.setattr(incoming.Incoming, "whole", slow)
    sides.write_there("train.py", "theirs")
    await sides.until(lambda: sides.notes() == {"train.py": "conflict"})
    assert here(sides, "train.py") == b"edited here meanwhile"
    assert sides.read_there("train.py") == "theirs"


# --- by hand


async def fetched(sides: Sides, *wanted: str, **options: Any) -> Any:
    return await sides.engine.pull(list(wanted), **options)


async def test_what_is_fetched_by_hand_comes_whatever_its_size_and_is_not_sent_back(
    sides: Sides,
) -> None:
    sides.write("a.py", "x")
    await watching(sides, pull_max=100, ignore=["*.ckpt"])
    sides.write_there("runs/best.ckpt", bytes(200_000))
    sides.write_there("results.csv", "1,2\n")
    result = await fetched(sides, "runs/best.ckpt", "results.csv")
    assert (result.pulled, result.notes) == (2, [])
    assert here(sides, "runs/best.ckpt") == bytes(200_000)
    before = (sides.there / "results.csv").stat().st_ctime_ns
    await sides.engine.sync()
    assert (sides.there / "results.csv").stat().st_ctime_ns == before
    assert (await fetched(sides, "results.csv")).pulled == 0
    assert await sides.lists_are_equal()


async def test_folders_and_patterns_can_be_fetched(sides: Sides) -> None:
    sides.write("a.py", "x")
    await watching(sides)
    for path in ("runs/1/a.png", "runs/1/b.txt", "runs/2/a.png", "runs/2/.git/x", "other/a.png"):
        sides.write_there(path, path)
    assert (await fetched(sides, "runs/*/*.png")).pulled == 2
    assert here(sides, "runs/2/a.png") == b"runs/2/a.png"
    assert here(sides, "runs/1/b.txt") is None
    assert (await fetched(sides, "runs")).pulled == 1
    assert here(sides, "runs/1/b.txt") is not None
    assert here(sides, "runs/2/.git/x") is None


async def test_a_dry_run_of_a_pull_only_says_what_would_come(sides: Sides) -> None:
    sides.write("a.py", "x")
    await watching(sides)
    sides.write_there("out/a.bin", bytes(1500))
    result = await fetched(sides, "out", dry_run=True)
    assert result.plan == ["pull out/a.bin (1.5 KB)"]
    assert here(sides, "out/a.bin") is None


async def test_what_was_changed_here_is_replaced_only_when_asked(sides: Sides) -> None:
    sides.write("a.py", "ours")
    await watching(sides)
    sides.write_there("a.py", "theirs")
    await sides.until(lambda: "a.py" in sides.notes())
    sides.write("a.py", "changed here")
    await sides.until(lambda: sides.notes() == {"a.py": "conflict"})
    result = await fetched(sides, "a.py")
    assert [(note.path, note.kind) for note in result.notes] == [("a.py", pull.NOT_PULLED)]
    assert here(sides, "a.py") == b"changed here"
    result = await fetched(sides, "a.py", prefer="remote")
    assert (result.pulled, result.notes) == (1, [])
    assert here(sides, "a.py") == b"theirs"
    assert b"changed here" in [one.read_bytes() for one in (sides.store / "trash").glob("*.kept")]
    await sides.engine.sync()
    assert sides.read_there("a.py") == "theirs"
    assert sides.notes() == {}
    assert await sides.lists_are_equal()


@pytest.mark.parametrize("path", ["../outside", "nothing", ".sidecar/marker.json", "no*", "a/../b"])
async def test_what_cannot_be_fetched_says_why(sides: Sides, path: str) -> None:
    sides.write("a.py", "x")
    await watching(sides)
    with pytest.raises(SyncError, match="cannot be pulled"):
        await fetched(sides, path)


async def test_paths_of_either_side_are_those_of_the_project(sides: Sides) -> None:
    sides.write("a.py", "x")
    await watching(sides)
    engine = sides.engine
    assert engine.named(str(sides.here / "runs/x")) == "runs/x"
    assert engine.named(str(sides.there / "runs/x")) == "runs/x"
    with pytest.raises(SyncError, match="outside the project"):
        engine.named("/etc/passwd")


async def test_only_a_path_that_was_named_brings_an_executable_bit_or_what_may_run(
    sides: Sides,
) -> None:
    sides.write("a.py", "x")
    await watching(sides)
    for path in ("bin/tool.sh", "bin/other.sh", "bin/.envrc"):
        sides.write_there(path, "#!/bin/sh\n").chmod(0o755)
    result = await fetched(sides, "bin")
    assert [note.path for note in result.notes] == ["bin/.envrc"]
    assert not os.access(sides.here / "bin/other.sh", os.X_OK)
    (sides.here / "bin/tool.sh").unlink()
    await fetched(sides, "bin/tool.sh", "bin/.envrc")
    assert os.access(sides.here / "bin/tool.sh", os.X_OK)
    assert here(sides, "bin/.envrc") is not None


async def test_a_fetch_can_be_called_off(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    sides.write("a.py", "x")
    await watching(sides)
    sides.write_there("big.bin", os.urandom(8 << 20))
    sides.write_there("small.bin", "x")
    begun = asyncio.Event()
    real = incoming.Incoming.whole

    async def slow(self: Any, path: str, there: Any, into: Any) -> Any:
        if path == "big.bin":
            begun.set()
            await asyncio.Event().wait()
        return await real(self, path, there, into)

    monkeypatch.setattr(incoming.Incoming, "whole", slow)
    asking = asyncio.create_task(fetched(sides, "big.bin"))
    await asyncio.wait_for(begun.wait(), DEADLINE)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert (await fetched(sides, "small.bin")).pulled == 1
    assert here(sides, "big.bin") is None
    monkeypatch.undo()
    assert (await fetched(sides, "big.bin")).pulled == 1


async def test_a_cut_ends_a_fetch_with_a_word(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides.write("a.py", "x")
    await watching(sides)
    sides.write_there("big.bin", os.urandom(1 << 20))
    begun = asyncio.Event()

    async def endless(self: Any, path: str, there: Any, into: Any) -> Any:
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(incoming.Incoming, "whole", endless)
    asking = asyncio.create_task(fetched(sides, "big.bin"))
    await asyncio.wait_for(begun.wait(), DEADLINE)
    await sides.cut()
    with pytest.raises(Disconnected):
        await asking
    assert here(sides, "big.bin") is None


# --- mirror


async def test_mirror_removes_at_a_sync_what_only_the_remote_has(sides: Sides) -> None:
    sides.write("a.py", "x")
    sides.write("pkg/b.py", "x")
    await watching(sides, "figures/", mode="mirror", ignore=["data/", "*.log"])
    for path in ("old.py", "pkg/old.py", "gone/deep/x", "kept/train.log", "kept/x",
                 "data/huge.bin", "figures/loss.png", "__pycache__/a.pyc"):  # fmt: skip
        sides.write_there(path, "theirs")
    await sides.engine.sync()
    assert set(sides.tree_there()) == {
        "a.py", "pkg/b.py", "kept/train.log", "data/huge.bin", "figures/loss.png",
        "__pycache__/a.pyc",
    }  # fmt: skip
    assert not (sides.there / "gone").exists()
    trash = [path.read_bytes() for path in (sides.there / ".sidecar/trash").rglob("*")
             if path.is_file()]  # fmt: skip
    assert any(b"theirs" in content for content in trash)
    assert here(sides, "figures/loss.png") == b"theirs"
    assert sides.notes() == {}
    assert await sides.lists_are_equal()


async def test_mirror_asks_before_it_removes_very_many(sides: Sides) -> None:
    sides.write("a.py", "x")
    await watching(sides, mode="mirror")
    for number in range(120):
        sides.write_there(f"theirs/{number}", "x")
    await sides.engine.sync()
    assert len(sides.tree_there()) == 121
    assert set(sides.notes().values()) == {"held"}
    await sides.engine.sync(prefer="local")
    assert set(sides.tree_there()) == {"a.py"}


async def test_push_leaves_what_only_the_remote_has_for_ever(sides: Sides) -> None:
    sides.write("a.py", "x")
    await watching(sides)
    sides.write_there("theirs/x", "x")
    await sides.engine.sync()
    await sides.engine.sync(prefer="local")
    assert set(sides.tree_there()) == {"a.py", "theirs/x"}
