"""The usual transport: asyncssh in this process, one connection with a channel for each command."""

from __future__ import annotations

import asyncio
import signal as signals
from collections import deque
from collections.abc import Callable

import asyncssh

from sidecar.errors import Disconnected, SidecarError
from sidecar.questions import Person
from sidecar.ssh.codes import connect_error
from sidecar.ssh.failures import FOREIGN, disconnected
from sidecar.ssh.hop import Hop, connect_hop
from sidecar.ssh.last_words import LastWords, escaped
from sidecar.ssh.resolved import Resolved
from sidecar.ssh.route import route

# What may wait for its reader before the other side is told to stop; with the channel's window
# of 2 MiB that asyncssh keeps besides, it bounds the memory of a slow reader.
READ_AHEAD = 1 << 20

# Bytes of one channel that wait for its window; a writer above it waits.
WRITE_HIGH, WRITE_LOW = 1 << 17, 1 << 15


class AsyncsshTransport:
    """See Transport. Made by `connect`."""

    name = "asyncssh"

    def __init__(self, hops: list[Hop]) -> None:
        self._hops = hops
        self.asked = any(hop.asked for hop in hops)

    @classmethod
    async def connect(
        cls, target: Resolved, person: Person, progress: Callable[[str], None]
    ) -> AsyncsshTransport:
        """Connects to `target`, hop by hop, each with its own keys, questions and host key.

        Raises:
            ConnectError: see codes.py. What was connected until then is closed.
        """
        hops: list[Hop] = []
        try:
            for resolved in await route(target):
                tunnel = hops[-1].connection if hops else None
                hops.append(await connect_hop(resolved, person, tunnel, progress))
        except BaseException:
            await _close_all(hops)
            raise
        return cls(hops)

    @property
    def connection(self) -> asyncssh.SSHClientConnection:
        """The connection itself, for forwards."""
        return self._hops[-1].connection

    @property
    def host(self) -> str:
        """What the person calls it."""
        return self._hops[-1].resolved.name

    @property
    def is_closed(self) -> bool:
        return any(hop.is_closed for hop in self._hops)

    async def start(self, command: str) -> ExecProcess:
        if self.is_closed:
            raise await self.loss()
        if command.startswith("-"):
            # The shell there would take it for an option of its own.
            command = f" {command}"
        try:
            _, process = await self.connection.create_session(
                lambda: ExecProcess(self), command, encoding=None
            )
        except asyncssh.ChannelOpenError as problem:
            if self.is_closed:
                raise await self.loss() from problem
            raise connect_error(
                f"{self.host} runs no command for us",
                escaped(problem.reason.encode()),
                f"see what `ssh {self.host} true` says",
                "no-command",
            ) from problem
        except FOREIGN as problem:
            raise await self.loss() from problem
        assert isinstance(process, ExecProcess)
        return process

    async def closed(self) -> str:
        return (await self._ending())[0]

    async def close(self) -> None:
        await _close_all(self._hops)

    async def loss(self) -> Disconnected:
        """The error for who still uses a connection that is gone."""
        words, code = await self._ending()
        return disconnected(self.host, words, code)

    async def _ending(self) -> tuple[str, str]:
        """Why it ended. Where a hop in front is gone, its reason is the reason."""
        await self._hops[-1].closed()
        for hop in self._hops:
            if hop.is_closed:
                return await hop.closed()
        raise AssertionError("the last hop is closed")


class ExecProcess(asyncssh.SSHClientSession[bytes]):
    """See Process. asyncssh calls the methods of a session, its user those of Process."""

    def __init__(self, transport: AsyncsshTransport) -> None:
        self._transport = transport
        self._channel: asyncssh.SSHClientChannel[bytes] | None = None
        self._buffer: deque[bytes] = deque()
        self._buffered = 0
        self._paused = False
        self._words = LastWords()
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._over = asyncio.Event()
        self._at_end = False
        self._status: int | None = None

    # Process

    async def read(self, limit: int = 1 << 18) -> bytes:
        while not self._buffer:
            if self._at_end:
                return b""
            if self._over.is_set():
                # A command may end without closing its stdout; a connection that ends is a loss.
                if self._transport.is_closed:
                    raise await self._transport.loss()
                return b""
            self._readable.clear()
            await self._readable.wait()
        data = self._take(limit)
        if self._paused and self._buffered < READ_AHEAD // 2 and self._channel is not None:
            self._paused = False
            self._channel.resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        await self._check_writable()
        assert self._channel is not None
        try:
            self._channel.write(data)
        except (OSError, asyncssh.Error) as problem:
            raise await self._ended() from problem
        if not self._writable.is_set():
            await self._writable.wait()
            await self._check_writable()

    def close(self) -> None:
        if self._channel is not None and not self._over.is_set():
            if self._paused:
                self._paused = False
                self._channel.resume_reading()
            if self._writable.is_set():
                self._channel.close()
            else:
                # What waits for a reader there would keep it open for as long.
                self._channel.abort()

    async def wait(self) -> int:
        """Its exit status. Ended by a signal: 128 + its number, as a shell has it."""
        await self._over.wait()
        if self._status is None and self._transport.is_closed:
            raise await self._transport.loss()
        return -1 if self._status is None else self._status

    def last_words(self) -> str:
        return self._words.text()

    # SSHClientSession

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        self._channel = chan
        chan.set_write_buffer_limits(WRITE_HIGH, WRITE_LOW)

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        if datatype == asyncssh.EXTENDED_DATA_STDERR:
            self._words.feed(data)
            return
        self._buffer.append(data)
        self._buffered += len(data)
        self._readable.set()
        if self._buffered > READ_AHEAD and not self._paused and self._channel is not None:
            self._paused = True
            self._channel.pause_reading()

    def eof_received(self) -> bool:
        self._at_end = True
        self._readable.set()
        return True  # Its stdin stays open: a command may close its stdout and read on.

    def exit_status_received(self, status: int) -> None:
        self._status = status

    def exit_signal_received(self, signal: str, core_dumped: bool, msg: str, lang: str) -> None:
        number = getattr(signals, f"SIG{signal}", None)
        self._status = 128 + number if number is not None else -1

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._over.set()
        self._readable.set()
        self._writable.set()

    # Both

    async def _check_writable(self) -> None:
        if self._over.is_set():
            raise await self._ended()

    async def _ended(self) -> SidecarError:
        if self._transport.is_closed:
            return await self._transport.loss()
        status = "" if self._status is None else f" with status {self._status}"
        return disconnected(
            self._transport.host, f"the command there ended{status}", "command-ended"
        )

    def _take(self, limit: int) -> bytes:
        """At most `limit` of what is buffered, joined: many small packets are one read."""
        pieces, size = [], 0
        while self._buffer and size < limit:
            piece = self._buffer.popleft()
            if size + len(piece) > limit:
                rest = limit - size
                self._buffer.appendleft(piece[rest:])
                piece = piece[:rest]
            pieces.append(piece)
            size += len(piece)
        self._buffered -= size
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


async def _close_all(hops: list[Hop]) -> None:
    """The farthest first: the ones in front carry it."""
    for hop in reversed(hops):
        await hop.close()
