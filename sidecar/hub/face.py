"""The JSON-RPC face: our own methods and nothing else, for the command line and for scripts."""

from __future__ import annotations

import asyncio
import logging

from sidecar import api
from sidecar.hub.client import Client, asked_by
from sidecar.hub.framing import FramingError
from sidecar.hub.rpc import Handler, Peer
from sidecar.hub.service import Service

log = logging.getLogger(__name__)


def offer(peer: Peer, client: Client, service: Service) -> None:
    """Lets `client` call every method of api.REQUESTS on this connection."""
    for method, (params, _) in api.REQUESTS.items():
        peer.handle(method, params, _for(client, service.methods[method]))


def _for(client: Client, method: object) -> Handler:
    async def handler(params: api.Message) -> api.Message:
        with asked_by(client):
            result: api.Message = await method(client, params)  # type: ignore[operator]
            return result

    return handler


async def serve_rpc(
    service: Service,
    hello: api.Hello,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    """Until the client closes, or sends something else than JSON-RPC."""
    peer = Peer(reader, writer)
    client = Client(peer, hello)
    offer(peer, client, service)
    try:
        await peer.run()
    except FramingError as error:
        log.warning("%s sent garbage: %s", client.name, error)
    finally:
        service.leave(client)
        await peer.close()
