"""When the repository there is brought up to the one here. Pure: the clock is passed in.

One git command writes several files within milliseconds: QUIET after the last of them is when it
is looked at, and every MOST while they do not end, as in a long rebase. What waits for something
over there (a merge, a lock, a job) is tried again at a beat that slows down; events begin it anew.

    events    |||         ||||||||||||||||||||||||||||||        |
    follows      ^                ^         ^           ^        ^   ^      ^            ^
              a commit    a rebase: now and then, and at its end   it waits: again, and again
"""

from __future__ import annotations

QUIET = 0.02
"""Seconds: `git commit` takes 10 ms from its first file to its last."""

QUIET_THERE = 0.3
"""The same for what moves over there; our own writing is seen there, too."""

MOST = 0.5

AGAIN = (1.0, 2.0, 5.0, 15.0, 60.0)
"""Seconds until it is tried again; the last one stays."""


class Beat:
    """Of one repository."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._due: float | None = None
        self._tries = 0

    def stirred(self, now: float, quiet: float = QUIET) -> None:
        """Something may have moved."""
        if self._since is None:
            self._since = now
        due = min(now + quiet, self._since + max(MOST, quiet))
        self._due = due
        self._tries = 0

    def begins(self) -> None:
        """It is looked at now; what stirs from here on is for the next time."""
        self._since = self._due = None

    def waits(self, now: float) -> None:
        """It was looked at, and has to wait for something over there."""
        if self._since is None:
            self._due = now + AGAIN[min(self._tries, len(AGAIN) - 1)]
            self._tries += 1

    def wait(self, now: float) -> float | None:
        """Seconds until it is to be looked at; None: until something stirs."""
        return None if self._due is None else max(0.0, self._due - now)

    @property
    def stirring(self) -> bool:
        """Something moved that was not looked at yet."""
        return self._since is not None
