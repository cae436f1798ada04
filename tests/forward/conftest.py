"""A line to a remote machine, and servers there: on the loopback that both share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from sidecar.config.forwards import Rule, parse
from sidecar.forward.forwards import Forwards, Origin
from sidecar.forward.way import Line, Way
from sidecar.questions import Nobody
from sidecar.remote.connection import AgentConnection
from sidecar.ssh.dial import dial
from tests.servers.box import Box

PATIENCE = 30.0

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Bench:
    """Forwards over one connection. `told`: what was said of them."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.told: list[Any] = []
        self.forwards = Forwards(Way(self._line), self.told.append)
        self._servers: list[asyncio.Server] = []

    async def _line(self) -> Line:
        return self.line

    async def serve(self, serve: Serve, path: str = "") -> int:
        """A server there; its port."""
        if path:
            self._servers.append(await asyncio.start_unix_server(serve, path))
            return 0
        server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=200)
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def open(self, rule: str | Rule, origin: Origin | None = None, address: str = "") -> Any:
        rule = parse(rule) if isinstance(rule, str) else rule
        return await self.forwards.open(rule, "test", origin or Origin(), address)

    def close(self) -> None:
        self.forwards.shut()
        for server in self._servers:
            server.close()


@pytest.fixture
async def bench(box: Box) -> AsyncIterator[Bench]:
    """Over each server and transport: by the server itself, and through the agent."""
    async for one in _bench(box):
        yield one


@pytest.fixture
async def nearby(embedded: Box) -> AsyncIterator[Bench]:
    """Where the way there does not matter; the embedded server forwards nothing, so it is the
    agent's."""
    async for one in _bench(embedded):
        yield one


async def _bench(box: Box) -> AsyncIterator[Bench]:
    transport = await dial(box.alias, Nobody(), transport=box.transport)
    try:
        agent = await AgentConnection.start(transport)
        bench = Bench(Line(agent, transport))
        try:
            yield bench
        finally:
            bench.close()
            await agent.close()
    finally:
        await transport.close()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Sends back what comes, until that ends."""
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.close()
