"""Landings: what has come becomes visible here, many at a time, each time as a step of its own.

Nothing else changes either side meanwhile (the lock of steps is held), and base agrees on what
landed before the lock is let go of. A step waits for AT_ONCE of them at most: a rename each, some
50 µs, since what is slow (the write to the disk) was done before.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from sidecar.core.identity import Identity
from sidecar.sync.pulling.turns import gone
from sidecar.sync.trees.there import There

AT_ONCE = 64


class _Landing(NamedTuple):
    """`land` is for a thread; `agree` is told what is here then. `landed`: of whoever waits."""

    land: Callable[[], Identity]
    agree: Callable[[Identity], None]
    landed: asyncio.Future[Identity]


class Landings:
    """Over one connection. Ends with it.

    Args:
        step: held by whoever changes anything on either side.
    """

    def __init__(self, there: There, step: asyncio.Lock) -> None:
        self._there, self._step = there, step
        self._waiting: deque[_Landing] = deque()
        self._task: asyncio.Task[None] | None = None

    async def land(
        self, land: Callable[[], Identity], agree: Callable[[Identity], None]
    ) -> Identity:
        """Returns what is here now.

        Args:
            land: makes it visible; blocking.
            agree: has base agree. Once it is visible it is told of, also if nobody waits any more.
        Raises:
            Disconnected: the connection went away meanwhile.
            And what `land` raises.
        """
        one = _Landing(land, agree, asyncio.get_running_loop().create_future())
        self._waiting.append(one)
        if self._task is None:
            self._task = asyncio.create_task(self._work(), name="landings")
        return await one.landed

    def close(self) -> None:
        """What is being made visible is so all the same, and is found by the next connection."""
        if self._task is not None:
            self._task.cancel()
        while self._waiting:
            self._fail(self._waiting.popleft(), gone())

    async def _work(self) -> None:
        try:
            while self._waiting:
                async with self._step:
                    some: list[_Landing] = []
                    while self._waiting and len(some) < AT_ONCE:
                        one = self._waiting.popleft()
                        if not one.landed.done():  # else whoever waited was called off
                            some.append(one)
                    await self._land(some)
        finally:
            self._task = None

    async def _land(self, some: list[_Landing]) -> None:
        landing = asyncio.ensure_future(asyncio.to_thread(_land_all, some))
        try:
            ends = await asyncio.shield(landing)
        except asyncio.CancelledError:
            # The lock is held until nothing changes any more; close() was called.
            await asyncio.wait({landing})
            for one in some:
                self._fail(one, gone())
            raise
        for one, end in zip(some, ends, strict=True):
            try:
                if isinstance(end, BaseException):
                    raise end
                if self._there.closed:
                    raise gone()
                one.agree(end)
            except Exception as error:  # noqa: BLE001 - it is for whoever waits for this one
                self._fail(one, error)
            else:
                if not one.landed.done():
                    one.landed.set_result(end)

    @staticmethod
    def _fail(one: _Landing, error: BaseException) -> None:
        if not one.landed.done():
            one.landed.set_exception(error)


def _land_all(some: list[_Landing]) -> list[Identity | BaseException]:
    ends: list[Identity | BaseException] = []
    for one in some:
        try:
            ends.append(one.land())
        except Exception as error:  # noqa: BLE001 - the others land all the same
            ends.append(error)
    return ends
