"""A connection that came in here: bytes to its far end and back, each side held back by the other.

Nothing is read here before the far end stands, and nothing is kept but what asyncio and the channel
buffer: at most some hundred KB of each direction, however fast one side is.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, cast

from sidecar.agent import sockets
from sidecar.errors import SidecarError

log = logging.getLogger(__name__)

WRITE_HIGH = 1 << 18
"""Bytes that may wait for who connected here; above it the far end is not read."""


class Far(Protocol):
    """The end there. It tells the relay by `received`, `ended`, `lost`, `hold` and `go_on`."""

    def write(self, data: bytes) -> None: ...

    def write_eof(self) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None:
        """What was written still arrives."""

    def abort(self) -> None: ...


Open = Callable[["Relay"], Awaitable[Far]]


class Relay(asyncio.Protocol):
    """asyncio calls it for the end here, Far's owner for the one there.

    Args:
        open_far: connects there.
        over: called once, when both ends are gone.
        only_ours: whoever is not our own user is turned away.
    """

    def __init__(self, open_far: Open, over: Callable[[Relay], None], *, only_ours: bool) -> None:
        self._open_far, self._over, self._only_ours = open_far, over, only_ours
        self._near: asyncio.Transport | None = None
        self._far: Far | None = None
        self._opening: asyncio.Task[None] | None = None
        self._near_ended = self._far_ended = self._held = self._slow = False

    def abort(self) -> None:
        """Ends it at once."""
        if self._near is not None:
            self._near.abort()

    # --- the end here ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._near = near = cast(asyncio.Transport, transport)
        near.pause_reading()
        connection: Any = near.get_extra_info("socket")
        if self._only_ours and not _is_ours(connection, near.get_extra_info("peername")):
            log.warning("somebody else of this machine was turned away at a forward")
            near.abort()
            return
        if connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        near.set_write_buffer_limits(WRITE_HIGH)
        self._opening = asyncio.get_running_loop().create_task(self._open(), name="forward")

    async def _open(self) -> None:
        assert self._near is not None
        try:
            far = await self._open_far(self)
        except SidecarError as error:
            log.info("a connection was not forwarded: %s", error)
            self._near.abort()  # as a connection to a port where nobody listens
            return
        if self._near.is_closing():
            far.abort()
            return
        self._far = far
        if self._slow:
            far.pause_reading()
        if not self._held:
            self._near.resume_reading()

    def data_received(self, data: bytes) -> None:
        assert self._far is not None
        self._far.write(data)

    def eof_received(self) -> bool:
        self._near_ended = True
        if self._far is not None:
            self._far.write_eof()
        return not self._far_ended

    def pause_writing(self) -> None:
        self._slow = True
        if self._far is not None:
            self._far.pause_reading()

    def resume_writing(self) -> None:
        self._slow = False
        if self._far is not None:
            self._far.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._opening is not None and not self._opening.done():
            self._opening.cancel()
        far, self._far = self._far, None
        if far is not None:
            far.close() if exc is None else far.abort()
        self._over(self)

    # --- the end there -----------------------------------------------------------------------

    def received(self, data: bytes) -> None:
        if self._near is not None:
            self._near.write(data)

    def ended(self) -> None:
        self._far_ended = True
        if self._near is None or self._near.is_closing():
            return
        if self._near_ended:
            self._near.close()
        elif self._near.can_write_eof():
            self._near.write_eof()

    def lost(self) -> None:
        self._far = None
        if self._near is None:
            return
        if self._far_ended:
            self._near.close()
        else:
            self._near.abort()  # an end that was none must not look like one

    def hold(self) -> None:
        self._held = True
        if self._near is not None and not self._near.is_closing():
            self._near.pause_reading()

    def go_on(self) -> None:
        self._held = False
        if self._near is not None and not self._near.is_closing() and self._far is not None:
            self._near.resume_reading()


def _is_ours(connection: Any, peer: Any) -> bool:
    """As far as this system tells: one without a table of sockets admits all of its users, as
    every forward of ssh does."""
    if connection.family != socket.AF_UNIX and not sockets.tells():
        return True
    return sockets.is_ours(connection, peer)
