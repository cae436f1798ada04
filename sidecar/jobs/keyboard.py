"""What is typed for a job, until the job's side has it.

Input has offsets like output has: what may have been lost with a connection is sent again over
the next one, and what was heard twice is typed once. One task for each connection sends, so
pieces are in order whoever typed them.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from sidecar.core import messages
from sidecar.errors import RunError, SidecarError

if TYPE_CHECKING:
    from sidecar.remote.connection import AgentConnection

PIECE = 16 * 1024
"""Bytes of input in one message: a pasted file must not hold up other requests."""


class Keyboard:
    """The stdin of one job.

    Args:
        job: its id.
        fresh: nobody typed for it before. Else nothing can be typed before the job's side has
            told how much it got already.
    """

    def __init__(self, job: str, *, fresh: bool) -> None:
        self._job = job
        self._taken = 0
        self._kept = bytearray()
        """What was typed from offset `_taken` on."""
        self._end: int | None = None
        self._over = False
        self._based = asyncio.Event()
        if fresh:
            self._based.set()
        self._heard = asyncio.Event()
        self._room, self._more = asyncio.Event(), asyncio.Event()
        self._order = asyncio.Lock()
        self._typist: asyncio.Task[None] | None = None

    async def type(self, data: bytes, eof: bool) -> None:
        """Returns when all of it is on its way, or kept for the next connection; waits while a
        window of input is not taken by the job.

        Raises:
            RunError: the job has ended, or its input was ended before.
        """
        async with self._order:
            await self._wait(self._based)
            if self._end is not None:
                raise RunError(f"The input of job {self._job} was ended already", code="over")
            for at in range(0, len(data), PIECE):
                piece = data[at : at + PIECE]
                while len(self._kept) + len(piece) > messages.INPUT_WINDOW:
                    self._room.clear()
                    await self._wait(self._room)
                self._kept += piece
                self._more.set()
            if eof:
                self._end = self._taken + len(self._kept)
                self._more.set()

    @property
    def busy(self) -> bool:
        """Something was typed that the job's side does not have."""
        return bool(self._kept) and not self._over

    def taken(self, offset: int) -> None:
        """The job's side has everything before that offset."""
        if not self._based.is_set() or offset > self._taken + len(self._kept):
            # Somebody else typed: we go on behind that.
            self._kept.clear()
            self._taken = offset
        elif offset > self._taken:
            del self._kept[: offset - self._taken]
            self._taken = offset
        for event in (self._based, self._heard, self._room):
            event.set()

    def connect(self, agent: AgentConnection) -> None:
        """Sends over this connection, from what its other end says it has."""
        self.disconnect()
        self._heard.clear()
        self._typist = asyncio.create_task(self._send(agent), name=f"input of {self._job}")

    def disconnect(self) -> None:
        if self._typist is not None:
            self._typist.cancel()
            self._typist = None

    def close(self) -> None:
        """The job has ended: whoever waits to type hears of it."""
        self._over = True
        for event in (self._based, self._room):
            event.set()
        self.disconnect()

    async def _send(self, agent: AgentConnection) -> None:
        await self._heard.wait()
        sent, end_sent = self._taken, False
        with contextlib.suppress(SidecarError):  # lost with the link, it comes again from `_kept`
            while not end_sent:
                self._more.clear()
                sent = max(sent, self._taken)
                piece = bytes(self._kept[sent - self._taken :][:PIECE])
                if piece:
                    await agent.send(messages.Input(self._job, sent, False, piece))
                    sent += len(piece)
                elif self._end is not None:
                    await agent.send(messages.Input(self._job, sent, True, b""))
                    end_sent = True
                else:
                    await self._more.wait()

    async def _wait(self, event: asyncio.Event) -> None:
        await event.wait()
        if self._over:
            raise RunError(f"Job {self._job} has ended already", code="over")
