from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from sidecar import api
from sidecar.lsp.progress import Bar, Nothing


class Window:
    """A client that shows whatever it is asked to."""

    def __init__(self) -> None:
        self.shown: list[dict[str, Any]] = []
        self.created = asyncio.Event()

    async def request_or_none(self, method: str, params: Any, result: type[Nothing]) -> None:
        self.created.set()

    def post(self, method: str, params: Any) -> None:
        self.shown.append(params.value)


SYNCING = api.Health(project="/p", host="gpu1", state="syncing", text="1 to send", queued=1)


def sending(done: int) -> api.Health:
    transfers = [api.Transfer(path="a.bin", done=done, total=200)]
    return msgspec.structs.replace(SYNCING, transfers=transfers)


async def begun(window: Window, bar: Bar) -> None:
    bar.take(sending(0))
    creating = bar._creating
    assert creating is not None
    await creating


async def test_a_large_file_shows_its_bytes_and_can_be_called_off() -> None:
    window = Window()
    bar = Bar(window)  # type: ignore[arg-type]
    await begun(window, bar)
    bar.take(sending(50))
    assert window.shown[0]["cancellable"]
    assert (window.shown[-1]["percentage"], window.shown[-1]["cancellable"]) == (25, True)
    bar.take(SYNCING)
    assert not window.shown[-1]["cancellable"]
    assert bar.token
    bar.take(msgspec.structs.replace(SYNCING, state="ready", queued=0))
    assert window.shown[-1]["kind"] == "end"
    assert not bar.token


async def test_a_small_save_shows_nothing() -> None:
    window = Window()
    Bar(window).take(SYNCING)  # type: ignore[arg-type]
    assert not window.created.is_set()
    assert window.shown == []
