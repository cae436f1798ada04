"""Large files on their way, against a real agent: broken off, gone on with, called off, sparse."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.core import messages
from sidecar.core.delta import LEAF
from sidecar.core.lanes import ACK_EVERY
from sidecar.core.messages import Message
from sidecar.errors import RunError
from sidecar.sync.pushing.change import Change
from sidecar.sync.pushing.upload import Transfer
from tests.sync.sides import DEADLINE, Sides

SIZE = 24 * LEAF + 12345
LARGE = random.Random(1).randbytes(SIZE)


@pytest.fixture
async def sides(tmp_path: Path) -> AsyncIterator[Sides]:
    made = Sides(tmp_path)
    yield made
    await made.end()


class Gate:
    """Lets so many bytes of large contents out, and no more until it is opened."""

    def __init__(self, sides: Sides, room: int) -> None:
        agent: Any = sides.agent
        self._sender, self._acknowledge = agent._sender, agent._sender.acknowledged
        self._sender.acknowledged = self._acknowledged
        uploads = sides.attachment.pusher._uploads
        self._send, self._room = uploads._line.send, room
        uploads._line = uploads._line._replace(send=self.send)
        self.reached, self._opened, self._heard = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def send(self, change: Change, message: Message, lane: int) -> None:
        if isinstance(message, messages.PutPart) and not message.abort:
            self._room -= len(message.body)
            if self._room < 0:
                self.reached.set()
                await self._opened.wait()
        await self._send(change, message, lane)

    async def all_arrived(self) -> None:
        """What was let out is in the agent's hands."""

        async def arrived() -> None:
            await self.reached.wait()
            await self._sender.flush()
            while self._sender.credit.unacknowledged >= ACK_EVERY:
                self._heard.clear()
                await self._heard.wait()

        await asyncio.wait_for(arrived(), DEADLINE)

    def _acknowledged(self, lane: int, processed: int) -> None:
        self._acknowledge(lane, processed)
        self._heard.set()

    def open(self) -> None:
        self._opened.set()


async def stuck(sides: Sides, room: int = 10 * LEAF) -> Gate:
    """A large file is on its way, and got so far."""
    await sides.begin()
    await sides.attach()
    gate = Gate(sides, room)
    sides.engine.saved([str(sides.write("large.bin", LARGE))])
    await gate.all_arrived()
    return gate


def there(sides: Sides) -> bytes:
    return (sides.there / "large.bin").read_bytes()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_a_broken_upload_goes_on_where_it_stopped(sides: Sides, number: int) -> None:
    await stuck(sides)
    await sides.cut(number)
    assert not (sides.there / "large.bin").exists()
    await sides.attach()
    assert there(sides) == LARGE
    assert sides.attachment.pusher.bytes_sent < SIZE - 8 * LEAF


async def test_the_next_sidecar_goes_on_too(sides: Sides) -> None:
    await stuck(sides)
    await sides.cut(signal.SIGKILL)
    await sides.restart()
    await sides.attach()
    assert there(sides) == LARGE
    assert sides.attachment.pusher.bytes_sent < SIZE - 8 * LEAF


async def test_what_changed_since_is_sent_and_what_did_not_is_not(sides: Sides) -> None:
    await stuck(sides)
    await sides.cut()
    changed = LARGE[: 4 * LEAF] + b"changed" + LARGE[4 * LEAF + 7 :]
    sides.write("large.bin", changed)
    await sides.attach()
    assert there(sides) == changed
    assert SIZE - 5 * LEAF < sides.attachment.pusher.bytes_sent < SIZE - 3 * LEAF


async def test_another_content_begins_anew(sides: Sides) -> None:
    await stuck(sides)
    await sides.cut()
    other = random.Random(2).randbytes(SIZE)
    sides.write("large.bin", other)
    await sides.attach()
    assert there(sides) == other
    assert not list((sides.there / ".sidecar/tmp/partial").iterdir())


async def test_a_delta_goes_on_where_it_stopped(sides: Sides) -> None:
    sides.write("large.bin", LARGE)
    await sides.begin()
    await sides.attach()
    gate = Gate(sides, 10 * LEAF)
    new = LARGE[-2 * LEAF :] + random.Random(2).randbytes(20 * LEAF) + LARGE[: 2 * LEAF + 1]
    sides.engine.saved([str(sides.write("large.bin", new))])
    await gate.all_arrived()
    await sides.cut()
    assert there(sides) == LARGE
    await sides.attach()
    assert there(sides) == new
    assert sides.attachment.pusher.bytes_sent < 12 * LEAF


