"""The door of the hub: hellos, garbage, strangers, and who may ask it to end."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from sidecar import api
from sidecar.hub.control import MAX_HELLO, ControlServer
from sidecar.hub.ownership import HubIsOwned, Ownership, acquire

PATIENCE = 20


@pytest.fixture
def ownership(isolated: Path) -> AsyncIterator[Ownership]:
    owned = acquire(isolated / "s.sock")
    yield owned
    owned.release()


class Door:
    """A control server whose one face echoes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.changes = asyncio.Event()
        self.served = 0
        self.server = ControlServer(
            {"rpc": self._echo}, on_change=self.changes.set, on_end=lambda: "it is busy"
        )

    async def _echo(
        self, hello: api.Hello, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.served += 1
        writer.write(await reader.read(100))
        await writer.drain()
        writer.close()

    async def say(self, line: bytes) -> tuple[api.Welcome, bytes]:
        """What the door answers, and what comes behind it."""
        reader, writer = await asyncio.open_unix_connection(str(self.path))
        writer.write(line)
        welcome = await asyncio.wait_for(reader.readline(), PATIENCE)
        try:
            rest = await asyncio.wait_for(reader.read(), PATIENCE)
        except ConnectionResetError:  # it closed with bytes of ours unread
            rest = b""
        writer.close()
        return msgspec.json.decode(welcome, type=api.Welcome), rest


@pytest.fixture
async def door(ownership: Ownership) -> AsyncIterator[Door]:
    door = Door(ownership.path)
    await door.server.start(ownership.listener)
    yield door
    await door.server.close()


def hello(**fields: object) -> bytes:
    return (
        msgspec.json.encode({"version": api.VERSION, "face": "rpc", "client": "test", **fields})
        + b"\n"
    )


async def test_a_face_is_welcomed_and_its_bytes_go_to_its_server(door: Door) -> None:
    welcome, rest = await door.say(hello() + b"ping")
    assert (welcome.problem, welcome.pid) == ("", os.getpid())
    assert rest == b"ping"
    await asyncio.wait_for(door.changes.wait(), PATIENCE)
    assert not door.server.busy


@pytest.mark.parametrize(
    "garbage",
    [
        b"\n",
        b"hello\n",
        b"\xff\xfe\xfd\n",
        b"{}\n",
        b'{"version":1,"face":"root","client":"x"}\n',
        b"[" * 10_000 + b"\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"x" * (MAX_HELLO * 2 + 10),
    ],
)
async def test_garbage_gets_one_clear_line_and_the_door_stays_open(
    door: Door, garbage: bytes
) -> None:
    welcome, rest = await door.say(garbage)
    assert "no hello of a sidecar" in welcome.problem
    assert rest == b""
    assert door.served == 0
    assert (await door.say(hello() + b"x"))[1] == b"x"


async def test_a_face_of_another_version_is_told_both_and_what_to_do(door: Door) -> None:
    welcome, _ = await door.say(hello(version=api.VERSION + 1))
    assert f"speaks version {api.VERSION}" in welcome.problem
    assert "sidecar hub stop" in welcome.problem
    assert door.served == 0


async def test_a_hub_may_say_why_it_does_not_end(door: Door) -> None:
    welcome, _ = await door.say(hello(face="end", version=99))
    assert welcome.problem == "it is busy"


async def test_a_face_that_leaves_in_the_middle_of_its_hello_is_forgotten(door: Door) -> None:
    _, writer = await asyncio.open_unix_connection(str(door.path))
    writer.write(b'{"version":')
    writer.close()
    await asyncio.wait_for(door.changes.wait(), PATIENCE)
    assert not door.server.busy


def test_the_socket_is_for_its_owner_alone(ownership: Ownership) -> None:
    assert stat.S_IMODE(os.stat(ownership.path).st_mode) == 0o600


def test_only_one_process_is_the_hub(ownership: Ownership) -> None:
    with pytest.raises(HubIsOwned, match=str(os.getpid())):
        acquire(ownership.path, patience=0.05)


def test_a_child_that_was_forked_just_then_does_not_keep_the_next_hub_waiting(
    isolated: Path,
) -> None:
    owned = acquire(isolated / "s.sock")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:  # holds what we hold until it becomes another program
        os.close(writing)
        os.read(reading, 1)
        os._exit(0)
    try:
        owned.release()
        acquire(isolated / "s.sock", patience=0.05).release()
    finally:
        os.close(reading)
        os.close(writing)
        os.waitpid(child, 0)


def test_a_socket_that_a_killed_hub_left_is_replaced(isolated: Path) -> None:
    path = isolated / "s.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    owned = acquire(path)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    owned.release()
    assert not path.exists()


def test_a_file_that_is_no_socket_is_never_replaced(isolated: Path) -> None:
    path = isolated / "s.sock"
    path.write_text("mine")
    with pytest.raises(HubIsOwned, match="no socket"):
        acquire(path)
    assert path.read_text() == "mine"


def test_the_next_hub_may_have_the_name_before_the_old_one_is_gone(isolated: Path) -> None:
    path = isolated / "s.sock"
    owned = acquire(path)
    owned.hide()
    assert not path.exists()
    owned.release()
