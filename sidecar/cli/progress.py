"""One line on the terminal that says what takes long, while it does; gone when it is over."""

from __future__ import annotations

import os
import sys
import time
from typing import TextIO

from sidecar import api
from sidecar.cli import terminal

PATIENCE = 0.5
"""Seconds that pass in silence: what is over by then was no wait."""

EVERY = 0.1
"""Seconds between two versions of the line."""

BAR = 20
"""Characters of the bar that shows how far large files are."""

FEW = 20
"""Up to so many changes in a sync, the bytes of a large one say more than how many are done."""


class Progress:
    """Fed with the states that the hub tells of; shows nothing where stderr is no terminal."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._shows = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._next = time.monotonic() + PATIENCE
        self._most = 0
        self._shown = False

    def take(self, health: api.Health) -> None:
        if not self._shows:
            return
        if health.state not in ("connecting", "syncing"):
            self.clear()
            return
        self._most = max(self._most, health.queued)
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + EVERY
        self._show(self._line(health))

    def clear(self) -> None:
        """Takes the line away, before anything else is printed."""
        if self._shown:
            self._show("")
            self._shown = False

    def end(self) -> None:
        """Nothing is shown any more, whatever the hub tells."""
        self.clear()
        self._shows = False

    def _line(self, health: api.Health) -> str:
        text = f"{health.host}: {health.text}"
        if health.transfers and self._most < FEW:
            done = sum(one.done for one in health.transfers)
            return terminal.printable(
                f"{_bar(done, sum(one.total for one in health.transfers))} {text}"
            )
        if health.queued and self._most > 1:
            done = self._most - health.queued
            text += f" ({done} of {self._most})"
        return terminal.printable(text)

    def _show(self, text: str) -> None:
        columns = _columns(self._stream)
        self._stream.write(f"\r\x1b[K{text[: columns - 1]}")
        self._stream.flush()
        self._shown = True


def _bar(done: int, total: int) -> str:
    filled = BAR * done // max(1, total)
    return f"[{'#' * filled}{'.' * (BAR - filled)}]"


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        return 80
