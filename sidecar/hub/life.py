"""The life of a hub: it owns the socket, serves faces, and ends when nobody needs it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Mapping

import sidecar
from sidecar import api
from sidecar.config import places
from sidecar.hub.control import ControlServer
from sidecar.hub.face import serve_rpc
from sidecar.hub.news import Late, within
from sidecar.hub.ownership import Ownership, acquire
from sidecar.hub.rest import rest
from sidecar.hub.service import Service

log = logging.getLogger(__name__)

FIRST_SECONDS = 10.0
"""How long a new hub waits for the face that started it."""

ServiceFace = Callable[
    [Service, api.Hello, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]
]


class Hub:
    """Made by `own`, run once."""

    def __init__(self, ownership: Ownership, faces: Mapping[str, ServiceFace]) -> None:
        self._ownership = ownership
        self._faces = {"rpc": serve_rpc, "dap": _serve_dap, **faces}
        self._ending = ""
        """Why the hub ends, once somebody said so."""

    @classmethod
    def own(cls, faces: Mapping[str, ServiceFace]) -> Hub:
        """Takes the lock and the socket; `faces` besides "rpc" come from the floor above.

        Raises:
            HubIsOwned: another process is the hub.
        """
        return cls(acquire(places.socket_path()), faces)

    def run(self, on_ready: Callable[[], None]) -> None:
        """Serves until nobody needs it, or it is told to end by SIGTERM or a newer sidecar."""
        try:
            asyncio.run(self._serve(on_ready))
        finally:
            self._ownership.release()
            log.info("the hub ends")

    async def _serve(self, on_ready: Callable[[], None]) -> None:
        self._changed = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end, signal.Signals(number).name)
        service = Service(on_change=self._changed.set)
        self._control = ControlServer(
            {name: self._bound(service, face) for name, face in self._faces.items()},
            on_change=self._changed.set,
            on_end=self._asked_to_end,
        )
        await self._control.start(self._ownership.listener)
        log.info("sidecar %s: the hub runs as pid %d", sidecar.__version__, os.getpid())
        on_ready()
        resting = asyncio.create_task(rest())
        try:
            await self._until_unneeded(service)
        finally:
            resting.cancel()
            # The name goes first: who knocks from now on starts a hub of their own.
            self._ownership.hide()
            await self._control.close()
            await service.close()

    @staticmethod
    def _bound(
        service: Service, face: ServiceFace
    ) -> Callable[[api.Hello, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
        return lambda hello, reader, writer: face(service, hello, reader, writer)

    async def _until_unneeded(self, service: Service) -> None:
        patience = FIRST_SECONDS
        while not self._ending:
            self._changed.clear()
            needed = self._control.busy or service.busy
            try:
                await within(None if needed else patience, self._changed.wait())
            except Late:
                break
            # The face that started this hub has come, and may have gone already.
            patience = 0.0

    def _end(self, why: str) -> None:
        log.info("told to end: %s", why)
        self._ending = why
        self._changed.set()

    def _asked_to_end(self) -> str:
        if self._control.connected:
            count = self._control.connected
            return f"{count} program{'s use' if count > 1 else ' uses'} it"
        self._end("a face asked for it")
        return ""


async def _serve_dap(
    service: Service,
    hello: api.Hello,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    # A hub that debugs nothing does without the memory.
    from sidecar.hub.dap import serve_dap

    await serve_dap(service, hello, reader, writer)
