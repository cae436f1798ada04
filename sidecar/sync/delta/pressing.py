"""How hard to press what goes up in bulk: as hard as the line is slow.

What tells is the wait: where most of the time goes by waiting for room on the line, more work is
worth it; where hardly any does, the processor is what is waited for. The first guess goes by the
round trip: in a machine room nothing is gained by pressing, far away nearly always something.

The standard library (39 MB) takes one core 0.5 s to 12.5 MB at level 3, and 1.1 s to 11.1 MB at
level 6. That pays on a line of 50 Mbit/s far away; on one of 100 Mbit/s the processor, which has
other work as well, is slower. Pure but for what it is told.
"""

from __future__ import annotations

LEVELS = (0, 1, 3, 5)
"""Of zlib; 0: not at all."""

NEAR, FAR = 0.005, 0.05
"""Seconds of round trip."""

BOUND, IDLE = 0.5, 0.15
"""Shares of the time: with more of it spent waiting for the line, the next level; with less, the
one before."""

ENOUGH = 0.1
"""Seconds that are looked at together."""


class Pressing:
    """Of one connection."""

    def __init__(self, round_trip: float) -> None:
        """`round_trip`: in seconds."""
        self._most = 2 if round_trip < FAR else 3
        self._at = 0 if round_trip < NEAR else self._most
        self._waited = self._passed = 0.0

    @property
    def level(self) -> int:
        return LEVELS[self._at]

    def sent(self, waited: float, passed: float) -> None:
        """A batch was sent.

        Args:
            waited: seconds of `passed` in which the line took nothing.
            passed: seconds since the batch before it.
        """
        self._waited += waited
        self._passed += passed
        if self._passed < ENOUGH:
            return
        share = self._waited / self._passed
        if share > BOUND:
            self._at = min(self._at + 1, self._most)
        elif share < IDLE:
            self._at = max(self._at - 1, 0)
        self._waited = self._passed = 0.0
