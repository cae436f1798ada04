"""The line between a client and a server: it can be cut, and it can go silent.

Servers of tests are reached through one, so that `cut` is what a lost network is: both ends see
a reset, and neither had a chance to say goodbye.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from tests.servers.loop_thread import LoopThread


class Relay:
    """Listens on a free loopback port and passes bytes to and from `target`."""

    def __init__(self, thread: LoopThread, target: tuple[str, int]) -> None:
        self._thread = thread
        self._target = target
        self._links: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._flowing = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self.pace = 0
        """Bytes a second that pass in each direction; 0 for all there are."""
        self.accepted = 0
        """Connections ever taken."""
        self.on_accept: Callable[[], object] | None = None
        """Called for each of them, in the thread of the servers."""
        self.port = 0
        self._server = thread.call(self._listen())

    @property
    def connections(self) -> int:
        """Connections that are up now."""
        return len(self._links)

    def wait_empty(self, timeout: float = 30) -> None:
        """Until no connection is up."""
        self._thread.call(self._empty.wait(), timeout)

    def cut(self) -> None:
        """Resets every connection; new ones are welcome."""
        self._thread.do(self._cut)

    def stall(self) -> None:
        """From now on nothing passes, and nothing is closed: a dead peer. New ones wait too."""
        self._thread.do(self._flowing.clear)

    def flow(self) -> None:
        """Ends `stall`; what waited goes on."""
        self._thread.do(self._flowing.set)

    def close(self) -> None:
        self._thread.call(self._close())

    async def _listen(self) -> asyncio.Server:
        self._flowing.set()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self.on_accept is not None:
            self.on_accept()
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        link = (writer, far_writer)
        self._links.add(link)
        self._empty.clear()
        pumps = asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
        try:
            await pumps
        except (OSError, EOFError):
            pumps.cancel()
        finally:
            self._links.discard(link)
            if not self._links:
                self._empty.set()
            for end in link:
                end.close()
                with contextlib.suppress(OSError):
                    await end.wait_closed()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(self.pace // 20 or 1 << 18):
            await self._flowing.wait()
            writer.write(data)
            await writer.drain()
            if self.pace:
                await asyncio.sleep(len(data) / self.pace)
        await self._flowing.wait()
        with contextlib.suppress(OSError):
            writer.write_eof()

    def _cut(self) -> None:
        for link in self._links:
            for end in link:
                end.transport.abort()

    async def _close(self) -> None:
        self._server.close()
        self._flowing.set()
        self._cut()
        await self._server.wait_closed()
