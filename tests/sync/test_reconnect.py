"""An agent that was away, and comes back: what that costs, and that nothing is missed by it."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.core import messages
from sidecar.remote.connection import AgentConnection
from tests.sync.sides import Sides

FOLDERS, FILES = 24, 15


@pytest.fixture
async def sides(tmp_path: Path) -> AsyncIterator[Sides]:
    """Both sides in step, 360 files each, and the agent gone."""
    made = Sides(tmp_path)
    for folder in range(FOLDERS):
        for number in range(FILES):
            made.write(f"pkg{folder}/module{number}.py", f"x = {folder * number}\n")
    await made.begin(watch=False)
    await made.attach()
    await made.leave()
    yield made
    await made.end()


async def started(sides: Sides) -> AgentConnection:
    """An agent to which all of its own code has gone."""
    sides.agent = await AgentConnection.start(sides.transport, state=str(sides.folder / "state"))
    await sides.agent._sender.flush()
    return sides.agent


async def exchanged(sides: Sides) -> int:
    """Bytes that both ends say until both sides are in step."""
    agent = await started(sides)
    before = agent.bytes_sent + agent.bytes_received
    await sides.attach()
    assert await sides.lists_are_equal()
    return agent.bytes_sent + agent.bytes_received - before


def ledger(sides: Sides) -> Path:
    return sides.there / ".sidecar/ledger"


async def test_with_nothing_changed_it_takes_a_few_hundred_bytes(sides: Sides) -> None:
    assert await exchanged(sides) < 1024
    assert sides.engine.notes == []


async def test_what_is_asked_goes_in_one_flight(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that comes back is waited for before the last of it is sent."""
    agent = await started(sides)
    sent: list[str] = []
    told: list[int] = []
    send, dispatch = AgentConnection.send, AgentConnection._dispatch

    async def seen(self: AgentConnection, message: messages.Message, lane: int = 0) -> None:
        sent.append(type(message).__name__)
        await send(self, message, lane)

    def answered(self: AgentConnection, frame: object, message: object) -> None:
        if isinstance(message, (messages.Opened, messages.Swept)):
            told.append(len(sent))
        dispatch(self, frame, message)  # type: ignore[arg-type]

    monkeypatch.setattr(AgentConnection, "send", seen)
    monkeypatch.setattr(AgentConnection, "_dispatch", answered)
    await sides.engine.attach(agent, sides.new_root())
    asked = [name for name in sent if name != "Ping"]
    assert asked == ["Open", "Resume"]
    assert len(told) == 2


async def test_what_changed_there_meanwhile_is_seen(sides: Sides) -> None:
    path = sides.there / "pkg3/module4.py"
    seen = path.stat()
    path.write_text("y = 12\n"[: seen.st_size].ljust(seen.st_size))
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    (sides.there / "pkg3/module5.py").unlink()
    await sides.attach()
    assert sides.notes() == {"pkg3/module4.py": "newer-there", "pkg3/module5.py": "deleted-there"}
    assert (sides.there / "pkg3/module5.py").exists()


async def test_what_changed_here_meanwhile_goes(sides: Sides) -> None:
    sides.write("pkg1/module1.py", "new = 1\n")
    (sides.here / "pkg1/module2.py").unlink()
    await sides.attach()
    assert sides.read_there("pkg1/module1.py") == "new = 1\n"
    assert not (sides.there / "pkg1/module2.py").exists()
    assert await sides.lists_are_equal()


async def test_after_changes_the_next_reconnect_is_as_short(sides: Sides) -> None:
    await sides.attach()
    sides.write("pkg1/module1.py", "new = 1\n")
    sides.write("new/folder/a.py", "new = 2\n")
    await sides.engine.sync()
    await sides.leave()
    assert await exchanged(sides) < 1024


async def test_after_a_restart_here_it_is_as_short(sides: Sides) -> None:
    await sides.restart(watch=False)
    assert await exchanged(sides) < 1024


async def test_a_lost_ledger_costs_the_list_and_nothing_else(sides: Sides) -> None:
    ledger(sides).unlink()
    (sides.there / "pkg3/module5.py").write_text("theirs")
    assert await exchanged(sides) > 5000
    assert sides.notes() == {"pkg3/module5.py": "newer-there"}


async def test_a_ledger_behind_the_times_costs_the_folders_that_differ(sides: Sides) -> None:
    old = shutil.copy(ledger(sides), sides.folder / "old")
    await sides.attach()
    sides.write("pkg7/module0.py", "new = 1\n")
    sides.write("new/a.py", "new = 2\n")
    shutil.rmtree(sides.here / "pkg8")
    await sides.engine.sync()
    await sides.leave()
    shutil.copy(old, ledger(sides))
    (sides.there / "pkg7/module1.py").write_text("theirs")
    assert await exchanged(sides) < 2500
    assert sides.notes() == {"pkg7/module1.py": "newer-there"}


async def test_a_ledger_of_another_time_is_never_believed(sides: Sides) -> None:
    """The set of a hub that was set back to an older state: an edit there is an edit still."""
    await sides.attach()
    (sides.there / "pkg1/module1.py").write_text("theirs = 1\n")
    await sides.engine.sync()
    assert sides.notes() == {"pkg1/module1.py": "newer-there"}
    await sides.leave()
    sides.write("pkg1/module1.py", "mine = 1\n")
    await sides.attach()
    assert sides.notes() == {"pkg1/module1.py": "conflict"}
    assert sides.read_there("pkg1/module1.py") == "theirs = 1\n"


async def test_a_damaged_ledger_is_told_anew(sides: Sides) -> None:
    data = bytearray(ledger(sides).read_bytes())
    data[len(data) // 2] ^= 1
    ledger(sides).write_bytes(data)
    (sides.there / f"pkg{FOLDERS - 1}/module5.py").write_text("theirs")
    await exchanged(sides)
    assert sides.notes() == {f"pkg{FOLDERS - 1}/module5.py": "newer-there"}


async def test_two_projects_of_one_folder_there_do_not_hold_one_another_up(
    sides: Sides, tmp_path: Path
) -> None:
    """Another laptop with the same files: its agent's ledger takes the place of ours."""
    other = Sides(tmp_path / "other")
    shutil.copytree(sides.here, other.here, dirs_exist_ok=True)
    other.home.rmdir()
    other.home.symlink_to(sides.home)
    other.transport.home = sides.home
    other.there = sides.there
    other.person.answer = "Push mine (theirs to the trash)"
    await other.begin(watch=False)
    try:
        await other.attach()
        (other.here / "pkg2/module2.py").unlink()
        await other.engine.sync()
        await other.leave()
    finally:
        await other.end()
    await exchanged(sides)
    assert sides.notes() == {"pkg2/module2.py": "deleted-there"}
    assert (sides.there / "pkg2/module2.py").exists()
