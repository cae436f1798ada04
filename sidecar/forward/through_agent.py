"""The far end of a connection as a stream of the agent: where the server forwards nothing, where
the ssh program is the way, and where only the agent is in the right place (a container)."""

from __future__ import annotations

import asyncio
from collections import deque

from sidecar.core import messages
from sidecar.errors import SidecarError
from sidecar.forward.relay import Relay
from sidecar.remote.connection import AgentConnection
from sidecar.remote.stream import Stream

HIGH, LOW = 1 << 18, 1 << 16
"""Bytes that may wait to be sent; a writer above it waits until it is below the lower one."""


class ThroughAgent:
    """See relay.Far."""

    def __init__(self, stream: Stream, near: Relay) -> None:
        self._stream, self._near = stream, near
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._held = self._eof = self._closing = False
        self._news, self._reads = asyncio.Event(), asyncio.Event()
        self._reads.set()
        loop = asyncio.get_running_loop()
        self._tasks = {
            loop.create_task(self._send(), name="forward there"),
            loop.create_task(self._receive(), name="forward here"),
        }

    @classmethod
    async def open(
        cls, agent: AgentConnection, host: str, port: int, path: str, near: Relay
    ) -> ThroughAgent:
        """Connects there.

        Raises:
            RemoteError: nobody listens there, or cannot be reached.
            SidecarError: the link is over.
        """
        stream = await agent.open_stream(lambda id_: messages.Connect(id_, path or host, port))
        return cls(stream, near)

    def write(self, data: bytes) -> None:
        self._waiting.append(data)
        self._size += len(data)
        self._news.set()
        if self._size > HIGH and not self._held:
            self._held = True
            self._near.hold()

    def write_eof(self) -> None:
        self._eof = True
        self._news.set()

    def pause_reading(self) -> None:
        self._reads.clear()

    def resume_reading(self) -> None:
        self._reads.set()

    def close(self) -> None:
        """What was written is sent first."""
        self._closing = self._eof = True
        self._news.set()

    def abort(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._stream.close()

    async def _send(self) -> None:
        try:
            while self._waiting or not self._eof:
                if not self._waiting:
                    self._news.clear()
                    await self._news.wait()
                    continue
                data = self._waiting.popleft()
                await self._stream.write(data)
                self._size -= len(data)
                if self._held and self._size < LOW:
                    self._held = False
                    self._near.go_on()
            await self._stream.write_eof()
        except SidecarError:
            pass  # the reading half tells it
        while not self._closing:
            self._news.clear()
            await self._news.wait()
        self.abort()

    async def _receive(self) -> None:
        try:
            while data := await self._stream.read(1 << 18):
                self._near.received(data)
                await self._reads.wait()
            if not self._stream.why:
                self._near.ended()
                return
        except SidecarError:
            pass
        self._near.lost()
        self.abort()
