"""One suite for every transport, over every server."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import pytest
import pytest_asyncio

from sidecar.config.places import runtime_dir
from sidecar.errors import ConnectError, Disconnected
from sidecar.questions import Nobody
from sidecar.ssh.dial import dial
from sidecar.ssh.last_words import LIMIT
from sidecar.ssh.transport import Process, Transport
from tests.servers.box import Box, write_ssh_config

TEN_MB = 10 << 20


Dialled = Callable[[Box], Awaitable[Transport]]


@pytest_asyncio.fixture
async def transport_of() -> AsyncIterator[Dialled]:
    """Dials a box; what was dialled is closed at the end."""
    made: list[Transport] = []

    async def dialled(box: Box) -> Transport:
        made.append(await dial(box.alias, Nobody(), transport=box.transport))
        return made[-1]

    yield dialled
    for transport in made:
        await transport.close()


@pytest_asyncio.fixture
async def transport(box: Box) -> AsyncIterator[Transport]:
    made = await dial(box.alias, Nobody(), transport=box.transport)
    yield made
    await made.close()


async def read_all(process: Process) -> bytes:
    pieces = []
    while piece := await process.read():
        pieces.append(piece)
    return b"".join(pieces)


async def read_exactly(process: Process, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = await process.read(size - len(data))
        assert piece, data
        data += piece
    return data


async def test_it_says_what_it_is(box: Box, transport: Transport) -> None:
    assert transport.name == box.transport
    assert not transport.asked


async def test_every_byte_comes_back_as_it_was(transport: Transport) -> None:
    process = await transport.start("cat")
    everything = bytes(range(256)) * 16
    await process.write(everything)
    assert await read_exactly(process, len(everything)) == everything
    process.close()


async def test_an_exit_status_comes_back(transport: Transport) -> None:
    process = await transport.start("printf done; exit 7")
    assert await read_all(process) == b"done"
    assert await process.wait() == 7


async def test_the_status_of_ssh_itself_may_be_a_commands_too(transport: Transport) -> None:
    process = await transport.start("exit 255")
    assert await read_all(process) == b""
    assert await process.wait() == 255


async def test_the_end_of_stderr_is_kept_and_safe_to_show(transport: Transport) -> None:
    process = await transport.start(
        "i=0; while [ $i -lt 3000 ]; do echo noise >&2; i=$((i+1)); done;"
        " printf '\\033[31mtrouble\\033[0m\\n' >&2"
    )
    assert await read_all(process) == b""
    assert await process.wait() == 0
    words = process.last_words()
    assert words.startswith("…")
    assert words.endswith("noise\n\\x1b[31mtrouble\\x1b[0m\n")
    assert len(words) < LIMIT + 64


async def test_a_small_read_leaves_the_rest(transport: Transport) -> None:
    process = await transport.start("printf abcdef")
    assert await read_exactly(process, 2) == b"ab"
    assert await read_all(process) == b"cdef"
    assert await process.read() == b""


async def test_ten_megabytes_go_there_and_back(transport: Transport) -> None:
    process = await transport.start("cat")
    sent = os.urandom(1 << 20) * (TEN_MB >> 20)

    async def feed() -> None:
        for at in range(0, len(sent), 1 << 16):
            await process.write(sent[at : at + (1 << 16)])

    feeding = asyncio.create_task(feed())
    assert await read_exactly(process, len(sent)) == sent
    await feeding
    process.close()


async def test_a_writer_waits_for_a_reader_there(box: Box, transport: Transport) -> None:
    process = await transport.start("until [ -e go ]; do sleep 0.02; done; wc -c")
    size = 32 << 20

    async def feed() -> None:
        for _ in range(size >> 16):
            await process.write(bytes(1 << 16))

    feeding = asyncio.create_task(feed())
    # It would be over in a tenth of that, were it all to go into a buffer of ours.
    done, _ = await asyncio.wait({feeding}, timeout=0.5)
    assert not done
    (box.home / "go").touch()
    await feeding
    process.close()


async def test_many_commands_share_one_connection(box: Box, transport: Transport) -> None:
    before = box.accepted
    processes = await asyncio.gather(*(transport.start(f"echo {n}") for n in range(5)))
    outputs = await asyncio.gather(*(read_all(process) for process in processes))
    assert outputs == [f"{n}\n".encode() for n in range(5)]
    assert box.accepted == before


async def test_a_closed_command_is_over_and_closing_twice_is_fine(transport: Transport) -> None:
    process = await transport.start("cat")
    process.close()
    process.close()
    assert await process.read() == b""
    await process.wait()
    with pytest.raises(Disconnected):
        await process.write(b"more")


async def test_a_command_whose_output_nobody_reads_can_be_closed(transport: Transport) -> None:
    process = await transport.start("head -c 20000000 /dev/zero; cat")
    assert await process.read(1)
    process.close()
    await asyncio.wait_for(process.wait(), 30)


async def test_a_command_is_no_option(transport: Transport) -> None:
    process = await transport.start("-V")
    assert await process.wait() == 127
    assert "not found" in process.last_words()


async def test_a_cut_is_told_to_everybody(box: Box, transport: Transport) -> None:
    process = await transport.start("printf up; cat")
    assert await read_exactly(process, 2) == b"up"
    reading = asyncio.create_task(process.read())
    waiting = asyncio.create_task(process.wait())
    watching = asyncio.create_task(transport.closed())
    await asyncio.sleep(0)
    box.cut()
    for task in (reading, waiting):
        with pytest.raises(Disconnected) as caught:
            await asyncio.wait_for(task, 30)
        assert "box" in caught.value.what
    assert await asyncio.wait_for(watching, 30)
    with pytest.raises(Disconnected):
        await process.write(b"x")
    with pytest.raises(Disconnected):
        await process.read()
    with pytest.raises(Disconnected):
        await transport.start("true")
    process.close()


async def test_what_came_before_a_cut_is_read_first(box: Box, transport: Transport) -> None:
    process = await transport.start("printf first; cat")
    assert await read_exactly(process, 1) == b"f"
    box.cut()
    await asyncio.wait_for(transport.closed(), 30)
    assert await read_exactly(process, 4) == b"irst"
    with pytest.raises(Disconnected):
        await process.read()


@pytest.mark.parametrize("signs", ["writing", "reading"])
async def test_a_command_there_learns_of_a_cut(box: Box, transport_of: Dialled, signs: str) -> None:
    commands = {
        "writing": "trap '' PIPE; echo up; while echo x 2>/dev/null; do sleep 0.02; done",
        "reading": "echo up; cat >/dev/null",
    }
    process = await (await transport_of(box)).start(f"{commands[signs]}; touch $HOME/learnt")
    await process.read()
    box.cut()
    watch = "until [ -e learnt ]; do sleep 0.02; done; echo learnt"
    watching = await (await transport_of(box)).start(watch)
    assert await asyncio.wait_for(read_exactly(watching, 7), 30) == b"learnt\n"


async def test_closing_ends_every_command(box: Box) -> None:
    made = await dial(box.alias, Nobody(), transport=box.transport)
    process = await made.start("cat")
    await asyncio.wait_for(made.close(), 30)
    assert await asyncio.wait_for(made.closed(), 1)
    with pytest.raises(Disconnected):
        await process.read()
    await made.close()


async def test_a_dial_can_be_cancelled_and_leaves_nothing(box: Box) -> None:
    box.line.stall()
    arrived = asyncio.Event()
    box.line.on_accept = partial(asyncio.get_running_loop().call_soon_threadsafe, arrived.set)
    dialling = asyncio.create_task(dial(box.alias, Nobody(), transport=box.transport))
    await asyncio.wait_for(arrived.wait(), 30)
    dialling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await dialling
    assert list(runtime_dir().iterdir()) == []


async def test_a_silent_peer_is_noticed(box: Box) -> None:
    options = {**box.options(), "ServerAliveInterval": 1, "ServerAliveCountMax": 1}
    write_ssh_config(box.ssh_config, {box.alias: options})
    made = await dial(box.alias, Nobody(), transport=box.transport)
    process = await made.start("cat")
    box.line.stall()
    with pytest.raises(Disconnected):
        await asyncio.wait_for(process.read(), 15)
    await asyncio.wait_for(made.close(), 30)


async def test_a_signal_gives_the_status_of_a_shell(embedded: Box, transport_of: Dialled) -> None:
    process = await (await transport_of(embedded)).start("kill -TERM $$")
    assert await process.wait() == 128 + signal.SIGTERM


async def test_steps_are_told(box: Box) -> None:
    steps: list[str] = []
    made = await dial(box.alias, Nobody(), transport=box.transport, progress=steps.append)
    await made.close()
    assert steps[0] == "Resolving box"
    assert len(steps) >= 2


async def test_no_such_host_is_said(box: Box) -> None:
    with pytest.raises(ConnectError) as caught:
        await dial("no-such-host.invalid", Nobody(), transport=box.transport)
    assert caught.value.code == "no-such-host"
