"""Where jobs listen, by the kernel's tables."""

from __future__ import annotations

import os
import queue
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from sidecar.agent import sockets
from sidecar.agent.jobs import load, ports

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only on Linux, which has /proc")

HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"


def row(local: str, state: str, user: int, inode: int) -> str:
    return f"   0: {local} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000 {user} 0 {inode} 1 x\n"  # noqa: E501


@pytest.mark.skipif(sys.byteorder == "big", reason="only on little-endian machines")
def test_a_table_tells_the_sockets_that_listen_and_no_others() -> None:
    six = "00000000000000000000000001000000"
    rows = [
        HEADER,
        row("0100007F:1770", "0A", 1000, 55),
        row("0100007F:1771", "01", 1000, 56),
        row(f"{six}:0050", "0A", 0, 57),
        row("0100007F", "0A", 0, 58),
        "garbage\n",
    ]
    assert sockets.parse(rows) == [("127.0.0.1", 6000, 1000, 55), ("::1", 80, 0, 57)]


def test_the_ports_of_a_process_are_told_with_its_command() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number = listener.getsockname()[1]
        found = ports.of({"j1": {os.getpid()}, "j2": set()}, sockets.listening())
        (one,) = [one for one in found if one["port"] == number]
        assert (one["job"], one["host"], one["pid"]) == ("j1", "127.0.0.1", os.getpid())
        assert "python" in one["command"][0]
    assert all(
        one["port"] != number for one in ports.of({"j1": {os.getpid()}}, sockets.listening())
    )


def test_a_socket_of_a_process_is_told_by_its_path(tmp_path: Path) -> None:
    path = str(tmp_path / "here.sock")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as silent:
        listener.bind(path)
        listener.listen()
        silent.bind(f"{path}2")
        told = ports.sockets_of({"j1": {os.getpid()}})
    assert {"job": "j1", "path": path} in told
    assert {"job": "j1", "path": f"{path}2"} not in told


def test_a_watch_tells_what_appears_and_goes_and_then_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "BEATS", (0.01,))
    told: queue.Queue[Any] = queue.Queue()
    monkeypatch.setattr(ports, "processes", lambda state, jobs: {"1124-1-a": {os.getpid()}})
    watch = ports.Watch(str(tmp_path), ["1124-1-a"], told.put)
    try:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            number = listener.getsockname()[1]
            while number not in [one["port"] for one in told.get(timeout=30)]:
                pass
        while number in [one["port"] for one in told.get(timeout=30)]:
            pass
    finally:
        watch.stop()


def test_a_watch_ends_with_the_last_of_its_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "BEATS", (0.01,))
    with socket.create_server(("127.0.0.1", 0)):  # so that there is something to look at
        before = set(threading.enumerate())
        ports.Watch(str(tmp_path), ["1124-9-none"], lambda found: None)
        for thread in set(threading.enumerate()) - before:
            thread.join(30)
            assert not thread.is_alive()


def test_the_machine_tells_how_busy_it_is() -> None:
    told = load.here()
    assert told["cpus"] >= 1
    assert -1 <= told["cpu_percent"] <= 100
    assert 0 < told["memory_available"] <= told["memory_total"]
