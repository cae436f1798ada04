from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.core import messages as m
from sidecar.errors import SidecarError
from sidecar.remote.connection import AgentConnection
from sidecar.remote.stream import STDERR_KEPT, Stream
from tests.remote.local_transport import LocalTransport


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[AgentConnection]:
    transport = LocalTransport(tmp_path)
    made = await AgentConnection.start(transport)
    yield made
    await made.close()
    await transport.close()


async def spawn(agent: AgentConnection, *argv: str) -> Stream:
    return await agent.open_stream(lambda n: m.Spawn(n, list(argv), {}, ""))


async def all_of(stream: Stream) -> bytes:
    data = bytearray()
    while part := await stream.read():
        data += part
    return bytes(data)


async def test_bytes_of_every_kind_go_there_and_back(agent: AgentConnection) -> None:
    content = os.urandom(3_000_000)
    stream = await spawn(agent, "cat")

    async def write() -> None:
        for at in range(0, len(content), 100_001):
            await stream.write(content[at : at + 100_001])
        await stream.write_eof()
        await stream.write_eof()

    received, _ = await asyncio.wait_for(asyncio.gather(all_of(stream), write()), 30)
    assert received == content
    assert await stream.wait() == 0
    assert await stream.read() == b""


async def test_many_streams_at_once_do_not_mix(agent: AgentConnection) -> None:
    async def one(number: int) -> None:
        stream = await spawn(agent, "cat")
        content = bytes([number]) * 200_000
        reading = asyncio.create_task(all_of(stream))
        await stream.write(content)
        await stream.write_eof()
        assert await reading == content

    await asyncio.wait_for(asyncio.gather(*map(one, range(8))), 30)


async def test_a_reader_that_waits_holds_the_child_back(agent: AgentConnection) -> None:
    total = 20_000_000
    script = f"import sys; sys.stdout.buffer.write(bytes({total}))"
    stream = await spawn(agent, sys.executable, "-c", script)
    before = agent.bytes_received
    other = await spawn(agent, "echo", "meanwhile")
    assert await other.read() == b"meanwhile\n"
    await agent.request(m.Ping)
    assert agent.bytes_received - before < 2 * m.STREAM_WINDOW
    assert len(await asyncio.wait_for(all_of(stream), 30)) == total


async def test_a_writer_waits_for_a_child_that_does_not_read(agent: AgentConnection) -> None:
    stream = await spawn(agent, "sleep", "100")
    writing = asyncio.create_task(stream.write(bytes(2_000_000)))
    done, _ = await asyncio.wait([writing], timeout=0.2)
    assert not done
    stream.close()
    with pytest.raises(SidecarError):
        await asyncio.wait_for(writing, 30)


async def test_stderr_that_nobody_reads_blocks_nothing_and_its_end_is_kept(
    agent: AgentConnection,
) -> None:
    script = "import sys; sys.stderr.write('x' * 2_000_000 + 'end'); print('done')"
    stream = await spawn(agent, sys.executable, "-c", script)
    assert await asyncio.wait_for(all_of(stream), 30) == b"done\n"
    assert await stream.wait() == 0
    errors = await stream.read_error()
    assert len(errors) == STDERR_KEPT
    assert errors.endswith(b"end")
    assert await stream.read_error() == b""


async def test_the_exit_status_comes_with_what_was_said_before(agent: AgentConnection) -> None:
    stream = await spawn(agent, "sh", "-c", "echo out; echo err >&2; exit 5")
    assert await stream.wait() == 5
    assert await stream.read() == b"out\n"
    assert await stream.read_error() == b"err\n"
    with pytest.raises(SidecarError):
        await stream.write(b"late")
    await stream.write_eof()


async def test_a_stream_may_be_closed_twice_and_waited_for(agent: AgentConnection) -> None:
    stream = await spawn(agent, "sleep", "100")
    waiting = asyncio.create_task(stream.wait())
    await asyncio.sleep(0)
    stream.close()
    stream.close()
    assert await asyncio.wait_for(waiting, 30) == -1


async def test_a_connection_there_is_a_stream_here(agent: AgentConnection) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await reader.read()
        writer.write(data[::-1])
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        stream = await agent.open_stream(lambda n: m.Connect(n, "127.0.0.1", port))
        assert stream.pid == 0
        await stream.write(b"12345")
        await stream.write_eof()
        assert await all_of(stream) == b"54321"
        assert await stream.wait() == 0


async def test_what_was_written_before_closing_still_arrives(agent: AgentConnection) -> None:
    received: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.set_result(await reader.read())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        stream = await agent.open_stream(lambda n: m.Connect(n, "127.0.0.1", port))
        await stream.write(bytes(100_000))
        stream.close()
        assert len(await asyncio.wait_for(received, 30)) == 100_000


async def test_a_refused_connection_is_an_error(agent: AgentConnection) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(SidecarError) as caught:
        await agent.open_stream(lambda n: m.Connect(n, "127.0.0.1", port))
    assert caught.value.code == "refused"
