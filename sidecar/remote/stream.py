"""A byte stream through the agent: a child's stdin, stdout and stderr, or a connection's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from sidecar.core import frames, messages
from sidecar.errors import Disconnected, SidecarError

TELL = messages.STREAM_WINDOW // 4
"""Bytes consumed after which the other side is told. It never waits for less than this."""

STDERR_KEPT = 256 * 1024
"""Of a child's stderr that nobody reads, the end is kept, so that it blocks nothing."""


class Sending(Protocol):
    def put(self, message: messages.Message, lane: int = ...) -> None: ...

    async def send(self, message: messages.Message, lane: int) -> None: ...


class Stream:
    """One reader and one writer at a time.

    What was sent before the end is read before the end shows. Bytes that are not read stay
    bounded: at most `messages.STREAM_WINDOW` of stdout (then the other side waits).
    """

    def __init__(self, number: int, sending: Sending, forget: Callable[[int], None]) -> None:
        self.pid = 0
        self.why = ""
        """Why a connection ended, where that was no orderly end."""
        self._number = number
        self._sending = sending
        self._forget = forget
        self._output, self._errors = bytearray(), bytearray()
        self._output_ended = self._errors_ended = False
        self._consumed = 0
        self._window = messages.STREAM_WINDOW
        self._status: int | None = None
        self._error: SidecarError | None = None
        self._sent_eof = self._closed = False
        self._wakers: set[asyncio.Future[None]] = set()

    async def read(self, limit: int = 1 << 16) -> bytes:
        """The next bytes of stdout or the socket; b"" at the end.

        Raises:
            SidecarError: the link to the agent broke.
        """
        while not self._output:
            if self._error is not None:
                raise self._error
            if self._output_ended or self._over:
                return b""
            await self._change()
        data = bytes(self._output[:limit])
        del self._output[:limit]
        self._consume(len(data))
        return data

    async def read_error(self) -> bytes:
        """What came on stderr since the last call, b"" at its end."""
        while not self._errors:
            if self._error is not None:
                raise self._error
            if self._errors_ended or self._over:
                return b""
            await self._change()
        data = bytes(self._errors)
        self._errors.clear()
        return data

    async def write(self, data: bytes) -> None:
        """Returns when all is on its way; waits for the other side to take what came before.

        Raises:
            SidecarError: the link broke, or the stream is over.
        """
        view = memoryview(data)
        while view:
            while self._window <= 0 and self._error is None and not self._over:
                await self._change()
            self._check_writable()
            size = min(len(view), frames.CHUNK, self._window)
            self._window -= size
            part = bytes(view[:size])
            await self._sending.send(messages.Data(self._number, 0, part), frames.STREAMS)
            view = view[size:]

    async def write_eof(self) -> None:
        """Closes the child's stdin, or the socket's sending half."""
        if self._sent_eof or self._over:
            return
        self._check_writable()
        self._sent_eof = True
        await self._sending.send(messages.Eof(self._number, 0), frames.STREAMS)

    async def wait(self) -> int:
        """The exit status of the child (minus the signal's number), 0 of a connection.

        Raises:
            SidecarError: the link broke before.
        """
        while self._status is None:
            if self._error is not None:
                raise self._error
            await self._change()
        return self._status

    def close(self) -> None:
        """Ends it from here: a child is ended, a connection closed. May be called twice."""
        if self._closed:
            return
        self._closed = True
        self._forget(self._number)
        if self._status is None and self._error is None:
            self._status = -1
            try:
                # Behind what was written, which still arrives.
                self._sending.put(messages.Close(self._number), frames.STREAMS)
            except SidecarError:
                pass  # with the link, the stream ended there too
        self._wake()

    # What the connection tells.

    def received(self, message: messages.Data | messages.Eof | messages.Window) -> None:
        """Raises:
        messages.MessageError: more came than the window allows, which only a broken peer sends.
        """
        if isinstance(message, messages.Window):
            self._window += message.bytes
        elif isinstance(message, messages.Data) and message.channel == 2:
            self._errors += message.body
            del self._errors[:-STDERR_KEPT]
            self._consume(len(message.body))
        elif isinstance(message, messages.Data):
            self._output += message.body
            if len(self._output) > 2 * messages.STREAM_WINDOW:
                raise messages.MessageError("more came on a stream than its window allows")
        elif message.channel == 2:
            self._errors_ended = True
        else:
            self._output_ended = True
        self._wake()

    def closed(self, message: messages.Close) -> None:
        self._status, self.why = message.status, message.why
        self._closed = True
        self._wake()

    def failed(self, error: SidecarError) -> None:
        self._error = error
        self._wake()

    @property
    def _over(self) -> bool:
        return self._closed or self._status is not None

    def _check_writable(self) -> None:
        if self._error is not None:
            raise self._error
        if self._over or self._sent_eof:
            raise Disconnected("The stream is closed", self.why)

    def _consume(self, count: int) -> None:
        self._consumed += count
        if self._consumed >= TELL and not self._over:
            consumed, self._consumed = self._consumed, 0
            try:
                self._sending.put(messages.Window(self._number, consumed), frames.CONTROL)
            except SidecarError:
                pass  # `failed` follows, and tells whoever reads

    async def _change(self) -> None:
        waker = asyncio.get_running_loop().create_future()
        self._wakers.add(waker)
        try:
            await waker
        finally:
            self._wakers.discard(waker)

    def _wake(self) -> None:
        for waker in self._wakers:
            if not waker.done():
                waker.set_result(None)
