"""The DAP face: an editor's debugger on the control socket, as `sidecar debug --stdio` carries it.

It can be told things in its console, and asked nothing; questions go to an editor that has the same
project open, which is as a rule the same one.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Literal

from sidecar import api
from sidecar.debug import dap
from sidecar.debug.dap import Decoder
from sidecar.debug.family import Family
from sidecar.debug.proxy import Opened, Proxy
from sidecar.hub.client import Client, Kind, asked_by
from sidecar.hub.rpc import Peer
from sidecar.hub.service import Service
from sidecar.questions import Choice, Secret

log = logging.getLogger(__name__)

END = b"\0\0"
"""Behind the last message, for the pipe: an orderly end, and status 0 (cli/serve.py)."""


class DapClient(Client):
    """An editor's debugger."""

    def __init__(self, peer: Peer, hello: api.Hello, service: Service) -> None:
        super().__init__(peer, hello)
        self.knows_sidecar = False
        self.proxy: Proxy | None = None
        self._service = service

    async def output(self, part: api.Output) -> None:
        pass

    async def exited(self, end: api.Exited) -> None:
        pass

    def show(self, text: str, kind: Kind = "info") -> None:
        if self.proxy is not None and kind != "log":
            category: Literal["important", "console"]
            category = "important" if kind in ("error", "warning") else "console"
            self.proxy.tell(text, category)

    async def secret(self, question: Secret) -> str | None:
        other = self._service.editor_beside(self)
        return await other.secret(question) if other else None

    async def choose(self, question: Choice) -> str | None:
        other = self._service.editor_beside(self)
        return await other.choose(question) if other else None


async def serve_dap(
    service: Service,
    hello: api.Hello,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    """One conversation, until the editor closes or its debug session is over."""
    client = DapClient(Peer(reader, writer), hello, service)
    debugging = await service.debugging()

    async def open_(command: str, arguments: dap.Message, proxy: Proxy) -> Opened:
        with asked_by(client):
            return await debugging.open(client, command, arguments, proxy)

    proxy = client.proxy = Proxy(
        reader=reader, writer=writer, decoder=Decoder(), open_=open_, family=Family()
    )
    try:
        await proxy.run([])
        writer.write(END)
        await writer.drain()
    except OSError as error:
        log.debug("a debugger has gone: %s", error)
    finally:
        await debugging.left(proxy)
        service.leave(client)
