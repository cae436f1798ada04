"""How the tour prints: titles, lines, what programs said, times."""

from __future__ import annotations

import os
import threading
import time
from typing import TextIO


class Show:
    """Prints the tour. Colours where there is a terminal and NO_COLOR is unset."""

    def __init__(self, out: TextIO) -> None:
        self.out = out
        self.colour = out.isatty() and not os.environ.get("NO_COLOR")

    def title(self, text: str) -> None:
        self.out.write(f"\n{self._styled('1', text)}\n")
        self.out.flush()

    def line(self, text: str) -> None:
        self.out.write(f"  {text}\n")
        self.out.flush()

    def quote(self, text: str) -> None:
        """What a program printed."""
        for line in text.splitlines():
            self.out.write(f"  {self._styled('2', '│')} {line}\n")
        self.out.flush()

    def done(self, text: str, took: float) -> None:
        self.line(f"{self._styled('32', '✓')} {text} {self._styled('2', seconds(took))}")

    def table(self, rows: list[tuple[str, str]]) -> None:
        width = max(len(name) for name, _ in rows)
        for name, value in rows:
            self.line(f"{name:<{width}}  {value:>12}")

    def waiting(self, text: str) -> _Waiting:
        return _Waiting(self, text)

    def _styled(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour else text


class _Waiting:
    """A line that says what takes long, with a clock where there is a terminal."""

    def __init__(self, show: Show, text: str) -> None:
        self._show, self._text = show, text
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> None:
        if self._show.colour:
            self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
            self._show.out.write("\r\x1b[K")

    def _tick(self) -> None:
        began = time.monotonic()
        while not self._over.wait(0.5):
            self._show.out.write(f"\r  … {self._text} {time.monotonic() - began:.0f} s")
            self._show.out.flush()


def seconds(value: float) -> str:
    """A time for people."""
    return f"{value * 1000:.1f} ms" if value < 1 else f"{value:.2f} s"
