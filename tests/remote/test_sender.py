from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from sidecar.core import frames, messages
from sidecar.core.credit import START
from sidecar.core.frames import BULK, CHUNK, SAVES
from sidecar.core.lanes import QUEUE
from sidecar.errors import Disconnected, SidecarError
from sidecar.remote.sender import Sender

PART = messages.InstallPart(1, False, bytes(CHUNK))


class Connection:
    """Takes what is written; while `gate` is closed, not at once."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self._changed = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: SidecarError | None = None
        self.failure: asyncio.Future[SidecarError] = asyncio.get_running_loop().create_future()

    async def write(self, data: bytes) -> None:
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.writes.append(data)
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await asyncio.wait_for(self._changed.wait(), 30)

    @contextlib.asynccontextmanager
    async def sender(self) -> AsyncIterator[Sender]:
        sender = Sender(self.write, self.failure.set_result)
        yield sender
        sender.end(Disconnected("over"))

    def received(self) -> list[messages.Message]:
        decoder = frames.FrameDecoder()
        return [messages.decode(f) for data in self.writes for f in decoder.feed(data)]


async def test_small_messages_queued_together_are_one_write() -> None:
    connection = Connection()
    async with connection.sender() as sender:
        for number in range(100):
            sender.put(messages.Ping(number))
        await sender.flush()
        assert len(connection.writes) == 1
        assert connection.received() == [messages.Ping(number) for number in range(100)]
        assert sender.bytes_sent == len(connection.writes[0])


async def test_a_save_goes_before_the_bulk_that_waits() -> None:
    connection = Connection()
    async with connection.sender() as sender:
        for _ in range(10):
            sender.put(PART, BULK)
        await connection.until(lambda: sum(map(len, connection.writes)) >= START)
        save = messages.MakeDirectory(1, 1, "a")
        sender.put(save, SAVES)
        await connection.until(lambda: connection.received()[-1] == save)
        assert len(connection.received()) == START // CHUNK + 1
        sender.acknowledged(BULK, sender.credit.unacknowledged)
        await connection.until(lambda: len(connection.received()) > START // CHUNK + 1)


async def test_whoever_sends_bulk_waits_for_room() -> None:
    connection = Connection()
    connection.gate.clear()
    async with connection.sender() as sender:
        fits = QUEUE // CHUNK
        sending = [asyncio.create_task(sender.send(PART, BULK)) for _ in range(fits + 10)]
        done, waiting = await asyncio.wait(sending, timeout=0.05)
        assert len(done) in (fits, fits + 1, fits + 2, fits + 3)
        await sender.send(messages.Ping(1), frames.CONTROL)
        connection.gate.set()
        while waiting:
            if sender.credit.unacknowledged:
                sent = sum(map(len, connection.writes)) - len(
                    frames.encode(messages.encode(messages.Ping(1)))
                )
                sender.acknowledged(BULK, max(0, sent))
            _, waiting = await asyncio.wait(waiting, timeout=0.01)


async def test_a_write_that_fails_is_told_once_and_to_all_who_come() -> None:
    connection = Connection()
    connection.error = Disconnected("The connection is gone")
    async with connection.sender() as sender:
        sender.put(messages.Ping(1))
        error = await asyncio.wait_for(connection.failure, 30)
        assert error.what == "The connection is gone"
        sender.end(error)
        with pytest.raises(Disconnected):
            sender.put(messages.Ping(2))
        await asyncio.wait_for(sender.flush(), 30)


async def test_those_who_wait_for_room_hear_of_the_end() -> None:
    connection = Connection()
    connection.gate.clear()
    async with connection.sender() as sender:
        sending = [asyncio.create_task(sender.send(PART, BULK)) for _ in range(40)]
        await asyncio.wait(sending, timeout=0.02)
        sender.end(Disconnected("over"))
        results = await asyncio.gather(*sending, return_exceptions=True)
        assert any(isinstance(result, Disconnected) for result in results)
