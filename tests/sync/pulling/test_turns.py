"""Turns: what is fetched next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from sidecar.core.identity import FILE, Identity
from sidecar.core.tree import Node
from sidecar.errors import Disconnected
from sidecar.sync.pulling.turns import SMALL, Line, Turns
from sidecar.sync.pulling.wanted import Decided, Wanted


class Pulls:
    """Fetches that end when they are told to."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.open: dict[str, asyncio.Future[None]] = {}
        self.turns = Turns(self._pull, lambda: None)

    async def _pull(self, path: str, wanted: Wanted) -> None:
        self.begun.append(path)
        self.open[path] = asyncio.get_running_loop().create_future()
        await self.open[path]

    async def end(self, path: str) -> None:
        self.open.pop(path).set_result(None)
        await settle()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def wanted(size: int, decided: bool = False) -> Wanted:
    there = Identity(FILE, 0o644, size, 1, 1, 1)
    return Wanted(there, None, None, decided=Decided(Node(FILE, False, "x")) if decided else None)


async def test_a_small_content_waits_for_no_large_one_and_a_decision_for_nothing() -> None:
    pulls = Pulls()
    for name in ("large-1", "large-2", "large-3"):
        pulls.turns.want(name, wanted(SMALL + 1))
    pulls.turns.want("small", wanted(1))
    pulls.turns.want("decided", wanted(SMALL + 1, decided=True))
    await settle()
    assert pulls.begun == ["large-1", "large-2", "small", "decided"]
    decisions = asyncio.create_task(pulls.turns.decisions_settled())
    await pulls.end("decided")
    await decisions
    assert pulls.turns.waiting == 4
    await pulls.end("large-1")
    assert pulls.begun[-1] == "large-3"
    for name in ("large-2", "large-3", "small"):
        await pulls.end(name)
    await pulls.turns.settled()


async def test_a_path_that_is_under_way_comes_again_when_that_is_over_and_not_beside_it() -> None:
    pulls = Pulls()
    pulls.turns.want("a", wanted(1))
    await settle()
    pulls.turns.want("a", wanted(1))  # which is the same
    pulls.turns.want("a", wanted(SMALL + 1))
    pulls.turns.want("a", wanted(2))
    await settle()
    assert (pulls.begun, pulls.turns.waiting) == (["a"], 2)
    await pulls.end("a")
    assert (pulls.begun, pulls.turns.waiting) == (["a", "a"], 1)
    await pulls.end("a")
    await pulls.turns.settled()


async def test_a_decision_takes_the_place_of_what_is_under_way() -> None:
    pulls = Pulls()
    pulls.turns.want("a", wanted(1))
    await settle()
    pulls.turns.want("a", wanted(1, decided=True))
    await settle()
    assert pulls.begun == ["a", "a"]
    await pulls.end("a")
    await pulls.turns.decisions_settled()
    await pulls.turns.settled()


@pytest.mark.parametrize("call_off", [lambda turns, task: turns.close(), lambda _, t: t.cancel()])
async def test_what_somebody_waits_for_ends_with_them_or_the_connection(
    call_off: Callable[[Turns, asyncio.Task[None]], None],
) -> None:
    pulls = Pulls()
    names = [f"{n}" for n in range(Line.LARGE.value + 1)]

    def begin() -> None:
        for name in names:
            pulls.turns.want(name, wanted(SMALL + 1))

    waiting = asyncio.create_task(pulls.turns.ended(names, begin))
    await settle()
    call_off(pulls.turns, waiting)
    with pytest.raises((Disconnected, asyncio.CancelledError)):
        await waiting
    await asyncio.wait_for(pulls.turns.settled(), 30)
    assert len(pulls.begun) == Line.LARGE.value
    await settle()
    assert pulls.turns.waiting == 0
