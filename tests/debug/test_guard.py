"""Who gets in at the ports of a debug session: our own living sockets, and nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.debug import guard
from sidecar.debug.guard import GuardedListener
from tests.debug.client import DapClient
from tests.debug.conftest import Bench, processes_of
from tests.debug.strangers import needs_root, ports_of, try_ports

HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"


def row(local: str, remote: str, uid: int, inode: int) -> str:
    return f"   7: {local} {remote} 01 00000000:00000000 00:00000000 00000000 {uid} 0 {inode} 1 x\n"


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (("127.0.0.1", 8080), "0100007F:1F90"),
        (("::1", 1, 0, 0), "00000000000000000000000001000000:0001"),
        (("::ffff:127.0.0.1", 65535), "0000000000000000FFFF00000100007F:FFFF"),
    ],
)
@pytest.mark.skipif(sys.byteorder == "big", reason="only on little-endian machines")
def test_addresses_are_written_as_the_table_has_them(address: tuple[object], text: str) -> None:
    assert guard.table_address(address) == text


HERE, THERE = "0100007F:1F90", "0100007F:C001"


@pytest.mark.parametrize(
    ("rows", "uid"),
    [
        ([row(THERE, HERE, 1000, 55)], 1000),
        ([row(HERE, THERE, 7, 56), row(THERE, HERE, 1000, 55)], 1000),
        ([row(THERE, HERE, 0, 55)], 0),
        # What a peer that sent its bytes and closed leaves behind. For root this is not "ours".
        ([row(THERE, HERE, 0, 0)], None),
        ([row(THERE, HERE, 1000, 0)], None),
        ([row(HERE, THERE, 1000, 55)], None),
        ([row(THERE, "0100007F:1F91", 1000, 55)], None),
        (["\n", "garbage\n"], None),
        ([], None),
    ],
)
def test_only_a_live_row_of_the_other_end_tells_its_owner(rows: list[str], uid: int | None) -> None:
    assert guard.owner([HEADER, *rows], THERE, HERE) == uid


def guarded_listener(family: int = socket.AF_INET, host: str = "127.0.0.1") -> GuardedListener:
    plain = socket.socket(family)
    if family == socket.AF_INET6:
        plain.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    plain.bind((host, 0))
    plain.listen(16)
    plain.settimeout(30)
    return guard.guarded(plain)


@pytest.fixture(params=[socket.AF_INET, socket.AF_INET6], ids=["IPv4", "IPv6"])
def listener(request: pytest.FixtureRequest) -> Iterator[GuardedListener]:
    host = "127.0.0.1" if request.param == socket.AF_INET else "::1"
    try:
        listening = guarded_listener(request.param, host)
    except OSError:
        pytest.skip("only on a machine with IPv6")
    with listening:
        yield listening


@pytest.fixture
def listener_v4() -> Iterator[GuardedListener]:
    with guarded_listener() as listening:
        yield listening


def test_our_own_connection_is_let_in(listener: GuardedListener) -> None:
    with socket.create_connection(listener.getsockname()[:2]) as client:
        connection, _ = listener.accept()
        with connection:
            client.sendall(b"hello")
            assert connection.recv(10) == b"hello"


def test_an_ipv6_socket_that_comes_by_ipv4_is_recognised(listener_v4: GuardedListener) -> None:
    with socket.socket(socket.AF_INET6) as client:
        client.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        client.connect(("::ffff:127.0.0.1", listener_v4.getsockname()[1]))
        connection, _ = listener_v4.accept()
        connection.close()


@pytest.mark.parametrize("linger", [False, True], ids=["closed", "reset"])
def test_a_peer_that_has_gone_already_is_not_let_in(
    listener: GuardedListener, linger: bool
) -> None:
    for _ in range(5):
        gone = socket.create_connection(listener.getsockname()[:2])
        gone.sendall(b"evaluate me")
        if linger:
            gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        gone.close()
    with socket.create_connection(listener.getsockname()[:2]) as client:
        connection, peer = listener.accept()
        with connection:
            assert peer == client.getsockname()


def test_a_listener_keeps_its_timeout(listener: GuardedListener) -> None:
    listener.settimeout(0.01)
    with guard.guarded(listener) as again, pytest.raises(TimeoutError):
        again.accept()


def test_the_guard_works_here() -> None:
    assert guard.works("127.0.0.1")


def test_when_the_table_goes_nobody_is_let_in_any_more(
    listener: GuardedListener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "TABLES", ("/nowhere",))
    listener.settimeout(0.2)
    with socket.create_connection(listener.getsockname()[:2]) as client:
        with pytest.raises(TimeoutError):
            listener.accept()
        assert client.recv(1) == b""


def test_without_the_table_nobody_is_let_in_and_nothing_is_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(guard, "TABLES", ("/nowhere",))
    assert not guard.works("127.0.0.1")
    with pytest.raises(SystemExit) as ended:
        guard.run_adapter(".")
    assert ended.value.code == guard.EXIT_NO_GUARD


@needs_root
async def test_a_second_user_gets_nowhere_at_any_port_of_a_session(bench: Bench) -> None:
    session = await bench.start()
    async with DapClient.connected(session.port) as client:
        await client.stop_at(str(bench.here / "model.py"), 2)
        ours = processes_of("sidecar_debugpy.py") + processes_of(bench.mark)
        ports = ports_of(ours)
        assert ports, "debugpy listens nowhere: this test is about nothing"
        assert {host for host, _ in ports} == {"127.0.0.1"}
        await asyncio.to_thread(try_ports, ports)
        # The session has not noticed.
        frames = await client.stack()
        assert (await client.variables(frames[0]))["row"] == "1"
        for pid in ours:
            try:
                command = Path("/proc", str(pid), "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"--adapter-access-token" in command:
                assert command[command.index(b"--adapter-access-token") + 1] == b""


@needs_root
def test_another_user_is_closed_before_the_next_of_ours_is_served(
    listener: GuardedListener,
) -> None:
    accepted: list[socket.socket] = []
    serving = threading.Thread(target=lambda: accepted.append(listener.accept()[0]))
    serving.start()
    try_ports([listener.getsockname()[:2]] * 2)
    assert not accepted
    with socket.create_connection(listener.getsockname()[:2]) as client:
        serving.join(30)
        assert accepted[0].getpeername() == client.getsockname()
        accepted[0].close()


@needs_root
async def test_a_second_user_of_this_machine_gets_nowhere_at_the_port_here(bench: Bench) -> None:
    session = await bench.start()
    await asyncio.to_thread(try_ports, [("127.0.0.1", session.port)])
    async with DapClient.connected(session.port) as client:
        await client.ask("initialize", adapterID="python")


# --- nothing left behind ---------------------------------------------------------------------

FAMILY = """\
import os, subprocess, sys, time
sys.path.insert(0, {folder!r})
from sidecar.debug import guard
ended = guard.supervise()
if ended:
    sys.exit((ended - 1) % 256)
