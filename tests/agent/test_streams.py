from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.agent import machine
from sidecar.agent.streams import Streams
from sidecar.core import frames
from sidecar.core import messages as m
from tests.agent.recorder import PATIENCE, Recorder


@pytest.fixture
def wire() -> Recorder:
    return Recorder()


@pytest.fixture
def streams(wire: Recorder) -> Iterator[Streams]:
    made = Streams(wire.send)
    yield made
    made.close()


def gone(pid: int) -> bool:
    """Ended, although somebody may not have asked for its status yet."""
    return not machine.start_time(pid)


def wait_gone(pid: int) -> None:
    end = time.monotonic() + PATIENCE
    while not gone(pid):
        assert time.monotonic() < end
        time.sleep(0.01)  # nothing tells of the end of somebody else's child


def spawn(streams: Streams, *argv: str, cwd: str = "", env: dict[str, str] | None = None) -> None:
    streams.handle(m.Spawn(1, list(argv), env or {}, cwd))


def test_a_child_gets_its_stdin_and_gives_its_output_and_status(
    streams: Streams, wire: Recorder
) -> None:
    spawn(streams, "sh", "-c", "cat; echo problem >&2; exit 7")
    assert wire.wait(m.Connected).pid > 0
    content = bytes(range(256)) * 100
    streams.handle(m.Data(1, 0, content))
    streams.handle(m.Eof(1, 0))
    assert wire.wait(m.Close).status == 7
    assert wire.bytes_of(1, 1) == content
    assert wire.bytes_of(1, 2) == b"problem\n"
    assert {(e.id, e.channel) for e in wire.all(m.Eof)} == {(1, 1), (1, 2)}
    lanes = {type(message): lane for message, lane in wire.sent}
    assert lanes[m.Data] == lanes[m.Eof] == lanes[m.Close] == frames.STREAMS


def test_a_child_ended_by_a_signal_has_its_number(streams: Streams, wire: Recorder) -> None:
    spawn(streams, "sh", "-c", "kill -9 $$")
    assert wire.wait(m.Close).status == -9


def test_a_child_runs_where_and_with_what_it_was_told(
    streams: Streams, wire: Recorder, tmp_path: Path
) -> None:
    spawn(streams, "sh", "-c", 'pwd; echo "$COLOUR"', cwd=str(tmp_path), env={"COLOUR": "blue"})
    wire.wait(m.Close)
    assert wire.bytes_of(1, 1).decode().splitlines() == [str(tmp_path.resolve()), "blue"]


@pytest.mark.parametrize("argv", [["/no/such/program"], [], ["sh\0"]])
def test_what_cannot_be_started_is_an_answer(
    streams: Streams, wire: Recorder, argv: list[str]
) -> None:
    streams.handle(m.Spawn(5, argv, {}, ""))
    fail = wire.wait(m.Fail)
    assert (fail.id, fail.code) == (5, "spawn")


def test_output_stops_at_the_window_and_goes_on_when_it_is_consumed(
    streams: Streams, wire: Recorder
) -> None:
    total = 3 * m.STREAM_WINDOW
    script = f"import sys; sys.stdout.buffer.write(bytes({total}))"
    spawn(streams, sys.executable, "-c", script)
    wire.until(lambda: len(wire.bytes_of(1, 1)) == m.STREAM_WINDOW)
    assert not wire.all(m.Close)
    streams.handle(m.Window(1, 1000))
    wire.until(lambda: len(wire.bytes_of(1, 1)) == m.STREAM_WINDOW + 1000)
    streams.handle(m.Window(1, total))
    assert wire.wait(m.Close).status == 0
    assert len(wire.bytes_of(1, 1)) == total


def test_what_a_child_takes_opens_the_window_again(streams: Streams, wire: Recorder) -> None:
    spawn(streams, "cat")
    for _ in range(8):
        streams.handle(m.Data(1, 0, bytes(32 * 1024)))
    wire.until(lambda: sum(w.bytes for w in wire.all(m.Window)) == m.STREAM_WINDOW)
    streams.handle(m.Close(1))


def test_a_child_that_reads_nothing_does_not_fill_the_agents_memory(
    streams: Streams, wire: Recorder
) -> None:
    spawn(streams, "sleep", "100")
    pid = wire.wait(m.Connected).pid
    for _ in range(100):
        streams.handle(m.Data(1, 0, bytes(32 * 1024)))
    assert "more was sent than the window allows" in wire.wait(m.Close).why
    wait_gone(pid)


def test_a_child_that_closes_its_stdin_is_not_disturbed(streams: Streams, wire: Recorder) -> None:
    spawn(streams, "sh", "-c", "exec 0<&-; echo ready; sleep 0.2; exit 3")
    wire.until(lambda: wire.bytes_of(1, 1) == b"ready\n")
    streams.handle(m.Data(1, 0, b"nobody reads this"))
    streams.handle(m.Data(1, 0, b"nor this"))
    assert wire.wait(m.Close).status == 3


