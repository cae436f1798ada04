"""A comeback: a folder that was away, here or there, is looked for again until it is back.

A disk is mounted again in a moment, a folder is moved back, or never. So looks come at a beat that
grows, and cost a stat or one exchange; nobody is asked anything by them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sidecar.errors import SidecarError
from sidecar.sync.engine import SyncEngine

MAY_COME_BACK = frozenset(
    {"root-gone", "root-replaced", "root-emptied", "remote-emptied", "remote-lost"}
)
"""Codes of failures that end by themselves."""

BEAT = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""Seconds between looks; the last one stays."""


class Comeback:
    """Of one session's folders.

    Args:
        look: brings both sides together, if that asks nobody anything.
    """

    def __init__(self, engine: SyncEngine, look: Callable[[], None]) -> None:
        self._engine, self._look = engine, look
        self._looks = 0
        self._error: SidecarError | None = None
        self._timer: asyncio.TimerHandle | None = None

    def failed(self, error: SidecarError) -> None:
        """Both sides are apart, or could not be brought together again."""
        self.cancel()
        self._error = error
        if error.code not in MAY_COME_BACK and not self._is_another_project:
            return
        seconds = BEAT[min(self._looks, len(BEAT) - 1)]
        self._looks += 1
        self._timer = asyncio.get_running_loop().call_later(seconds, self._now)

    def together(self) -> None:
        self.cancel()
        self._looks, self._error = 0, None

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _now(self) -> None:
        self._timer = None
        if self._error is not None and self._is_another_project:
            self.failed(self._error)  # comparing that one again is no use
        else:
            self._look()

    @property
    def _is_another_project(self) -> bool:
        """What stands in the project's place differs, so that a person is to decide; the right one
        may come back before."""
        asks = self._error is not None and self._error.code == "first-contact"
        return asks and self._engine.files > 0 and not self._engine.is_at_home
