"""Removals: what was deleted here and is to go there, and when that waits for a word.

Few of them go at once (theirs to the trash). An unusual number waits: more than MANY within
AT_ONCE seconds that are more than a quarter of all, or all there was. What a checkout, a pull or
a stash removed does not count: git says so (repository.removed_by_git), and has the files.

A removal that waits goes on waiting, whatever else is looked at, over connections and restarts of
the sidecar, until the person says that it may be made, or the file is back, or git took it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections import deque
from collections.abc import Collection, Container, Iterable, Mapping
from pathlib import Path

from sidecar.core.tree import ancestors
from sidecar.sync.rules import repository

log = logging.getLogger(__name__)

MANY = 50
"""Removals at once above which they wait for a word, if they are also a quarter of all."""

AT_ONCE = 10.0
"""Seconds in which removals count together: a large tree is deleted, and seen to be, in parts."""

VERSION = 1


class Removals:
    """Of one project on one host. For one event loop.

    Args:
        path: where those that wait are kept.
        root: the project's folder.
    """

    def __init__(self, path: Path, root: Path) -> None:
        self._path, self._root = path, root
        self._seen: deque[float] = deque()
        self._meant: set[str] = set()
        self.held: set[str] = _read(path)
        """Those that wait."""
        self.undecided = False
        """git was at work at the last look: whether it removed them shows when it is done."""

    async def that_must_wait(
        self, removed: Collection[str], agreed: Mapping[str, object], now: float
    ) -> set[str]:
        """Those of these removals that are not to be made now.

        Args:
            agreed: what both sides agree on.
            now: the monotonic clock, in seconds.
        """
        self.undecided = False
        waiting = self.held.intersection(removed)
        above = {folder for path in self.held for folder in ancestors(path)}
        waiting.update(above.intersection(removed))  # they would not be empty
        meant = self._meant.intersection(removed)
        self._meant -= meant
        removed = [path for path in removed if path not in meant]
        new = [path for path in removed if path not in waiting]
        while self._seen and self._seen[0] < now - AT_ONCE:
            self._seen.popleft()
        unusual = self._unusual(new, removed, agreed)
        if unusual or waiting:
            by_git = await asyncio.to_thread(repository.removed_by_git, self._root, removed)
            if by_git is None:
                self.undecided = True
                return waiting | set(new) if unusual else waiting
            by_git |= {above for path in by_git for above in ancestors(path)}
            new = [path for path in new if path not in by_git]
            left = [path for path in removed if path not in by_git]
            unusual = self._unusual(new, left, agreed)
            waiting -= by_git
            waiting.update(new if unusual else ())
            self._keep((self.held - by_git) | waiting)
        self._seen.extend(now for _ in new)
        return waiting

    def why(self, path: str) -> str:
        """What to say of one that waits."""
        if path not in self.held:
            return "deleted here; kept there until git, which is at work, is done"
        return f"one of {len(self.held)} deleted here at once; kept there until you say so"

    def may_be_made(self, paths: Collection[str]) -> None:
        """The person said so."""
        self._keep(self.held.difference(paths))

    def asked_for(self, paths: Iterable[str]) -> None:
        """The person said yes to these: they are not asked about again when they are made next."""
        self._meant = set(paths)

    def looked_at(
        self, here: Mapping[str, object], removed: Container[str], agreed: Container[str]
    ) -> None:
        """What of this is back here, or gone on both sides, waits no more.

        Args:
            here: what is at these paths here; None: nothing.
            removed: those that would be removed now.
        """
        settled = {
            path
            for path in self.held.intersection(here)
            if here[path] is not None or (path not in removed and path not in agreed)
        }
        if settled:
            self._keep(self.held - settled)

    def _unusual(
        self, new: Collection[str], removed: Collection[str], agreed: Mapping[str, object]
    ) -> bool:
        managed = sum(path in agreed for path in removed)
        # In mirror mode paths may go that both sides never agreed on.
        known = len(agreed) + len(removed) - managed
        together = len(self._seen) + len(new)
        many = together > MANY and 4 * together > len(self._seen) + known
        everything = bool(new) and len(agreed) > 1 and managed >= len(agreed)
        return bool(new) and (many or everything)

    def _keep(self, held: set[str]) -> None:
        if held == self.held:
            return
        self.held = held
        if not held:
            self._seen.clear()  # decided; what is deleted next is another matter
        fresh = self._path.with_name(self._path.name + ".new")
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as out:
                json.dump({"version": VERSION, "held": sorted(held)}, out)
            os.replace(fresh, self._path)
        except OSError as error:  # a restart then sees an unusual number again
            log.warning("what waits to be removed could not be written down: %s", error)


def _read(path: Path) -> set[str]:
    """What an earlier sidecar wrote; nothing where it cannot be understood. Then an unusual number
    is noticed again at the next look."""
    try:
        state = json.loads(path.read_bytes())
    except FileNotFoundError:
        return set()
    except (OSError, ValueError, RecursionError) as error:
        log.warning("%s cannot be read: %s", path, error)
        return set()
    if not isinstance(state, dict) or state.get("version") != VERSION:
        return set()
    held = state.get("held")
    return {one for one in held if isinstance(one, str)} if isinstance(held, list) else set()
