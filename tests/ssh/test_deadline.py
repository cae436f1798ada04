from __future__ import annotations

import asyncio

import pytest

from sidecar.ssh.deadline import within


async def test_what_is_ready_in_time_is_returned() -> None:
    assert await within(1, asyncio.sleep(0, "done")) == "done"


async def test_what_fails_fails() -> None:
    async def fail() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        await within(1, fail())


async def test_what_takes_too_long_is_cancelled_and_awaited() -> None:
    ended = asyncio.Event()

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(asyncio.TimeoutError):
        await within(0.01, forever())
    assert ended.is_set()


async def test_a_cancellation_is_never_forgotten() -> None:
    """Not even where the result is there at the very same moment."""
    ready = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(within(10, ready))
    await asyncio.sleep(0)
    ready.set_result("done")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
