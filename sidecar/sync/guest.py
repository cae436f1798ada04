"""A guest: a machine that shows a folder which is kept in step through another one.

Machines of a cluster share their homes. What one of them was given, the others have, so a run there
waits for the same saves, sent through the one; and proves them by its own look: inodes and times
are the file server's, equal on all of them.
"""

from __future__ import annotations

import asyncio
from typing import Any

from sidecar.errors import RunError, SyncError
from sidecar.remote.connection import AgentConnection
from sidecar.sync.engine import SyncEngine
from sidecar.sync.pushing.barrier import NAMED, Barrier
from sidecar.sync.steps.answers import PATIENCE

STALE = 0.5
"""Seconds between two looks at what differs, and"""

LOOKS = 12
"""how many there are: a network file system's client believes for some seconds what it saw last
(NFS: 3 for a file that changed a moment ago), and tells of nothing when it learns better."""


class Guest:
    """One, over one connection.

    Args:
        engine: keeps the folder in step through another machine.
        number: of the root on this connection; nobody pushes over it.
        host: this machine's name.
    """

    def __init__(self, engine: SyncEngine, agent: AgentConnection, number: int, host: str) -> None:
        self.engine, self.number = engine, number
        self._host = host
        self._there = engine.seen_by(agent, number)

    async def enter(self, folder: str) -> str:
        """Opens the folder; its path there.

        Raises:
            SyncError: it is another one by now.
        """
        opened = await self._there.open(folder)
        if not opened.marker or opened.marker != self.engine.marker:
            raise SyncError(
                f"{self._host} and {self.engine.host} do not show the same folder any more",
                f"{opened.path} has another marker",
                "try again",
            )
        return opened.path

    async def barrier(
        self, *, as_is: bool, job: str = "", beside: asyncio.Future[Any] | None = None
    ) -> Barrier:
        """As SyncEngine.barrier, for a run on this machine. The answers are waited for, since they
        go to the other one.

        Raises:
            RunError: the files are not the same here, or a change cannot be sent.
            Disconnected: one of the connections is gone.
        """
        barrier = await self.engine.barrier(as_is=as_is, job=job, beside=beside)
        for _ in range(PATIENCE):
            if barrier.digest:
                break
            await self.engine.answered()
            barrier = await self.engine.barrier(as_is=as_is, job=job)
        await self._there.manage()
        for _ in range(LOOKS):
            if as_is or not self._there.differing:
                break
            await asyncio.sleep(STALE)
            await self._there.sweep()
        if self._there.differing and not as_is:
            paths = sorted(self._there.differing)
            more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
            raise RunError(
                f"{self._host} does not show what {self.engine.host} has",
                ", ".join(paths[:NAMED]) + more,
                f"try again in a moment, run on {self.engine.host}, or run what is there with "
                "--as-is",
                code="differs",
            )
        # The agent goes by the set that it was just given, and by another sweep of its own.
        return Barrier(0, "", barrier.tree, as_is)
