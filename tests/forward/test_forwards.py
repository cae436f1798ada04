"""Connections through forwards, over each server and transport."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.config.forwards import End, Rule
from sidecar.errors import SidecarError
from sidecar.forward.forwards import Offer, Origin
from tests.forward.conftest import PATIENCE, Bench, echo

STRANGER = 65534


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="fw-") as path:
        yield Path(path)


async def said(port: int, data: bytes, host: str = "127.0.0.1") -> bytes:
    """What comes back until the end."""
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(data)
    writer.write_eof()
    try:
        return await asyncio.wait_for(reader.read(), PATIENCE)
    finally:
        writer.close()


@pytest.mark.real
@pytest.mark.timeout(180)
@pytest.mark.parametrize("box", ["sshd-asyncssh", "sshd-openssh"], indirect=True)
async def test_a_thousand_connections_in_a_row_and_a_hundred_at_once(bench: Bench) -> None:
    there = await bench.serve(echo)
    port = (await bench.open(f"{there}")).port
    for number in range(1000):
        data = b"%d" % number
        assert await said(port, data) == data
    many = [os.urandom(100_000) for _ in range(100)]
    assert await asyncio.gather(*(said(port, data) for data in many)) == many
    bench.close()
    with pytest.raises(ConnectionRefusedError):
        await said(port, b"")


async def test_a_reader_that_takes_nothing_holds_the_other_end_back(bench: Bench) -> None:
    sent = 0
    piece = os.urandom(1 << 16)
    pieces = 512

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        for _ in range(pieces):
            writer.write(piece)
            await writer.drain()
            sent += len(piece)
        writer.close()

    port = (await bench.open(f"{await bench.serve(pour)}")).port
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 14)
    before = -1
    while before != sent or not sent:  # until no more goes in
        before = sent
        await asyncio.sleep(0.3)
    # Sockets hold up to some MB by themselves, at both of its ends.
    assert sent < pieces * len(piece) * 3 // 4
    received = 0
    while data := await asyncio.wait_for(reader.read(1 << 18), PATIENCE):
        received += len(data)
    assert received == sent == pieces * len(piece)
    writer.close()


async def test_what_is_sent_behind_the_end_of_the_other_half_still_comes(bench: Bench) -> None:
    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = len(await reader.read())
        writer.write(b"%d bytes" % size)
        writer.close()

    port = (await bench.open(f"{await bench.serve(count)}")).port
    assert await said(port, bytes(3_000_000)) == b"3000000 bytes"


async def test_a_port_where_nobody_listens_closes_the_connection(bench: Bench) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = (await bench.open(f"{unused.getsockname()[1]}")).port
        with contextlib.suppress(ConnectionResetError):
            assert await said(port, b"") == b""


async def test_sockets_are_forwarded_on_both_ends(bench: Bench, folder: Path) -> None:
    there, here = folder / "there", folder / "here"
    await bench.serve(echo, str(there))
    told = await bench.open(f"{here}:{there}")
    assert (told.here, told.there, told.port, told.state) == (str(here), str(there), 0, "open")
    assert stat.S_IMODE(here.stat().st_mode) == 0o600
    reader, writer = await asyncio.open_unix_connection(str(here))
    writer.write(b"hello")
    writer.write_eof()
    assert await asyncio.wait_for(reader.read(), PATIENCE) == b"hello"
    writer.close()
    port = (await bench.open(Rule(End(), End(path=str(there))))).port
    assert await said(port, b"by a port") == b"by a port"
    bench.forwards.shut()
    assert not here.exists()


async def test_what_lies_where_a_socket_is_to_be_stays(nearby: Bench, folder: Path) -> None:
    here = folder / "notes.txt"
    here.write_text("mine")
    with pytest.raises(SidecarError, match="is there already"):
        await nearby.open(f"{here}:9")
    assert here.read_text() == "mine"
    left = folder / "left"
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(left))
    assert (await nearby.open(f"{left}:9")).state == "open"


async def test_a_port_that_is_taken_here_gives_the_next_one_and_says_so(nearby: Bench) -> None:
    there = await nearby.serve(echo)
    told = await nearby.open(f"{there}")
    assert told.wanted == there  # the server has it, on the one loopback of this machine
    assert told.port > there
    assert f"port {there} is taken here" in told.text
    assert await said(told.port, b"x") == b"x"
    if socket.has_ipv6:
        assert await said(told.port, b"localhost", "::1") == b"localhost"


async def test_who_asks_for_the_same_shares_it_until_the_last_has_gone(nearby: Bench) -> None:
    rule = Rule(End(), End(port=await nearby.serve(echo)))
    first = await nearby.forwards.open(rule, "one", Origin())
    again = await nearby.forwards.open(rule, "two", Origin())
    assert again == first
    nearby.forwards.release("one")
    assert await said(first.port, b"still") == b"still"
    nearby.forwards.release("two")
    assert nearby.forwards.ports == []
    assert [one.state for one in nearby.told] == ["open", "closed"]


async def test_what_a_job_offers_is_told_once_and_taken_by_a_forward(nearby: Bench) -> None:
    there = await nearby.serve(echo)
    offer = Offer(End(port=there), Origin("job", "j1", ("python", "-m", "http.server")))
    nearby.forwards.offer({("j1", there): offer})
    nearby.forwards.offer({("j1", there): offer})
    assert [one.state for one in nearby.told] == ["offered"]
    told = await nearby.forwards.open(Rule(End(), offer.there), "me", Origin())
    assert told.name == "Python's http.server"
    assert told.url == f"http://127.0.0.1:{told.port}/"
    assert [one.state for one in nearby.forwards.ports] == ["open"]
    nearby.forwards.release("me")
    nearby.forwards.offer({("j1", there): offer})
    nearby.forwards.offer({})
    assert [one.state for one in nearby.told[2:]] == ["closed", "offered", "closed"]


async def test_a_local_forward_that_another_program_has_goes_to_the_next_port(
    nearby: Bench,
) -> None:
    there = await nearby.serve(echo)
    told = await nearby.open(f"{there}", Origin("ssh"))
    assert told.state == "open"
    assert told.port != there


HELD_BY_SSH = """\
import socket, sys
open('/proc/self/comm', 'w').write('ssh')
listener = socket.create_server(('127.0.0.1', 0))
print(listener.getsockname()[1], flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux, which tells who has a port")
async def test_a_local_forward_that_the_persons_own_ssh_holds_is_left_to_it(
    nearby: Bench,
) -> None:
    command = [sys.executable, "-c", HELD_BY_SSH]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as ssh:
        assert ssh.stdout is not None
        port = int(ssh.stdout.readline())
        told = await nearby.open(f"{port}:9", Origin("ssh"))
        assert (told.state, told.here) == ("held", "")
        assert "your own ssh" in told.text


@pytest.mark.skipif(os.geteuid() != 0, reason="only on a machine where the tests are root")
async def test_another_user_of_this_machine_is_turned_away(nearby: Bench) -> None:
    heard = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(100))
        writer.close()

    port = (await nearby.open(Rule(End(), End(port=await nearby.serve(listen))))).port
    program = (
        f"import os, socket; os.setgid({STRANGER}); os.setuid({STRANGER})\n"
        f"client = socket.create_connection(('127.0.0.1', {port}), 30)\n"
        "try:\n    client.sendall(b'let me in'); print(client.recv(10))\n"
        "except OSError: print(b'')\n"
    )
    python = shutil.which("python3", path="/usr/bin:/bin") or sys.executable
    done = await asyncio.to_thread(
        subprocess.run, [python, "-c", program], capture_output=True, timeout=PATIENCE, check=False
    )
    assert done.stdout == b"b''\n", done.stderr
    assert await said(port, b"it is me") == b""
    assert heard == [b"it is me"]
