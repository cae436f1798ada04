"""A second machine that shows the folder: runs there wait for what goes through the first."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.errors import RunError, SyncError
from sidecar.remote.connection import AgentConnection
from sidecar.sync import guest
from sidecar.sync.guest import Guest
from tests.remote.local_transport import LocalTransport
from tests.sync.sides import Sides


@pytest.fixture
async def sides(tmp_path: Path) -> AsyncIterator[Sides]:
    made = Sides(tmp_path)
    yield made
    await made.end()


@pytest.fixture
async def other(sides: Sides) -> AsyncIterator[AgentConnection]:
    """The agent of the second machine."""
    sides.write("main.py", "one\n")
    await sides.begin(watch=False)
    await sides.attach()
    agent = await AgentConnection.start(
        LocalTransport(sides.home), state=str(sides.folder / "other-state")
    )
    yield agent
    await agent.close()


async def test_a_run_on_a_guest_finds_every_save_before_it(
    sides: Sides, other: AgentConnection
) -> None:
    guest = Guest(sides.engine, other, 1, "gpu2")
    assert await guest.enter("~/project") == str(sides.there)
    sides.write("main.py", "two\n")
    barrier = await guest.barrier(as_is=False)
    assert sides.read_there("main.py") == "two\n"
    assert (barrier.after, barrier.force) == (0, False)
    assert barrier.tree == (await sides.engine.barrier()).tree


async def test_a_guest_that_shows_something_else_runs_nothing(
    sides: Sides, other: AgentConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guest, "STALE", 0.0)
    visitor = Guest(sides.engine, other, 1, "gpu2")
    await visitor.enter("~/project")
    sides.write_there("main.py", "edited there\n")
    with pytest.raises(RunError, match=r"gpu2 does not show what box has: main\.py"):
        await visitor.barrier(as_is=False)
    assert (await visitor.barrier(as_is=True)).force


async def test_a_folder_that_is_another_one_by_now_is_not_entered(
    sides: Sides, other: AgentConnection
) -> None:
    with pytest.raises(SyncError, match="do not show the same folder any more"):
        await Guest(sides.engine, other, 1, "gpu2").enter("~/elsewhere")
