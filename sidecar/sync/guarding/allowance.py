"""The allowance: how much may go up, or come here, without a question (`ask_above`).

A plan that moves more waits for the person's word, so that a data set which somebody unpacked into
the project does not fill a line and a disk unasked. What is small goes on meanwhile: what an editor
saved, and files up to SMALL while they stay within the allowance together. The word counts for the
paths that waited then, until they are there, and for no others. It is remembered over restarts:
who said yes to a data set in the evening is not asked again in the morning.

A file that the remote has already counts with what it grew by: of it only what differs is sent.
What was handed over within the last WINDOW seconds counts too, since what is copied here is seen
in parts. The clock is passed in.
"""

from __future__ import annotations

import json
import logging
import os
from collections import deque
from collections.abc import Collection, Container, Mapping
from pathlib import Path

from sidecar.core.amount import size

log = logging.getLogger(__name__)

SMALL = 8 << 20
"""Bytes up to which a file does not wait for others."""

WINDOW = 30.0
"""Seconds in which what is sent counts together."""

WRITTEN_EVERY = 100
"""Arrivals after which what is still allowed is written down."""

NAMED = 3
"""Files that a question names."""


class Allowance:
    """Of one project on one host, one way.

    Args:
        limit: bytes.
        path: where the word is remembered, if anywhere.
    """

    def __init__(self, limit: int, path: Path | None = None) -> None:
        self._limit, self._path = limit, path
        self.waiting: dict[str, int] = {}
        """Paths that wait, with the bytes that they would move."""
        self._allowed = self._read()
        self._sent: deque[tuple[float, int]] = deque()

    def that_must_wait(
        self,
        moves: Mapping[str, int],
        now: float,
        saved: Container[str] = (),
    ) -> set[str]:
        """Those of these files that are not to be sent now.

        Args:
            moves: the bytes that each file moves, for all that a step would send.
            now: the monotonic clock, in seconds.
            saved: what an editor saved: a person waits for it.
        """
        while self._sent and self._sent[0][0] < now - WINDOW:
            self._sent.popleft()
        asked = {path: moved for path, moved in moves.items() if path not in self._allowed}
        before = sum(moved for _, moved in self._sent)
        held: set[str] = set()
        if before + sum({**self.waiting, **asked}.values()) > self._limit:
            small = {
                path: moved
                for path, moved in asked.items()
                if path in saved or (moved <= SMALL and path not in self.waiting)
            }
            held = asked.keys() - small.keys()
            if before + sum(small.values()) > self._limit:
                held = set(asked)
        else:
            self.waiting.clear()
        for path, moved in asked.items():
            if path in held:
                self.waiting[path] = moved
            else:
                self.waiting.pop(path, None)
        if any(asked.values()):
            self._sent.append(
                (now, sum(moved for path, moved in asked.items() if path not in held))
            )
        return held

    def looked_at(self, paths: Collection[str], moves: Container[str]) -> None:
        """What of this need not be sent any more waits no longer."""
        if self.waiting:
            for path in self.waiting.keys() & paths:
                if path not in moves:
                    del self.waiting[path]

    def allow(self) -> list[str]:
        """The person said so; the paths that waited."""
        paths = list(self.waiting)
        self._allowed.update(paths)
        self.waiting.clear()
        self._write()
        return paths

    def arrived(self, path: str) -> None:
        """It is there: what it moves next is asked about anew."""
        if path in self._allowed:
            self._allowed.discard(path)
            # What is written may say too much for a while, of paths that have nothing to move.
            if len(self._allowed) % WRITTEN_EVERY == 0:
                self._write()

    def _read(self) -> set[str]:
        try:
            said = json.loads(self._path.read_bytes()) if self._path else []
            return {path for path in said if isinstance(path, str)}
        except FileNotFoundError:
            return set()
        except (OSError, ValueError, TypeError, RecursionError) as error:
            log.warning("%s cannot be read, so it is asked again: %s", self._path, error)
            return set()

    def _write(self) -> None:
        if self._path is None:
            return
        fresh = self._path.with_name(self._path.name + ".new")
        try:
            if not self._allowed:
                self._path.unlink(missing_ok=True)
                return
            fresh.write_text(json.dumps(sorted(self._allowed)), encoding="ascii")
            os.replace(fresh, self._path)
        except OSError as error:
            log.warning("%s cannot be written: %s", self._path, error)

    def described(self) -> str:
        """What waits, in words; "" for nothing."""
        if not self.waiting:
            return ""
        biggest = sorted(self.waiting, key=lambda path: (-self.waiting[path], path))[:NAMED]
        named = ", ".join(f"{path} {size(self.waiting[path])}" for path in biggest)
        count = len(self.waiting)
        if count > 1:
            named = f"the biggest {'is' if len(biggest) == 1 else 'are'} {named}"
        files = f"{count} file{'' if count == 1 else 's'}"
        return f"{files}, {size(sum(self.waiting.values()))}: {named}"
