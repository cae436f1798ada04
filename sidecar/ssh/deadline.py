"""Waiting with an end.

`asyncio.wait_for` of Python before 3.12 forgets that it was cancelled when what it waits for is
ready at that very moment; a dial that was called off would then go on for its full time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def within(seconds: float, work: Awaitable[T]) -> T:
    """The result of `work`, which is cancelled, and awaited, when time is up or we are cancelled.

    Only for work whose result may be dropped.

    Raises:
        asyncio.TimeoutError: it took longer.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
        if task.done():
            return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
    raise asyncio.TimeoutError
