"""Patience: a run that waits for a large file, and the person who may not want to."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from sidecar.core import messages
from sidecar.hub.client import Client
from sidecar.hub.sessions import Session
from sidecar.jobs.job import Job
from sidecar.questions import Choice
from sidecar.remote.connection import AgentConnection

ASK_AFTER = 2.0
"""Seconds that a run waits for files on their way before somebody is asked about it."""

WITHOUT, WAIT = "Run without it", "Wait for it"

NAMED = 3
"""Files that a question names."""


class Patience:
    """Of one run, over one connection.

    Args:
        job: its id.
    """

    def __init__(self, client: Client, session: Session, agent: AgentConnection, job: str) -> None:
        self._client, self._session, self._agent, self._job = client, session, agent, job

    async def with_(self, starting: Coroutine[Any, Any, Job]) -> Job:
        """The job, once it has started. Where nothing but large files keeps it from that, the
        person is asked; the question goes when they have arrived."""
        run = asyncio.ensure_future(starting)
        asking: asyncio.Future[None] | None = None
        try:
            await asyncio.wait({run}, timeout=ASK_AFTER)
            if not run.done() and self._session.guest is None:
                asking = asyncio.ensure_future(self._ask())
                await asyncio.wait({run, asking}, return_when=asyncio.FIRST_COMPLETED)
            return await run
        finally:
            for task in (run, asking):
                if task is not None and not task.done():
                    task.cancel()
                    await asyncio.gather(task, return_exceptions=True)

    async def _ask(self) -> None:
        engine = self._session.engine
        paths, _ = engine.lagging()
        if not paths:
            return
        named = ", ".join(paths[:NAMED]) + (", …" if len(paths) > NAMED else "")
        sizes = {one.path: one for one in engine.transfers}
        far = "".join(
            f" ({100 * one.done // max(1, one.total)} % of {one.total >> 20} MB)"
            for path in paths[:1]
            if (one := sizes.get(path))
        )
        question = Choice(
            f"The run waits for {named}{far}, on the way to {self._session.name}",
            (WITHOUT, WAIT),
            passing=True,
        )
        if await self._client.choose(question) != WITHOUT:
            return
        left, digest = engine.lagging()
        if left:  # else it arrives this moment
            record = {"tree": digest, "without": "\n".join(left)}
            number = self._session.number
            await self._agent.send(messages.Without(self._job, number, record))
