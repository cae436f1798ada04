"""What a debug session says of ports that the program opens by itself."""

from __future__ import annotations

import os
import socket
import sys

import pytest

from sidecar.debug import listeners
from sidecar.debug.listeners import Listener, Watch
from tests.debug.client import DapClient
from tests.debug.conftest import Bench

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  t i\n"


def row(local: str, state: str, user: int, inode: int) -> str:
    return f"   7: {local} 00000000:0000 {state} 0:0 00:0 0 {user} 0 {inode} 1 x\n"


@pytest.mark.skipif(sys.byteorder == "big", reason="only on little-endian machines")
def test_listening_sockets_of_one_user_are_read_and_nothing_behind_them() -> None:
    def rows() -> object:
        yield HEAD
        yield row("0100007F:1F90", "0A", 1000, 11)
        yield row("00000000:0050", "0A", 0, 12)
        yield row("00000000000000000000000001000000:0051", "0A", 1000, 13)
        yield row("0100007F:1F91", "01", 1000, 14)
        raise AssertionError("connections are read as well: there may be thousands")

    assert list(listeners.listening(rows(), 1000)) == [  # type: ignore[arg-type]
        (11, "127.0.0.1", 8080),
        (13, "::1", 81),
    ]


@pytest.mark.parametrize(
    ("host", "debugger", "category", "words"),
    [
        ("127.0.0.1", False, "console", "127.0.0.1:80. Other users of that machine can connect"),
        ("0.0.0.0", False, "console", "0.0.0.0:80. All who reach that machine can connect"),
        ("::", False, "console", "[::]:80. All who reach"),
        ("127.0.0.1", True, "important", "whoever can connect there runs code as you"),
    ],
)
def test_it_is_told_who_can_connect(host: str, debugger: bool, category: str, words: str) -> None:
    told, text = Listener(host, 80, 7, debugger).told()
    assert told == category
    assert words in text


def test_each_listener_of_the_programs_processes_is_found_once() -> None:
    watch, others = Watch(os.getppid(), []), Watch(os.getppid(), [os.getpid()])
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        ours = [found for found in watch.look() if found.port == port]
        assert ours == [Listener("127.0.0.1", port, os.getpid(), False)]
        assert port not in [found.port for found in watch.look()]
        assert port not in [found.port for found in others.look()]


async def test_ports_that_the_program_opens_are_told_of_and_a_debuggers_is_warned_of(
    bench: Bench,
) -> None:
    bench.write(
        "main.py",
        "import socket, subprocess, sys\n"
        "server = socket.create_server(('127.0.0.1', 0))\n"
        "print('serves', server.getsockname()[1], flush=True)\n"
        # As a job of the program's own would: a process that is not debugged by us.
        "code = 'import debugpy; debugpy.listen((\\'127.0.0.1\\', 0)); input()'\n"
        "child = subprocess.Popen([sys.executable, '-c', code], stdin=subprocess.PIPE)\n"
        "child.wait()\n",
    )
    session = await bench.start()
    async with DapClient.connected(session.port) as client:
        number = await client.begin()
        await client.ask("configurationDone")
        await client.answer(number)
        await client.until(lambda: "(debugpy.listen)" in client.printed("important"))
        await client.until(lambda: " listens on 127.0.0.1:" in client.printed("console"))
        served = client.printed().split("serves ")[1].split()[0]
        assert f"listens on 127.0.0.1:{served}. Other users" in client.printed("console")
        assert client.printed("important").count("(debugpy.listen)") == 1