child = "import os, time; os.setsid(); os.fork(); time.sleep(600)"
subprocess.Popen([sys.executable, "-c", child], stdin=subprocess.DEVNULL)
print("up", flush=True)
{then}
"""


def family(then: str, mark: str) -> subprocess.Popen[bytes]:
    program = FAMILY.format(folder=str(Path(guard.__file__).parents[2]), then=then)
    child = subprocess.Popen(
        [sys.executable, "-c", program, mark],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "MARK": mark},
        start_new_session=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"up\n"
    return child


@pytest.mark.parametrize("way", ["ended", "term", "eof", "killed"])
def test_whatever_came_of_the_adapter_ends_with_it(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = f"mark-of-{tmp_path}"
    then = "sys.exit(7)" if way == "ended" else "sys.stdin.read() and 0; time.sleep(0)"
    with family(then, mark) as child:
        assert child.stdin is not None
        if way == "term":
            os.killpg(child.pid, 15)
        elif way == "killed":
            os.killpg(child.pid, 9)
        elif way == "eof":
            child.stdin.close()
        status = child.wait(30)
        assert status == {"ended": 7, "eof": 0, "term": 247, "killed": -9}[way]
    if way == "killed":
        # Nobody was left to end the grandchildren; the adapter's own end is the launcher's cue.
        # One that was seen may have started another one meanwhile.
        while left := processes_of(mark):
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, 9)
    else:
        assert processes_of(mark) == []


def test_an_adapter_that_does_not_leave_is_ended(tmp_path: Path) -> None:
    mark = f"mark-of-{tmp_path}"
    with family("time.sleep(600)", mark) as child:
        assert child.stdin is not None
        child.stdin.close()
        assert child.wait(guard.LEAVE_SECONDS + 15) == 247
    assert processes_of(mark) == []


def test_the_end_of_stdin_can_be_seen_without_reading_it() -> None:
    """What `supervise` relies on: the adapter's bytes stay the adapter's."""
    read, write = os.pipe()
    try:
        watched = select.poll()
        watched.register(read, 0)
        os.write(write, b"x")
        assert watched.poll(0) == []
        os.close(write)
        assert watched.poll(0)[0][1] & select.POLLHUP
        assert os.read(read, 1) == b"x"
    finally:
        os.close(read)
