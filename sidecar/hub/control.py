"""The control socket: who may come in, and which face they are.

A face's first line is an `api.Hello`, answered by an `api.Welcome`; then the face's protocol
begins on the same bytes. Only the user whose hub this is gets that far: the socket is 0600 in a
0700 folder, and where the system tells the peer's user, that is checked too.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping

import msgspec

import sidecar
from sidecar import api
from sidecar.hub.peer import other_user

log = logging.getLogger(__name__)

MAX_HELLO = 1 << 20
"""Bytes of the first line: a face's whole environment is in it."""

HELLO_SECONDS = 10
MAX_FACES = 256
"""Connections at a time: forty Neovims with a shell each are far below it."""

Face = Callable[[api.Hello, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""Serves one face until it has gone; closes the writer."""


class ControlServer:
    """Accepts faces on a bound socket, until `close`."""

    def __init__(
        self,
        faces: Mapping[str, Face],
        *,
        on_change: Callable[[], None],
        on_end: Callable[[], str],
    ) -> None:
        """`on_change`: a face came or went. `on_end`: a newer sidecar asks the hub to end; returns
        why not, or ""."""
        self._faces = faces
        self._on_change = on_change
        self._on_end = on_end
        self._serving: set[asyncio.Task[None]] = set()
        self._server: asyncio.AbstractServer | None = None
        self.connected = 0
        """Faces beyond their hello."""

    @property
    def busy(self) -> bool:
        """Somebody is connected, or about to be."""
        return bool(self._serving)

    async def start(self, listener: socket.socket) -> None:
        self._server = await asyncio.start_unix_server(self._accept, sock=listener, limit=MAX_HELLO)

    async def close(self) -> None:
        """Stops listening and ends every face."""
        if self._server:
            self._server.close()
        tasks = list(self._serving)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._gone)

    def _gone(self, task: asyncio.Task[None]) -> None:
        self._serving.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("a face ended by a bug of ours", exc_info=error)
        self._on_change()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            hello, problem = await self._meet(reader, writer)
            writer.write(
                msgspec.json.encode(
                    api.Welcome(
                        version=api.VERSION,
                        sidecar=sidecar.__version__,
                        pid=os.getpid(),
                        problem=problem,
                    )
                )
                + b"\n"
            )
            await writer.drain()
            if hello is None or problem:
                return
            self.connected += 1
            log.info("%s (pid %d) came as %s", hello.client, hello.pid, hello.face)
            try:
                await self._faces[hello.face](hello, reader, writer)
            finally:
                self.connected -= 1
                log.info("%s (pid %d) went", hello.client, hello.pid)
        except OSError as error:
            log.debug("a face has gone: %s", error)
        finally:
            writer.close()

    async def _meet(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[api.Hello | None, str]:
        """The face's hello, and why it cannot stay."""
        stranger = other_user(writer.get_extra_info("socket"))
        if stranger is not None:
            log.warning("user %d knocked on the control socket", stranger)
            return None, "this hub belongs to another user"
        if len(self._serving) > MAX_FACES:
            return None, f"over {MAX_FACES} programs use this hub; close some"
        try:
            line = await asyncio.wait_for(reader.readline(), HELLO_SECONDS)
            hello = msgspec.json.decode(line, type=api.Hello)
        except (TimeoutError, asyncio.TimeoutError):
            return None, f"no hello came within {HELLO_SECONDS} s"
        except (ValueError, msgspec.DecodeError) as error:
            # ValueError: a line beyond MAX_HELLO, or bytes that are no UTF-8.
            log.warning("garbage on the control socket: %s", error)
            return None, f"the first line is no hello of a sidecar: {error}"
        if hello.face == "end":
            return None, self._on_end()
        if hello.version != api.VERSION:
            return None, (
                f"this hub (sidecar {sidecar.__version__}, pid {os.getpid()}) speaks version "
                f"{api.VERSION} of the control socket, the program that asked version "
                f"{hello.version}; use one installation, or end the hub with `sidecar hub stop`"
            )
        return hello, ""