async def test_an_upload_that_is_called_off_stops_and_is_noted(sides: Sides) -> None:
    gate = await stuck(sides)
    [transfer] = sides.engine.transfers
    assert (transfer.path, transfer.total) == ("large.bin", SIZE)
    assert 0 < transfer.done < SIZE
    sides.engine.cancel_uploads()
    await sides.until(lambda: sides.notes() == {"large.bin": "held"})
    gate.open()
    assert sides.engine.transfers == []
    assert not (sides.there / "large.bin").exists()
    with pytest.raises(RunError, match=r"large\.bin"):
        await sides.engine.barrier()
    result = await sides.engine.sync()
    assert there(sides) == LARGE
    assert result.bytes_sent < SIZE - 8 * LEAF
    assert sides.notes() == {}


async def test_a_called_off_file_that_changes_is_sent(sides: Sides) -> None:
    gate = await stuck(sides)
    sides.engine.cancel_uploads()
    await sides.until(lambda: sides.notes() == {"large.bin": "held"})
    gate.open()
    sides.engine.saved([str(sides.write("large.bin", b"small"))])
    await sides.until(lambda: (sides.there / "large.bin").exists())
    assert there(sides) == b"small"
    await sides.until(lambda: sides.notes() == {})


async def test_calling_off_what_is_not_under_way_does_nothing(sides: Sides) -> None:
    sides.engine = await sides.begin()
    sides.engine.cancel_uploads()
    await sides.attach()
    sides.engine.cancel_uploads()
    sides.write("f", "x")
    await sides.engine.sync()
    assert sides.read_there("f") == "x"


async def test_how_far_an_upload_is_can_be_seen(sides: Sides) -> None:
    await sides.begin()
    await sides.attach()
    seen: list[Transfer] = []
    uploads = sides.attachment.pusher._uploads
    uploads._moved = lambda: seen.extend(uploads.transfers)
    sides.write("large.bin", LARGE)
    await sides.engine.sync()
    assert [one.done for one in seen] == sorted({one.done for one in seen})
    assert seen[-1] == Transfer("large.bin", SIZE, SIZE)


@pytest.mark.skipif(not hasattr(os, "SEEK_HOLE"), reason="only on systems that have holes")
async def test_holes_are_neither_sent_nor_filled(sides: Sides) -> None:
    path = sides.write("sparse.img", b"begin")
    with path.open("r+b") as file:
        file.seek(40_000_000)
        file.write(b"middle")
        file.truncate(100_000_000)
    await sides.begin()
    await sides.attach()
    arrived = sides.there / "sparse.img"
    assert arrived.read_bytes() == path.read_bytes()
    assert sides.attachment.pusher.bytes_sent < 20_000
    if path.stat().st_blocks < 10_000:  # a file system that has them
        assert arrived.stat().st_blocks * 512 < 2_000_000


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only on Linux")
async def test_memory_does_not_grow_with_the_file(sides: Sides) -> None:
    """256 MB of which half are holes, as a whole and as a delta, on both sides."""
    noise = random.Random(3)
    await sides.begin()
    await sides.attach()
    agent = sides.transport.processes[-1].child.pid
    path = sides.write("large.bin", noise.randbytes(LEAF))
    await sides.engine.sync()
    pids = [os.getpid(), agent]
    before = [peak(pid) for pid in pids]
    with path.open("r+b") as file:
        for number in range(128):
            file.seek(2 * number * LEAF)
            file.write(noise.randbytes(LEAF))
        file.truncate(256 * LEAF)
    await sides.engine.sync()
    with path.open("r+b") as file:
        for number in range(0, 256, 4):
            file.seek(number * LEAF)
            file.write(noise.randbytes(LEAF // 2))
    await sides.engine.sync()
    grown = [peak(pid, clear=False) - was for pid, was in zip(pids, before, strict=True)]
    assert max(grown) < 100_000_000, grown
    with path.open("rb") as here, (sides.there / "large.bin").open("rb") as arrived:
        assert all(arrived.read(LEAF) == here.read(LEAF) for _ in range(257))


def peak(pid: int, *, clear: bool = True) -> int:
    """Bytes that a process has had in memory at the most, since this was asked and cleared."""
    if clear:
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024