def test_a_grandchild_that_holds_stdout_does_not_hold_the_end(
    streams: Streams, wire: Recorder
) -> None:
    spawn(streams, "sh", "-c", "sleep 100 & echo $!; exit 4")
    assert wire.wait(m.Close).status == 4
    os.kill(int(wire.bytes_of(1, 1)), signal.SIGKILL)


def test_closing_a_stream_ends_the_child_and_what_it_started(
    streams: Streams, wire: Recorder
) -> None:
    spawn(streams, "sh", "-c", "sleep 100 & echo $!; wait")
    wire.until(lambda: wire.bytes_of(1, 1).endswith(b"\n"))
    pids = [wire.wait(m.Connected).pid, int(wire.bytes_of(1, 1))]
    streams.handle(m.Close(1))
    for pid in pids:
        wait_gone(pid)
    assert not wire.all(m.Close)


def test_a_child_that_ignores_sigterm_is_killed(streams: Streams, wire: Recorder) -> None:
    spawn(streams, "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 100; done")
    wire.until(lambda: wire.bytes_of(1, 1) == b"ready\n")
    streams.handle(m.Close(1))
    wait_gone(wire.wait(m.Connected).pid)


def test_the_end_of_the_agent_ends_its_children(wire: Recorder) -> None:
    streams = Streams(wire.send)
    spawn(streams, "sleep", "100")
    pid = wire.wait(m.Connected).pid
    streams.close()
    assert gone(pid)


def test_messages_for_a_stream_that_has_ended_are_left_aside(
    streams: Streams, wire: Recorder
) -> None:
    spawn(streams, "true")
    wire.wait(m.Close)
    before = len(wire.messages)
    for late in (m.Data(1, 0, b"x"), m.Eof(1, 0), m.Window(1, 9), m.Close(1), m.Data(77, 0, b"")):
        streams.handle(late)
    streams.handle(m.Spawn(2, ["true"], {}, ""))
    wire.wait(m.Close, 2)
    assert all(message.id == 2 for message in wire.messages[before:])


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE)
        yield server


def connected(streams: Streams, wire: Recorder, listener: socket.socket) -> socket.socket:
    streams.handle(m.Connect(3, "127.0.0.1", listener.getsockname()[1]))
    peer, _ = listener.accept()
    peer.settimeout(PATIENCE)
    assert wire.wait(m.Connected).pid == 0
    return peer


def test_a_connection_carries_bytes_both_ways_and_closes_half_by_half(
    streams: Streams, wire: Recorder, listener: socket.socket
) -> None:
    with connected(streams, wire, listener) as peer:
        streams.handle(m.Data(3, 0, b"ask"))
        streams.handle(m.Eof(3, 0))
        assert peer.recv(10) == b"ask"
        assert peer.recv(10) == b""
        peer.sendall(b"answer")
        wire.until(lambda: wire.bytes_of(3, 1) == b"answer")
    assert wire.wait(m.Close) == m.Close(3, 0, "")
    assert wire.all(m.Eof) == [m.Eof(3, 1)]


def test_what_was_written_before_a_close_still_arrives(
    streams: Streams, wire: Recorder, listener: socket.socket
) -> None:
    with connected(streams, wire, listener) as peer:
        streams.handle(m.Data(3, 0, bytes(200_000)))
        streams.handle(m.Close(3))
        received = 0
        while data := peer.recv(65536):
            received += len(data)
        assert received == 200_000


def test_a_connection_that_is_reset_says_why(
    streams: Streams, wire: Recorder, listener: socket.socket
) -> None:
    peer = connected(streams, wire, listener)
    linger = b"\1\0\0\0\0\0\0\0"
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    peer.close()
    assert "reset" in wire.wait(m.Close).why.lower()


def test_a_unix_socket_is_reached_by_its_path(
    streams: Streams, wire: Recorder, tmp_path: Path
) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as server:
        server.settimeout(PATIENCE)
        server.bind(path)
        server.listen()
        streams.handle(m.Connect(3, path, 0))
        peer, _ = server.accept()
        with peer:
            peer.sendall(b"hello")
            wire.until(lambda: wire.bytes_of(3, 1) == b"hello")


def test_a_port_where_nobody_listens_is_said(streams: Streams, wire: Recorder) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    streams.handle(m.Connect(3, "127.0.0.1", port))
    fail = wire.wait(m.Fail)
    assert (fail.id, fail.code) == (3, "refused")
    assert str(port) in fail.what


def test_a_path_or_host_that_cannot_be_connected_to_is_an_answer(
    streams: Streams, wire: Recorder
) -> None:
    streams.handle(m.Connect(3, "/no/such/socket", 0))
    assert wire.wait(m.Fail, 3).code == "connect"
    streams.handle(m.Connect(4, "a..b" + "x" * 300, 1))
    assert wire.wait(m.Fail, 4).code == "connect"


def test_no_thread_is_left_when_it_is_closed() -> None:
    before = threading.active_count()
    streams = Streams(Recorder().send)
    streams.close()
    assert threading.active_count() == before
