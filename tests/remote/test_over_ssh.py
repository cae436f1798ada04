"""The same agent over every server and transport that we have."""

from __future__ import annotations

import asyncio
import os

from sidecar.core import messages as m
from sidecar.errors import Disconnected
from sidecar.questions import Nobody
from sidecar.remote.connection import AgentConnection
from sidecar.ssh.dial import dial
from tests.servers.box import Box


async def test_an_agent_works_and_leaves_nothing_behind(box: Box) -> None:
    transport = await dial(box.alias, Nobody(), transport=box.transport)
    try:
        agent = await AgentConnection.start(transport, root="~/project")
        assert agent.hello.home == str(box.home)
        stream = await agent.open_stream(lambda n: m.Spawn(n, ["cat"], {}, ""))
        content = os.urandom(1_000_000)

        async def write() -> None:
            await stream.write(content)
            await stream.write_eof()

        async def read() -> bytes:
            data = bytearray()
            while part := await stream.read():
                data += part
            return bytes(data)

        received, _ = await asyncio.wait_for(asyncio.gather(read(), write()), 30)
        assert received == content
        assert await stream.wait() == 0
        await agent.close()
        assert (await agent.closed()).code == "closed"
        assert list(box.home.glob("project*")) == []
    finally:
        await transport.close()


async def test_a_cut_fails_what_waits(box: Box) -> None:
    transport = await dial(box.alias, Nobody(), transport=box.transport)
    try:
        agent = await AgentConnection.start(transport)
        stream = await agent.open_stream(lambda n: m.Spawn(n, ["cat"], {}, ""))
        reading = asyncio.create_task(stream.read())
        box.cut()
        error = await asyncio.wait_for(agent.closed(), 20)
        (result,) = await asyncio.gather(reading, return_exceptions=True)
        assert isinstance(error, Disconnected)
        assert isinstance(result, Disconnected)
        await agent.close()
    finally:
        await transport.close()
