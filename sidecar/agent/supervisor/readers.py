"""Who reads a job's output, how far they are, and whether the job must wait for them.

A job that prints faster than a line carries would fill its log with what a person has yet to see:
Ctrl-C acts at once, but the prompt comes when all of that was shown. Where it runs as a local one,
the terminal slows it. So a job waits for a reader that follows it and falls more than a second
behind; not for one that has stopped (a sleeping laptop, a suspended command), nor for one that
reads what was printed long ago: the log is there for that. Pure; the clock is the caller's.
"""

from typing import Dict, Hashable, NamedTuple, Optional

AT_ONCE = 1 << 20
"""Bytes that any reader may be behind: what a line of 80 ms has under way at 12 MB/s."""

SECOND = 1.0
"""What a reader took in the last such span is what it may be behind, where that is more."""

STOPPED = 10.0
"""Seconds without progress after which a job does not wait any more. A connection that is gone
without a word must cost a job no more than that."""


class _Reader(NamedTuple):
    """`moved`: when it last came further; `since` and `base`: where the present span began;
    `rate`: bytes that it took in the span before; `follows`: it was close behind, and did not
    stop since."""

    offset: int
    moved: float
    since: float
    base: int
    rate: float
    follows: bool


class Readers:
    """All readers of one log, each under a key of its own."""

    def __init__(self) -> None:
        self._readers: Dict[Hashable, _Reader] = {}

    def reads(self, key: Hashable, offset: int, size: int, now: float) -> None:
        """That reader has everything before `offset` of a log of that size."""
        known = self._readers.get(key)
        close = size - offset <= AT_ONCE
        if known is None or offset < known.offset:
            self._readers[key] = _Reader(offset, now, now, offset, 0.0, close)
        elif offset > known.offset:
            since, base, rate = known.since, known.base, known.rate
            span = now - since
            if span >= SECOND:
                since, base, rate = now, offset, (offset - base) * SECOND / span
            follows = close or (known.follows and now < known.moved + STOPPED)
            self._readers[key] = _Reader(offset, now, since, base, rate, follows)

    def left(self, key: Hashable) -> None:
        self._readers.pop(key, None)

    @property
    def needed(self) -> Optional[int]:
        """Nothing from this offset on may be dropped; None where nobody reads."""
        return min((one.offset for one in self._readers.values()), default=None)

    def wait_for(self, size: int, now: float) -> Optional[float]:
        """Until when at the most the job is to wait, its log being of that size; None: it need
        not."""
        until = [
            one.moved + STOPPED
            for one in self._readers.values()
            if one.follows
            and size - one.offset > max(AT_ONCE, one.rate, one.offset - one.base)
            and now < one.moved + STOPPED
        ]
        return max(until, default=None)
