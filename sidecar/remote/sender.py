"""Everything that goes to the agent goes through here, lowest lane first."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from sidecar.core import frames, messages
from sidecar.core.credit import Credit
from sidecar.core.lanes import Lanes, flow_of
from sidecar.errors import SidecarError


class Sender:
    """Queues frames and writes them, several in one write.

    Args:
        write: hands bytes to the connection; returns when it takes more.
        failed: called once, when `write` raised.
    """

    def __init__(
        self,
        write: Callable[[bytes], Awaitable[None]],
        failed: Callable[[SidecarError], None],
    ) -> None:
        self.credit = Credit()
        self.bytes_sent = 0
        self._write = write
        self._failed = failed
        self._lanes = Lanes(self.credit)
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._error: SidecarError | None = None
        self._task = asyncio.create_task(self._run(), name="agent sender")

    def put(self, message: messages.Message, lane: int = frames.CONTROL) -> None:
        """Queues without waiting, whatever waits already.

        Raises:
            SidecarError: the link is over.
        """
        if self._error is not None:
            raise self._error
        data = frames.encode(messages.encode(message, lane))
        self._lanes.put(lane, data, flow_of(message, lane))
        self._idle.clear()
        self._wake.set()

    async def send(self, message: messages.Message, lane: int) -> None:
        """Queues; on STREAMS and BULK waits first while much is queued there.

        Raises:
            SidecarError: the link is over.
        """
        while self._lanes.full(lane, flow_of(message, lane)) and self._error is None:
            self._room.clear()
            await self._room.wait()
        self.put(message, lane)

    def acknowledged(self, lane: int, processed: int) -> None:
        """The agent processed that much.

        Raises:
            CreditError: it cannot have.
        """
        self.credit.acknowledged(lane, processed, time.monotonic())
        self._wake.set()

    async def flush(self) -> None:
        """Returns when nothing is queued any more, or the link is over."""
        await self._idle.wait()

    def end(self, error: SidecarError) -> None:
        """Nothing is sent any more; all who wait, or come later, are told why. May be called
        again when more is known."""
        self._error = error
        self._task.cancel()
        self._room.set()
        self._idle.set()

    async def _run(self) -> None:
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while data := self._lanes.take(time.monotonic()):
                    self._room.set()
                    await self._write(data)
                    self.bytes_sent += len(data)
                if self._lanes.empty():
                    self._idle.set()
        except SidecarError as error:
            self._failed(error)
