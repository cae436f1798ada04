"""How hard to press what goes up in bulk: as hard as the line is slow.

What tells is the wait: where most of the time goes by waiting for room on the line, more work is
worth it; where hardly any does, the processor is what is waited for. The first guess goes by the
round trip: in a machine room nothing is gained by pressing, far away nearly always something.

The standard library (42 MB) takes one core 0.32 s to 12.9 MB at level 1, 0.43 to 12.2 at level 3,
0.61 to 11.2 at level 5, and 0.91 to 11.1 at level 6. Level 5 pays on a line of 50 Mbit/s far away;
on one of 100 Mbit/s the processor, which has other work as well, is slower. lzma at its least takes
1.4 s to 10.8 MB, which no line does that is worth it. Pure but for what it is told.
"""

from __future__ import annotations

LEVELS = (0, 1, 5)
"""Of zlib; 0: not at all."""

NEAR, FAR = 0.005, 0.05
"""Seconds of round trip."""

BOUND, IDLE = 0.5, 0.15
"""Shares of the time: with more of it spent waiting for the line, the next level; with less, the
one before."""

FAST = 25e6
"""Bytes a second from which on nothing is pressed: who waits then waits for the other end."""

ENOUGH = 0.1
"""Seconds that are looked at together."""


class Pressing:
    """Of one connection."""

    def __init__(self, round_trip: float) -> None:
        """`round_trip`: in seconds."""
        self._most = 1 if round_trip < FAR else 2
        self._at = 0 if round_trip < NEAR else self._most
        self._waited = self._passed = 0.0

    @property
    def level(self) -> int:
        return LEVELS[self._at]

    def sent(self, waited: float, passed: float, rate: float) -> None:
        """A batch was sent.

        Args:
            waited: seconds of `passed` in which the line took nothing.
            passed: seconds since the batch before it.
            rate: bytes a second that the line was seen to carry; 0 where that is not known.
        """
        self._waited += waited
        self._passed += passed
        if self._passed < ENOUGH:
            return
        share = self._waited / self._passed
        if share > BOUND and rate < FAST:
            self._at = min(self._at + 1, self._most)
        elif rate >= FAST:
            self._at = max(self._at - 1, 0)
        elif share < IDLE:
            # Not to nothing: some small batches that did not have to wait say little of a line.
            self._at = max(self._at - 1, min(self._at, 1))
        self._waited = self._passed = 0.0
