"""Landings: many become visible while the lock of steps is taken once."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from sidecar.core.identity import Identity
from sidecar.errors import Disconnected
from sidecar.sync.disk.local_files import Changed
from sidecar.sync.pulling.landings import AT_ONCE, Landings


class Lock(asyncio.Lock):
    """Counts how often it was taken."""

    taken = 0

    async def acquire(self) -> Any:
        self.taken += 1
        return await super().acquire()


def here(number: int) -> Identity:
    return Identity("f", 0o644, number, 1, 1, 1)


async def test_what_comes_together_lands_under_one_lock_and_base_hears_of_each() -> None:
    lock, agreed = Lock(), dict[int, Identity]()
    landings = Landings(SimpleNamespace(closed=False), lock)  # type: ignore[arg-type]
    held = [lock.locked]

    def land(number: int) -> Identity:
        assert held[0]()
        if number == 7:
            raise Changed("somebody was here")
        return here(number)

    async def one(number: int) -> Identity:
        return await landings.land(
            lambda: land(number), lambda landed: agreed.__setitem__(number, landed)
        )

    ends = await asyncio.gather(*map(one, range(AT_ONCE + 1)), return_exceptions=True)
    assert lock.taken == 2
    assert isinstance(ends.pop(7), Changed)
    assert ends == list(agreed.values())
    assert len(agreed) == AT_ONCE


async def test_base_hears_of_what_landed_although_whoever_waited_was_called_off() -> None:
    begun, go_on, agreed = threading.Event(), threading.Event(), list[Identity]()
    landings = Landings(SimpleNamespace(closed=False), asyncio.Lock())  # type: ignore[arg-type]

    def land() -> Identity:
        begun.set()
        assert go_on.wait(30)
        return here(1)

    waiting = asyncio.create_task(landings.land(land, agreed.append))
    await asyncio.to_thread(begun.wait, 30)
    waiting.cancel()
    behind = asyncio.create_task(landings.land(lambda: here(2), agreed.append))
    go_on.set()
    assert await behind == here(2)
    assert agreed == [here(1), here(2)]


async def test_over_a_connection_that_went_base_hears_of_nothing() -> None:
    there, agreed = SimpleNamespace(closed=False), list[Identity]()
    landings = Landings(there, asyncio.Lock())  # type: ignore[arg-type]

    def land() -> Identity:
        there.closed = True
        return here(1)

    with pytest.raises(Disconnected):
        await landings.land(land, agreed.append)
    assert agreed == []
