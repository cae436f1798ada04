"""A job's output on its way to one client, no faster than the client reads.

The job's log is on the remote and has offsets. So a client that falls behind is not waited for
with the output in memory: looking stops, and goes on at the offset that the client has got to.
Nothing is dropped, nothing is told twice, and nobody else waits. The job itself hears how far the
client is (Job.reads): its log keeps what is still to be shown.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import logging
from collections.abc import Awaitable, Callable

from sidecar import api
from sidecar.errors import Disconnected, SidecarError
from sidecar.hub.client import Client
from sidecar.jobs.job import Job, View

log = logging.getLogger(__name__)

AHEAD = 1 << 20
"""Characters of output that may wait here for one client."""


class Viewer:
    """Shows one job to one client, in a task of its own.

    Args:
        find: gives the job over the connection that stands.
        job: where it is known already; else, and when its session has ended, it is looked for.
        offset: of the log, to begin at.
        until: an offset of the log at which it is enough; None: the job's end.
        explain: adds to the job's end what this side knows of it.
    """

    def __init__(
        self,
        client: Client,
        find: Callable[[], Awaitable[Job]],
        *,
        job: Job | None = None,
        offset: int = 0,
        until: int | None = None,
        explain: Callable[[api.Exited], Awaitable[api.Exited]] | None = None,
    ) -> None:
        self._client, self._find, self._job = client, find, job
        self._offset, self._until, self._explain = offset, until, explain
        self._waiting: collections.deque[api.Output] = collections.deque()
        self._size = 0
        self._end: api.Exited | None = None
        self._behind = False
        self._news = asyncio.Event()
        self._view: View | None = None
        self._reads: Job | None = None

    async def run(self) -> None:
        # The answer to the request that asked for this goes out first, by either face: one turn
        # of the loop for our own, one more for pygls's.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        try:
            while True:
                await self._look()
                await self._show()
                if not self._behind:
                    break
                self._behind = False
            end = self._end or self._so_far()
            await self._client.exited(await self._explain(end) if self._explain else end)
        except SidecarError as error:
            log.warning("a job cannot be shown any more: %s", error)
            await self._client.exited(self._lost(error))
        finally:
            if self._view:
                with contextlib.suppress(SidecarError):
                    await self._view.close()
            if self._reads:
                await self._reads.reads(self, None)

    async def _look(self) -> None:
        job = self._job
        if job is None or job.closed:
            job = await self._find()
        self._name, self._host = job.id, job.host
        self._job = self._reads = job
        await job.reads(self, self._offset)
        self._view = await job.view(
            self._offset, self._take, self._ended, self._closed, self._stuck
        )

    def _closed(self) -> None:
        """The session ends: its configuration has changed, and another one has the job."""
        self._behind = True
        self._news.set()

    def _stuck(self, why: str) -> None:
        if why:
            text = f"it waits, since {self._host} has no room for its output ({why})"
        else:
            text = f"it goes on, since {self._host} has room for its output again"
        self._client.show(f"Job {self._name}: {text}", "warning" if why else "info")

    def _take(self, part: api.Output) -> None:
        if self._behind:
            return
        if self._size > AHEAD:
            self._behind = True
        else:
            self._waiting.append(part)
            self._size += len(part.data)
        self._news.set()

    def _ended(self, end: api.Exited) -> None:
        if not self._behind:
            self._end = end
            self._news.set()

    async def _show(self) -> None:
        """Tells what waits and what comes, until the end or until we fell behind."""
        assert self._view is not None
        assert self._reads is not None
        while True:
            if self._behind:
                # From here on the remote need not send what would only be thrown away.
                await self._view.close()
            while self._waiting:
                part = self._waiting.popleft()
                await self._client.output(part)
                self._size -= len(part.data)
                self._offset = part.end
                await self._reads.reads(self, part.end)
            if self._behind:
                # We may have fallen behind just now: a view left open would tell all of it again.
                await self._view.close()
                return
            if self._end or (self._until is not None and self._offset >= self._until):
                return
            self._news.clear()
            await self._news.wait()

    def _so_far(self) -> api.Exited:
        return api.Exited(job=self._name, host=self._host, status=-1, why="it still runs")

    def _lost(self, error: SidecarError) -> api.Exited:
        why = str(error)
        if isinstance(error, Disconnected):
            why += " The job runs on."
        return api.Exited(job=self._name, host=self._host, status=-1, why=why)
