"""Waiting for news with a deadline, such that a cancellation is never lost.

`asyncio.wait_for` forgets, before Python 3.12, that its caller was cancelled where what it waits
for comes in the same moment; then a task that was told to end goes on, and whoever waits for its
end waits for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Late(Exception):
    """It did not come in time."""


async def within(seconds: float | None, waiting: Coroutine[Any, Any, T]) -> T:
    """What `waiting` returns.

    Args:
        seconds: None: for as long as it takes.
    Raises:
        Late: it was not there by then; it is cancelled.
    """
    task = asyncio.ensure_future(waiting)
    try:
        await asyncio.wait({task}, timeout=seconds)
        if not task.done():
            raise Late
        return task.result()
    finally:
        task.cancel()
