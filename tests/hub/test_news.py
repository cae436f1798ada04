"""Waiting with a deadline."""

from __future__ import annotations

import asyncio

import pytest

from sidecar.hub.news import Late, within


async def test_news_that_come_in_time_are_returned() -> None:
    async def news() -> str:
        return "here"

    assert await within(None, news()) == "here"


async def test_what_does_not_come_is_late_and_ended() -> None:
    ended = asyncio.Event()

    async def never() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(Late):
        await within(0, never())
    await ended.wait()


async def test_a_cancellation_in_the_moment_of_the_news_is_not_lost() -> None:
    news = asyncio.Event()
    waiting = asyncio.create_task(within(60, news.wait()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    news.set()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_what_fails_is_raised() -> None:
    async def fails() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await within(60, fails())
