"""A connection that the SSH server makes for us (direct-tcpip, direct-streamlocal), without a copy
or a task in between: each end's events are the other's calls.
"""

from __future__ import annotations

from typing import Any, Protocol

import asyncssh

from sidecar.errors import RemoteError, SidecarError
from sidecar.ssh.asyncssh_transport import AsyncsshTransport
from sidecar.ssh.failures import FOREIGN
from sidecar.ssh.last_words import escaped

WINDOW = 1 << 20
"""Bytes that the server may send ahead. It bounds what waits here for a slow reader, and lets one
connection have 100 Mbit/s over 80 ms."""

WRITE_HIGH, WRITE_LOW = 1 << 18, 1 << 16
"""Bytes that may wait for the channel's window; a writer above it waits."""

_LOOPBACK, _SOME_PORT = "127.0.0.1", 9
"""What the server is told of who connects: not the truth, which is none of its business."""


class Near(Protocol):
    """Who has the end on this machine."""

    def received(self, data: bytes) -> None: ...

    def ended(self) -> None:
        """Nothing more comes; what is sent still arrives."""

    def lost(self) -> None:
        """The channel is gone."""

    def hold(self) -> None:
        """Send nothing more until `go_on`."""

    def go_on(self) -> None: ...


class NotAllowed(SidecarError):
    """The server makes no such connections."""


class Direct(asyncssh.SSHTCPSession[bytes], asyncssh.SSHUNIXSession[bytes]):
    """The far end. asyncssh calls the methods of a session, its user those below."""

    def __init__(self, near: Near) -> None:
        self._near = near
        self._channel: Any = None

    @classmethod
    async def open(
        cls, transport: AsyncsshTransport, host: str, port: int, path: str, near: Near
    ) -> Direct:
        """Connects there.

        Raises:
            NotAllowed: not through this server.
            RemoteError: nobody listens there, or cannot be reached.
            Disconnected: the connection is gone.
        """
        far = cls(near)
        if transport.is_closed:
            raise await transport.loss()
        connection = transport.connection
        try:
            if path:
                await connection.create_unix_connection(lambda: far, path, window=WINDOW)
            else:
                await connection.create_connection(
                    lambda: far, host, port, _LOOPBACK, _SOME_PORT, window=WINDOW
                )
        except asyncssh.ChannelOpenError as problem:
            if transport.is_closed:
                raise await transport.loss() from problem
            reason = escaped(problem.reason.encode())
            if problem.code == asyncssh.OPEN_CONNECT_FAILED:
                raise RemoteError(
                    f"Cannot connect to {path or f'port {port} of {host}'} on the remote machine",
                    reason,
                    code="refused",
                ) from problem
            raise NotAllowed("The server forwards no connections", reason) from problem
        except FOREIGN as problem:
            raise await transport.loss() from problem
        return far

    # The far end

    def write(self, data: bytes) -> None:
        try:
            self._channel.write(data)
        except (OSError, asyncssh.Error):
            self._near.lost()

    def write_eof(self) -> None:
        self._channel.write_eof()

    def pause_reading(self) -> None:
        self._channel.pause_reading()

    def resume_reading(self) -> None:
        self._channel.resume_reading()

    def close(self) -> None:
        """What was written still goes out."""
        self._channel.close()

    def abort(self) -> None:
        self._channel.abort()

    # asyncssh's session

    def connection_made(self, chan: Any) -> None:
        self._channel = chan
        chan.set_write_buffer_limits(WRITE_HIGH, WRITE_LOW)

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        self._near.received(data)

    def eof_received(self) -> bool:
        self._near.ended()
        return True  # its other half stays open

    def pause_writing(self) -> None:
        self._near.hold()

    def resume_writing(self) -> None:
        self._near.go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        self._near.lost()
