"""How long the watch waits for more, once something happened. Pure: the clock is passed in.

A save is three or four events within a millisecond, and waits for SETTLE. A switched branch or an
installed package is hundreds in a row, and worth fewer, larger steps: with more than STORM paths
in a moment, each turn waits for STORM_SETTLE. What an editor tells waits for neither.

    events   |||           ||||||||||||||||||||||||||||||||||            |
    turns      ^             ^ ^ ^     ^     ^     ^     ^     ^          ^
             a save        a checkout: the first turns, then longer ones  a save
"""

from __future__ import annotations

SETTLE = 0.002
"""Seconds."""

STORM_SETTLE = 0.02
"""A checkout that takes a second is 50 steps at most."""

STORM = 8.0
"""Paths that count as a storm: more than a formatter and an editor touch at once."""

MOMENT = 0.1
"""Seconds in which half of what happened is forgotten."""


class Settling:
    def __init__(self) -> None:
        self._recent, self._at = 0.0, 0.0

    def told(self, paths: int, now: float) -> None:
        """That many paths were told in a turn that ended at `now` (the monotonic clock)."""
        self._recent = self._recent * 0.5 ** ((now - self._at) / MOMENT) + paths
        self._at = now

    def wait(self, now: float) -> float:
        """Seconds to wait in the turn that begins now."""
        recent = self._recent * 0.5 ** ((now - self._at) / MOMENT)
        return STORM_SETTLE if recent > STORM else SETTLE
