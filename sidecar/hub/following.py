"""Following: a session's repository there is kept where the one here is (git/push.py).

It goes behind the files: what was changed here is sent and answered first, so that what git says
there of a commit is what it says here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sidecar.git.push import Outcome, Push, Side

if TYPE_CHECKING:
    from sidecar.remote.connection import AgentConnection
    from sidecar.sync.engine import SyncEngine


class Following:
    """Of one session.

    Args:
        host: as the configuration calls it.
    """

    def __init__(self, engine: SyncEngine, host: str) -> None:
        self._engine, self._host = engine, host
        self._one_at_a_time = asyncio.Lock()
        self._push: tuple[AgentConnection, int, Push] | None = None

    async def look(self, agent: AgentConnection, number: int) -> Outcome:
        """Where both repositories are. Changes nothing.

        Raises:
            SidecarError: git fails on one side, or the connection went away.
        """
        async with self._one_at_a_time:
            return await self._over(agent, number).look()

    async def follow(
        self,
        agent: AgentConnection,
        number: int,
        *,
        make: bool = False,
        anyway: bool = False,
        yes: bool = False,
    ) -> Outcome:
        """Sends what was changed here, and has the repository there follow. As Push.follow."""
        async with self._one_at_a_time:
            await self._engine.barrier(as_is=True)
            await self._engine.answered()
            return await self._over(agent, number).follow(make=make, anyway=anyway, yes=yes)

    def _over(self, agent: AgentConnection, number: int) -> Push:
        if self._push is None or self._push[:2] != (agent, number):
            engine = self._engine
            side = Side(
                engine.agreed_here,
                lambda path: engine.rules.decide(path, False).ignored,
                lambda: engine.managed_digest,
            )
            self._push = agent, number, Push(engine.root, self._host, agent, number, side)
        return self._push[2]
