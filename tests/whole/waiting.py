"""Waiting for what nobody tells: a look, again and again, with a deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

Seen = TypeVar("Seen")

PATIENCE = 30.0
PAUSE = 0.01


def eventually(look: Callable[[], Seen], what: str, patience: float = PATIENCE) -> Seen:
    """The first true thing that `look` gives. For tests that are not asynchronous."""
    end = time.monotonic() + patience
    while not (seen := look()):
        assert time.monotonic() < end, f"in {patience:.0f} s: not {what}"
        time.sleep(PAUSE)
    return seen


async def soon(look: Callable[[], Seen], what: str, patience: float = PATIENCE) -> Seen:
    """The same, while an editor goes on in the same loop."""
    end = time.monotonic() + patience
    while not (seen := look()):
        assert time.monotonic() < end, f"in {patience:.0f} s: not {what}"
        await asyncio.sleep(PAUSE)
    return seen


async def never(look: Callable[[], object], what: str, seconds: float) -> None:
    """`look` gives nothing true for that long: the one way to see that nothing happens."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert not look(), what
        await asyncio.sleep(PAUSE)
