"""The engine with a real agent: first contact, saves, deletions, edits on both sides, cuts."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import shutil
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.core.delta import content_digest
from sidecar.core.identity import digest as identity_digest
from sidecar.errors import RunError, SyncError
from sidecar.sync.disk import local_files
from sidecar.sync.guarding import first_contact
from sidecar.sync.pushing import upload
from sidecar.sync.steps.answers import PATIENCE
from sidecar.sync.trees.base import Base
from sidecar.sync.trees.there import There
from tests.sync.sides import DEADLINE, Answering, Sides


@pytest.fixture
async def sides(tmp_path: Path) -> AsyncIterator[Sides]:
    made = Sides(tmp_path)
    yield made
    await made.end()


# --- first contact ---------------------------------------------------------------------------


async def test_a_project_arrives_in_a_folder_that_was_not_there(sides: Sides) -> None:
    sides.write("main.py", "print(1)\n")
    sides.write("pkg/__init__.py", "")
    sides.write("pkg/deep/data.bin", bytes(range(256)) * 1000)
    (sides.here / "empty").mkdir()
    script = sides.write("run.sh", "#!/bin/sh\n")
    script.chmod(0o755)
    (sides.here / "link").symlink_to("main.py")
    await sides.begin()
    await sides.attach()
    assert sides.tree_there() == {
        "main.py": b"print(1)\n",
        "pkg/__init__.py": b"",
        "pkg/deep/data.bin": bytes(range(256)) * 1000,
        "run.sh": b"#!/bin/sh\n",
        "link": b"print(1)\n",
    }
    assert (sides.there / "empty").is_dir()
    assert os.access(sides.there / "run.sh", os.X_OK)
    assert os.readlink(sides.there / "link") == "main.py"
    assert (sides.there / "main.py").stat().st_mtime_ns == (
        sides.here / "main.py"
    ).stat().st_mtime_ns
    assert sides.person.asked == []
    assert sides.engine.notes == []


async def test_a_filled_folder_there_is_a_question_and_nothing_is_written(sides: Sides) -> None:
    sides.write("main.py", "mine\n")
    sides.write("new.py", "new\n")
    sides.write_there("main.py", "theirs\n")
    sides.write_there("logs/run1.txt", "kept\n")
    await sides.begin()
    with pytest.raises(SyncError) as caught:
        await sides.attach()
    assert caught.value.code == "first-contact"
    assert "1 different (main.py: 5 B here, 7 B there)" in caught.value.why
    assert "1 only here" in caught.value.why
    assert "--prefer" in caught.value.fix
    assert sides.tree_there() == {"main.py": b"theirs\n", "logs/run1.txt": b"kept\n"}
    assert not (sides.there / ".sidecar").exists()


async def test_pushing_mine_keeps_theirs_in_the_trash_and_what_only_they_have(
    sides: Sides,
) -> None:
    sides.write("main.py", "mine\n")
    sides.write_there("main.py", "theirs\n")
    sides.write_there("logs/run1.txt", "kept\n")
    sides.person = Answering(first_contact.PUSH_MINE)
    await sides.begin()
    await sides.attach()
    assert sides.tree_there() == {"main.py": b"mine\n", "logs/run1.txt": b"kept\n"}
    trash = [path for path in (sides.there / ".sidecar/trash").rglob("*") if path.is_file()]
    assert b"theirs\n" in [path.read_bytes() for path in trash]


async def test_equal_files_are_agreement_whatever_their_times(sides: Sides) -> None:
    sides.write("main.py", "same\n")
    os.utime(sides.write_there("main.py", "same\n"), (1, 1))
    await sides.begin()
    await sides.attach()
    assert (sides.there / "main.py").stat().st_mtime == 1
    sides.engine.saved([str(sides.write("main.py", "changed\n"))])
    await sides.until(lambda: len(sides.synced) == 1)
    assert sides.read_there("main.py") == "changed\n"


async def test_an_executable_bit_that_differs_is_a_difference(sides: Sides) -> None:
    script = sides.write("run.sh", "echo\n")
    script.chmod(0o755)
    sides.write("main.py", "1\n")
    for path in ("run.sh", "main.py"):
        sides.write_there(path, (sides.here / path).read_text())
    sides.person = Answering(first_contact.PUSH_MINE)
    await sides.begin(watch=False)
    await sides.attach()
    (question,) = sides.person.asked
    assert "1 equal, 1 different (run.sh: 5 B)" in question.message  # type: ignore[union-attr]
    assert os.access(sides.there / "run.sh", os.X_OK)


@pytest.mark.parametrize(("mine", "winner"), [(2_000_000_000, "mine\n"), (1, "theirs\n")])
async def test_prefer_newer_goes_by_the_times(sides: Sides, mine: int, winner: str) -> None:
    os.utime(sides.write("main.py", "mine\n"), (mine, mine))
    os.utime(sides.write_there("main.py", "theirs\n"), (1_000_000_000, 1_000_000_000))
    await sides.begin()
    await sides.attach(prefer="newer")
    assert sides.read_there("main.py") == winner


# --- saves -----------------------------------------------------------------------------------


async def test_a_save_that_the_editor_tells_is_there_and_said(sides: Sides) -> None:
    sides.write("main.py", "one\n")
    await sides.begin(watch=False)
    await sides.engine.start()
    await sides.attach()
    sides.engine.saved([str(sides.write("main.py", "two\n"))])
    await sides.until(lambda: bool(sides.synced))
    assert sides.read_there("main.py") == "two\n"
    assert sides.synced[0].paths == ["main.py"]
    assert 0 < sides.synced[0].bytes_sent < 1000


async def test_what_changes_outside_the_editor_follows_by_itself(sides: Sides) -> None:
    sides.write("main.py", "one\n")
    sides.write("old.py", "old\n")
    await sides.begin()
    await sides.attach()
    sides.write("main.py", "two\n")
    sides.write("a/b/c/new.py", "new\n")
    (sides.here / "old.py").rename(sides.here / "renamed.py")
    expected = {"main.py": b"two\n", "a/b/c/new.py": b"new\n", "renamed.py": b"old\n"}
    await sides.until(lambda: sides.tree_there() == expected)


async def test_saves_of_one_file_are_pipelined_and_the_last_one_stays(sides: Sides) -> None:
    path = sides.write("main.py", "start\n")
    await sides.begin()
    await sides.attach()
    for number in range(50):
        path.write_text(f"version {number:02}\n")
        sides.engine.saved([str(path)])
        await sides.engine._loop.bring({"main.py"})
    await sides.engine._loop.settle()
    assert sides.read_there("main.py") == "version 49\n"
    assert sides.notes() == {}


async def test_a_large_file_travels_as_a_delta(sides: Sides) -> None:
    content = bytearray(random.Random(1).randbytes(8_000_000))
    path = sides.write("data.bin", bytes(content))
    await sides.begin()
    await sides.attach()
    content[4_000_000:4_001_000] = bytes(1000)
    path.write_bytes(content)
    result = await sides.engine.sync()
    assert (sides.there / "data.bin").read_bytes() == content
    assert result.bytes_sent < 100_000
    path.write_bytes(b"front" * 20 + content)
    result = await sides.engine.sync()
    assert (sides.there / "data.bin").read_bytes() == b"front" * 20 + content
    assert result.bytes_sent < 100_000


async def test_a_lost_signature_is_asked_of_the_remote(sides: Sides) -> None:
    content = bytearray(random.Random(2).randbytes(4_000_000))
    path = sides.write("data.bin", bytes(content))
    await sides.begin()
    await sides.attach()
    for signature in (sides.store / "signatures").iterdir():
        signature.unlink()
    content[:3] = b"abc"
    path.write_bytes(content)
    result = await sides.engine.sync()
    assert (sides.there / "data.bin").read_bytes() == content
    assert result.bytes_sent < 100_000


async def test_what_first_contact_found_equal_needs_no_question_later(sides: Sides) -> None:
    content = bytearray(random.Random(2).randbytes(4_000_000))
    path = sides.write("data.bin", bytes(content))
    sides.write_there("data.bin", bytes(content))
    await sides.begin()
    await sides.attach()
    assert sides.engine._signature_before("data.bin") is not None
    content[:3] = b"abc"
    path.write_bytes(content)
    result = await sides.engine.sync()
    assert (sides.there / "data.bin").read_bytes() == content
    assert result.bytes_sent < 100_000


# --- deletions -------------------------------------------------------------------------------


async def test_a_folder_deleted_here_goes_there_but_not_what_only_they_have(sides: Sides) -> None:
    for name in ("a.py", "b.py"):
        sides.write(f"pkg/{name}", name)
    sides.write("main.py", "")
    await sides.begin()
    await sides.attach()
    sides.write_there("pkg/checkpoint.pt", "theirs")
    for name in ("a.py", "b.py"):
        (sides.here / "pkg" / name).unlink()
    (sides.here / "pkg").rmdir()
    await sides.engine.sync()
    assert sides.tree_there() == {"main.py": b"", "pkg/checkpoint.pt": b"theirs"}


async def test_an_unusual_mass_deletion_waits_for_a_word(sides: Sides) -> None:
    for number in range(80):
        sides.write(f"file{number}.py", str(number))
    await sides.begin(watch=False)
    await sides.engine.start()
    await sides.attach()
    for number in range(70):
        (sides.here / f"file{number}.py").unlink()
    sides.write("new.py", "new")
    await sides.engine.sync()
    assert len(sides.tree_there()) == 81
    assert list(sides.notes().values()).count("held") == 70
    with pytest.raises(RunError, match="of your changes are not on box"):
        await sides.engine.barrier()
    await sides.engine.sync(prefer="local")
    assert len(sides.tree_there()) == 11
    assert sides.notes() == {}


async def test_a_mass_deletion_that_is_seen_in_parts_waits_as_well(sides: Sides) -> None:
    for number in range(200):
        sides.write(f"pkg{number % 10}/file{number}.py", str(number))
    await sides.begin(watch=False)
    await sides.attach()
    for number in range(10):
        shutil.rmtree(sides.here / f"pkg{number}")
        sides.engine._pending.touch(f"pkg{number}")
        await sides.engine._loop.settle()
    assert len(sides.tree_there()) >= 140
    assert "held" in sides.notes().values()
    await sides.engine.sync(prefer="local")
    assert sides.tree_there() == {}


async def test_a_root_that_is_gone_deletes_nothing_there(sides: Sides) -> None:
    sides.write("main.py", "1")
    sides.write("b.py", "2")
    await sides.begin(watch=False)
    await sides.attach()
    sides.here.rename(sides.folder / "elsewhere")
    with pytest.raises(SyncError) as caught:
        await sides.engine.sync()
    assert caught.value.code == "root-gone"
    assert len(sides.tree_there()) == 2


async def test_a_path_that_becomes_ignored_is_left_alone_on_both_sides(sides: Sides) -> None:
    sides.write("main.py", "1")
    sides.write("data/x.bin", "data")
    await sides.begin()
    await sides.attach()
    sides.write(".gitignore", "data/\n")
    await sides.engine.sync()
    assert sides.read_there("data/x.bin") == "data"
    sides.write("data/x.bin", "changed")
    await sides.engine.sync()
    assert sides.read_there("data/x.bin") == "data"
    assert "data/x.bin" not in sides.engine._base.entries


# --- both sides ------------------------------------------------------------------------------


async def test_a_remote_edit_is_never_overwritten_quietly(sides: Sides) -> None:
    path = sides.write("main.py", "one\n")
    await sides.begin()
    await sides.attach()
    sides.write_there("main.py", "edited there\n")
    sides.engine.saved([str(sides.write("main.py", "edited here\n"))])
    await sides.until(lambda: sides.notes().get("main.py") == "conflict")
    assert sides.read_there("main.py") == "edited there\n"
    assert path.read_text() == "edited here\n"
    await sides.engine.sync(prefer="local")
    assert sides.read_there("main.py") == "edited here\n"
    assert sides.notes() == {}


async def test_what_only_the_remote_changed_is_shown_and_does_not_hinder_others(
    sides: Sides,
) -> None:
    sides.write("main.py", "one\n")
    sides.write("other.py", "one\n")
    await sides.begin()
    await sides.attach()
    sides.write_there("main.py", "edited there\n")
    sides.write("other.py", "two\n")
    await sides.engine.sync()
    assert sides.notes() == {"main.py": "newer-there"}
    assert sides.read_there("main.py") == "edited there\n"
    assert sides.read_there("other.py") == "two\n"


async def test_the_same_edit_on_both_sides_is_agreement(sides: Sides) -> None:
    sides.write("main.py", "one\n")
    await sides.begin()
    await sides.attach()
    sides.write_there("main.py", "two\n")
    sides.write("main.py", "two\n")
    await sides.engine.sync()
    assert sides.notes() == {}
    sides.write("main.py", "three\n")
    await sides.engine.sync()
    assert sides.read_there("main.py") == "three\n"


async def test_a_file_deleted_there_is_put_back_and_said(sides: Sides) -> None:
    sides.write("main.py", "one\n")
    await sides.begin()
    await sides.attach()
    (sides.there / "main.py").unlink()
    await sides.engine.sync()
    assert sides.read_there("main.py") == "one\n"


async def test_a_preview_of_sides_that_are_together_leaves_their_lists_equal(
    sides: Sides,
) -> None:
    sides.write("main.py", "one\n")
    await sides.begin(watch=False)
    await sides.attach()
    sides.engine._base.intend("main.py", content_digest(b"two\n"))
    for write in (sides.write, sides.write_there):
        write("main.py", "two\n")
    assert sides.agent is not None
    assert await sides.engine.preview(sides.agent, sides.new_root()) == ([], "")
    await sides.engine.sync()
    assert await sides.lists_are_equal()


async def test_a_folder_deleted_there_is_put_back_although_only_the_folder_was_looked_at(
    sides: Sides,
) -> None:
    sides.write("pkg/a.py", "one\n")
    sides.write("main.py", "one\n")
    await sides.begin(watch=False)
    await sides.attach()
    shutil.rmtree(sides.there / "pkg")
    await sides.attachment.there.sweep()
    sides.engine._pending.touch("pkg")
    await sides.engine._loop.settle()
    assert sides.read_there("pkg/a.py") == "one\n"


async def test_a_dry_run_says_what_would_be_done_and_does_nothing(sides: Sides) -> None:
    sides.write("main.py", "one\n")
    await sides.begin(watch=False)
    await sides.attach()
    sides.write("main.py", "two\n")
    sides.write("new.py", "new\n")
    result = await sides.engine.sync(dry_run=True)
    assert sorted(result.plan) == ["push main.py", "push new.py"]
    assert sides.tree_there() == {"main.py": b"one\n"}


# --- cuts and restarts -----------------------------------------------------------------------


async def test_changes_made_while_away_follow_on_reconnect(sides: Sides) -> None:
    sides.write("main.py", "one\n")
    sides.write("gone.py", "gone\n")
    sides.write("third.py", "3\n")
    await sides.begin()
    await sides.attach()
    await sides.cut()
    sides.write("main.py", "two\n")
    sides.write("new.py", "new\n")
    (sides.here / "gone.py").unlink()
    await sides.attach()
    assert sides.tree_there() == {
        "main.py": b"two\n",
        "new.py": b"new\n",
        "third.py": b"3\n",
    }


async def test_another_sidecar_goes_on_where_the_last_one_ended(sides: Sides) -> None:
    sides.write("main.py", "one\n")
    await sides.begin()
    await sides.attach()
    await sides.restart()
    sides.write("main.py", "two\n")
    await sides.attach()
    assert sides.read_there("main.py") == "two\n"
    assert sides.person.asked == []


async def test_an_older_version_of_ours_is_known_as_ours_after_a_crash(sides: Sides) -> None:
    path = sides.write("main.py", "one\n")
    await sides.begin()
    await sides.attach()
    # The save went out and became visible, but its answer was never read.
    sides.engine._base.intend("main.py", content_digest(b"two\n"))
    sides.write_there("main.py", "two\n")
    path.write_text("three\n")
    await sides.restart()
    await sides.attach()
    assert sides.read_there("main.py") == "three\n"
    assert sides.notes() == {}


async def test_a_new_file_that_was_on_its_way_and_is_gone_here_by_now_goes_there_as_well(
    sides: Sides,
) -> None:
    sides.write("main.py", "one\n")
    await sides.begin(watch=False)
    await sides.attach()
    # All were sent. One became visible, one never did, and one is somebody's own there by now.
    for name in ("ours.py", "theirs.py", "nobodys.py"):
        sides.engine._base.intend(name, content_digest(b"new\n"))
    sides.write_there("ours.py", "new\n")
    sides.write_there("theirs.py", "another\n")
    await sides.restart(watch=False)
    await sides.attach()
    assert sides.tree_there() == {"main.py": b"one\n", "theirs.py": b"another\n"}
    assert sides.engine._base.unanswered() == ["theirs.py"]
    assert await sides.lists_are_equal()


async def test_an_empty_folder_that_was_on_its_way_and_is_gone_here_by_now_goes_there_as_well(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides.write("main.py", "one\n")
    await sides.begin(watch=False)
    await sides.attach()
    for name in ("ours", "theirs"):
        (sides.here / name).mkdir()
    monkeypatch.setattr(Base, "agree", lambda *_: None)  # the answers were never heard
    monkeypatch.setattr(Base, "agree_many", lambda *_: None)
    await sides.engine.sync()
    monkeypatch.undo()
    assert (sides.there / "ours").is_dir()
    sides.write_there("theirs/log.txt", "kept\n")
    for name in ("ours", "theirs"):
        (sides.here / name).rmdir()
    await sides.restart(watch=False)
    await sides.attach()
    assert not (sides.there / "ours").exists()
    assert sides.tree_there() == {"main.py": b"one\n", "theirs/log.txt": b"kept\n"}
    await sides.engine.sync()
    assert await sides.lists_are_equal()


async def test_a_lost_base_is_first_contact_and_overwrites_nothing(sides: Sides) -> None:
    sides.write("main.py", "one\n")
    await sides.begin()
    await sides.attach()
    await sides.end()
    (sides.store / "base.journal").unlink()
    sides.write_there("main.py", "edited there\n")
    await sides.begin()
    with pytest.raises(SyncError):
        await sides.attach()
    assert sides.read_there("main.py") == "edited there\n"


async def test_an_emptied_folder_there_is_not_filled_without_a_word(sides: Sides) -> None:
    sides.write("main.py", "one\n")
    await sides.begin()
    await sides.attach()
    await sides.cut()
    sides.there.rename(sides.home / "elsewhere")
    sides.there.mkdir()
    with pytest.raises(SyncError) as caught:
        await sides.attach()
    assert caught.value.code == "remote-emptied"
    await sides.attach(prefer="local")
    assert sides.read_there("main.py") == "one\n"


async def test_a_home_folder_is_refused_as_root(sides: Sides) -> None:
    sides.write("main.py", "one\n")
    await sides.begin()
    sides.engine.folder = "~"
    with pytest.raises(SyncError) as caught:
        await sides.attach()
    assert caught.value.code == "root-refused"


# --- the barrier -----------------------------------------------------------------------------


async def test_the_barrier_sends_what_changed_a_moment_ago(sides: Sides) -> None:
    sides.write("main.py", "one\n")
    await sides.begin(watch=False)
    await sides.attach()
    before = await sides.engine.barrier()
    assert before.digest == identity_digest(sides.engine._base.remote_entries())
    sides.write("main.py", "two\n")
    after = await sides.engine.barrier()
    assert after.after > before.after
    assert after.tree != before.tree
    await sides.engine._loop.settle()
    assert sides.read_there("main.py") == "two\n"


async def test_a_conflict_refuses_the_barrier_and_as_is_does_not(sides: Sides) -> None:
    sides.write("main.py", "one\n")
    await sides.begin(watch=False)
    await sides.attach()
    sides.write_there("main.py", "there\n")
    sides.write("main.py", "here\n")
    await sides.engine.sync()
    with pytest.raises(RunError, match=r"main\.py"):
        await sides.engine.barrier()
    assert (await sides.engine.barrier(as_is=True)).force


async def test_a_file_is_not_sent_empty_while_a_program_fills_it(sides: Sides) -> None:
    path = sides.write("main.py", "one\n")
    await sides.begin()
    await sides.attach()
    seen = set[str]()
    for number in range(30):
        with path.open("w") as file:
            sides.engine._pending.touch("main.py")
            await asyncio.sleep(0)  # the step runs while the file is empty
            seen.add(sides.read_there("main.py"))
            file.write(f"version {number}\n")
    await sides.until(lambda: sides.read_there("main.py") == "version 29\n")
    assert "" not in seen


async def test_a_save_goes_past_an_upload_that_is_under_way(sides: Sides) -> None:
    path = sides.write("main.py", "one\n")
    await sides.begin()
    await sides.attach()
    large = random.Random(3).randbytes(60_000_000)
    sides.engine.saved([str(sides.write("large.bin", large))])
    await sides.until(lambda: "large.bin" in sides.attachment.pusher.latest)
    path.write_text("two\n")
    sides.engine.saved([str(path)])
    await sides.until(lambda: len(sides.synced) == 1)
    assert sides.synced[0].paths == ["main.py"]
    await sides.until(lambda: len(sides.synced) == 2)
    assert (sides.there / "large.bin").read_bytes() == large


async def test_a_file_that_changes_while_it_goes_up_arrives_as_it_is_in_the_end(
    sides: Sides,
) -> None:
    await sides.begin()
    await sides.attach()
    path = sides.write("large.bin", random.Random(4).randbytes(30_000_000))
    sides.engine.saved([str(path)])
    await sides.until(lambda: "large.bin" in sides.attachment.pusher.latest)
    final = random.Random(5).randbytes(20_000_000)
    path.write_bytes(final)
    await sides.until(
        lambda: (
            (sides.there / "large.bin").exists()
            and (sides.there / "large.bin").read_bytes() == final
        )
    )
    assert sides.notes() == {}


async def test_a_cut_in_an_upload_leaves_the_old_file_and_the_next_connection_brings_the_new(
    sides: Sides,
) -> None:
    old, new = (random.Random(seed).randbytes(20_000_000) for seed in (6, 7))
    path = sides.write("large.bin", old)
    await sides.begin()
    await sides.attach()
    path.write_bytes(new)
    sides.engine.saved([str(path)])
    await sides.until(lambda: "large.bin" in sides.attachment.pusher.latest)
    await sides.cut()
    assert (sides.there / "large.bin").read_bytes() == old
    await sides.attach()
    assert (sides.there / "large.bin").read_bytes() == new


async def test_a_save_that_changes_nothing_is_said_to_be_there(sides: Sides) -> None:
    path = sides.write("main.py", "one\n")
    await sides.begin(watch=False)
    await sides.engine.start()
    await sides.attach()
    sides.engine.saved([str(path)])
    await sides.until(lambda: len(sides.synced) == 1)
    assert sides.synced[0].bytes_sent == 0


async def test_another_folder_in_the_configuration_is_first_contact(sides: Sides) -> None:
    sides.write("main.py", "one\n")
    await sides.begin()
    await sides.attach()
    await sides.restart()
    sides.engine.folder = "~/elsewhere"
    await sides.attach()
    assert (sides.home / "elsewhere/main.py").read_text() == "one\n"
    assert sides.read_there("main.py") == "one\n"


# --- news, failures and second thoughts in the middle of a step ------------------------------


async def test_an_edit_there_that_shows_while_a_step_reads_is_not_overwritten(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.py", "b.py"):
        sides.write(name, "one\n")
    await sides.begin(watch=False)
    await sides.attach()
    for name in ("a.py", "b.py"):
        sides.write(name, f"{name} here\n")
    sides.write_there("a.py", "a.py there\n")
    digests = There.digests

    async def and_meanwhile(there: There, paths: Any) -> dict[str, str]:
        sides.write_there("b.py", "b.py there\n")
        await there.sweep()
        return await digests(there, paths)

    monkeypatch.setattr(There, "digests", and_meanwhile)
    await sides.engine.sync()
    monkeypatch.undo()
    await sides.engine.sync()
    assert sides.read_there("b.py") == "b.py there\n"
    assert sides.notes() == {"a.py": "conflict", "b.py": "conflict"}


async def test_a_run_finds_the_same_list_after_a_version_of_ours_was_known_again(
    sides: Sides,
) -> None:
    path = sides.write("main.py", "one\n")
    await sides.begin(watch=False)
    await sides.attach()
    sides.engine._base.intend("main.py", content_digest(b"two\n"))
    sides.write_there("main.py", "two\n")
    path.write_text("three\n")
    await sides.restart(watch=False)
    await sides.attach()
    assert sides.read_there("main.py") == "three\n"
    assert await sides.lists_are_equal()


async def test_a_folder_that_was_left_to_the_remote_and_is_made_again_is_managed(
    sides: Sides,
) -> None:
    sides.write("pkg/a.py", "one\n")
    sides.write("main.py", "one\n")
    await sides.begin(watch=False)
    await sides.attach()
    sides.write_there("pkg/out.pt", "theirs\n")
    shutil.rmtree(sides.here / "pkg")
    await sides.engine.sync()
    sides.write("pkg/b.py", "two\n")
    await sides.engine.sync()
    assert sides.tree_there()["pkg/b.py"] == b"two\n"
    assert await sides.lists_are_equal()


@pytest.mark.parametrize("new", [False, True])
async def test_a_file_that_becomes_ignored_while_it_is_on_its_way_is_managed_on_neither_side(
    sides: Sides, new: bool
) -> None:
    sides.write("main.py", "one\n")
    if not new:
        sides.write("a.py", "one\n")
    await sides.begin()
    await sides.attach()
    engine = sides.engine
    with sides.frozen():
        engine.saved([str(sides.write("a.py", "two\n"))])
        await sides.until(lambda: "a.py" in engine._loop.attachment.pusher.latest)
        engine.saved([str(sides.write(".gitignore", "a.py\n"))])
        await sides.until(lambda: ".gitignore" in engine._loop.attachment.pusher.latest)
        await sides.until(lambda: "a.py" not in engine._base.entries)
    await sides.rest()
    assert "a.py" not in engine._base.entries
    assert await sides.lists_are_equal()


async def test_a_folder_that_is_replaced_while_it_is_on_its_way_keeps_nothing_of_the_first(
    sides: Sides,
) -> None:
    sides.write("main.py", "one\n")
    await sides.begin()
    await sides.attach()
    engine, pkg = sides.engine, sides.here / "pkg"
    with sides.frozen():
        sides.write("pkg/a.py", "one\n")
        await sides.until(lambda: "pkg/a.py" in engine._loop.attachment.pusher.latest)
        pkg.rename(sides.folder / "aside")
        sides.write("pkg/b.py", "two\n")
        await sides.until(lambda: "pkg/b.py" in engine._loop.attachment.pusher.latest)
    await sides.rest()
    await sides.until(lambda: not (sides.there / "pkg/a.py").exists())
    assert sides.tree_there() == {"main.py": b"one\n", "pkg/b.py": b"two\n"}


async def test_a_folder_that_is_made_again_before_the_remote_could_refuse_its_removal_is_managed(
    sides: Sides,
) -> None:
    sides.write("pkg/a.py", "one\n")
    sides.write("main.py", "one\n")
    await sides.begin()
    await sides.attach()
    sides.write_there("pkg/out.pt", "theirs\n")
    engine = sides.engine
    with sides.frozen():
        shutil.rmtree(sides.here / "pkg")
        await sides.until(lambda: "pkg" in engine._loop.attachment.pusher.latest)
        assert engine._loop.attachment.pusher.latest["pkg"].node is None
        (sides.here / "pkg").mkdir()
        await sides.until(lambda: engine._loop.attachment.pusher.latest["pkg"].node is not None)
    await sides.rest()
    assert "pkg" in engine._base.entries
    await sides.engine.sync()
    assert await sides.lists_are_equal()
    assert sides.notes() == {}


async def test_what_a_called_off_sync_had_taken_up_is_not_forgotten(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides.write("main.py", "one\n")
    await sides.begin(watch=False)
    await sides.attach()
    sides.write("main.py", "two\n")
    sides.engine._pending.touch("main.py")
    waiting = asyncio.Event()

    async def nodes(there: There, paths: Any, *more: Any) -> dict[str, Any]:
        waiting.set()
        await asyncio.Event().wait()
        return {}

    monkeypatch.setattr(There, "nodes", nodes)
    sync = asyncio.create_task(sides.engine.sync())
    await waiting.wait()
    sync.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sync
    assert sides.engine._pending.paths == {"main.py"}
    assert sides.engine._pending.due.is_set()


async def test_a_sync_ends_although_a_file_never_stays_the_same(sides: Sides) -> None:
    path = sides.write("log.txt", "0\n")
    await sides.begin(watch=False)
    await sides.attach()

    def write_again() -> None:
        path.write_text(f"{time.monotonic_ns()}\n")
        sides.engine._pending.touch("log.txt")

    sides.engine._shared.changed = write_again
    write_again()
    await asyncio.wait_for(sides.engine.sync(), DEADLINE)
    sides.engine._shared.changed = lambda: None


async def test_a_large_file_that_changes_often_while_it_goes_up_arrives_in_the_end(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sides.begin(watch=False)
    await sides.engine.start()
    await sides.attach()
    small, left = upload._Upload.sent_small, 3 * PATIENCE

    async def changing(self: Any, *args: Any) -> Any:
        nonlocal left
        left -= 1
        if left > 0:
            raise local_files.Changed("it changed")
        return await small(self, *args)

    monkeypatch.setattr(upload._Upload, "sent_small", changing)
    content = random.Random(8).randbytes(200_000)
    sides.engine.saved([str(sides.write("large.bin", content))])
    await sides.until(lambda: bool(sides.synced))
    assert (sides.there / "large.bin").read_bytes() == content
    assert sides.notes() == {}


async def test_a_file_may_have_the_target_of_the_link_that_it_replaces_as_its_content(
    sides: Sides,
) -> None:
    sides.write("main.py", "one\n")
    link = sides.here / "link"
    link.symlink_to("main.py")
    await sides.begin(watch=False)
    await sides.attach()
    link.unlink()
    link.write_text("main.py")
    await sides.engine.sync()
    assert not (sides.there / "link").is_symlink()
    assert sides.read_there("link") == "main.py"


async def test_a_path_that_nobody_may_use_does_not_keep_others_back(sides: Sides) -> None:
    sides.write("main.py", "one\n")
    await sides.begin(watch=False)
    await sides.attach()
    saved = [sides.write(name, "two\n") for name in (".sidecar/main.py", "main.py")]
    sides.engine.saved(map(str, saved))
    await sides.engine.sync()
    assert sides.tree_there() == {"main.py": b"two\n"}
    assert sides.notes() == {}


@pytest.mark.skipif(sys.platform == "win32", reason="it has no FIFOs")
async def test_a_fifo_is_said_and_keeps_no_run_back(sides: Sides) -> None:
    sides.write("main.py", "one\n")
    os.mkfifo(sides.here / "pipe")
    await sides.begin(watch=False)
    await sides.attach()
    await sides.engine.barrier()
    assert sides.notes() == {"pipe": "skipped"}


async def test_what_is_said_of_a_path_ends_when_it_is_ignored(sides: Sides) -> None:
    sides.write("main.py", "one\n")
    sides.write("other.py", "one\n")
    await sides.begin(watch=False)
    await sides.attach()
    sides.write_there("main.py", "there\n")
    sides.write("main.py", "here\n")
    await sides.engine.sync()
    assert sides.notes() == {"main.py": "conflict"}
    sides.write(".gitignore", "main.py\n")
    await sides.engine.sync()
    assert sides.notes() == {}


async def test_a_full_disk_here_leaves_no_gap_in_the_order_of_changes(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides.write("main.py", "one\n")
    await sides.begin(watch=False)
    await sides.attach()
    sides.write("main.py", "two\n")
    before = sides.attachment.pusher.seq

    def full(base: Base, path: str, digest: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Base, "intend", full)
    with pytest.raises(OSError, match="space"):
        await sides.engine.sync()
    assert sides.attachment.pusher.seq == before
    monkeypatch.undo()
    await sides.engine.sync()
    assert sides.read_there("main.py") == "two\n"


async def test_an_attach_that_fails_half_way_leaves_nothing_attached(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides.write("main.py", "one\n")
    await sides.begin(watch=False)

    async def fails(there: There) -> None:
        raise SyncError("no")

    monkeypatch.setattr(There, "tell", fails)
    with pytest.raises(SyncError):
        await sides.attach()
    assert not sides.engine.attached
    monkeypatch.undo()
    await sides.attach()
    assert sides.read_there("main.py") == "one\n"
