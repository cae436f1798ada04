"""Local news: what changed here, as a watch tells it, and as a scan finds it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from sidecar.core import paths
from sidecar.core.identity import Identity
from sidecar.ssh.deadline import within
from sidecar.sync.disk import local_files
from sidecar.sync.pushing.change import Change
from sidecar.sync.steps.pending import Pending
from sidecar.sync.trees.base import Base
from sidecar.sync.trees.here import Here, differing
from sidecar.sync.trees.scan import Scan
from sidecar.sync.watching.watch import Watcher

log = logging.getLogger(__name__)

WATCH_FIRST = 5.0
"""Seconds that the first scan waits for the watch; it takes a second for 5,000 folders."""

WATCH_AGAIN = 30.0
"""Seconds after which a watch here that failed is begun again."""


class LocalNews:
    """Of one project, as long as its engine.

    Args:
        on_their_way: changes that are sent and not answered; from any thread.
    """

    def __init__(
        self,
        root: Path,
        here: Here,
        base: Base,
        pending: Pending,
        on_their_way: Callable[[], Mapping[str, Change]],
    ) -> None:
        self._root, self._here, self._base = root, here, base
        self._pending, self._on_their_way = pending, on_their_way
        self.called_off: dict[str, Identity | None] = {}
        """Files whose upload was called off, as they were then: they wait for another change."""
        self._watcher: Watcher | None = None
        self._watched = asyncio.Event()
        self._is_watched = False

    @property
    def unwatched(self) -> str:
        """Why changes here may be seen late that no editor tells; "" where they are not."""
        return self._watcher.missing if self._watcher else ""

    async def watch(self) -> None:
        """Tells of what changes, until it is cancelled."""
        self._is_watched = True
        pending = self._pending
        while True:
            try:
                self._watcher = Watcher(self._root, self._here.rules)
                async for batch in self._watcher.batches():
                    pending.rescan |= batch.rescan
                    pending.touch_all(batch.paths)
                    self._watched.set()
                    pending.due.set()
            except Exception:  # scans take over until it watches again
                log.exception("the watch on %s ended", self._root)
            self._watched.set()
            pending.scan()
            await asyncio.sleep(WATCH_AGAIN)

    async def settled(self) -> None:
        """Returns when the scan that follows is all that the watch asks for. Before it stands, the
        two get into each other's way, and once it does it asks for a scan: of 20,000 files, 190 ms
        in place of 430."""
        if self._is_watched:
            with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
                await within(WATCH_FIRST, self._watched.wait())
        # Rules that changed are read by the step that takes their files.
        pending = self._pending
        pending.rescan = any(map(self._here.rules.is_rule_file, pending.paths))

    def scanned(self, dirty: set[str]) -> set[str]:
        """What differs in a fresh scan. Blocking. Changed rules are read before they are used,
        also those that nobody told of."""
        rules = self._here.rules
        if any(map(rules.is_rule_file, dirty)):
            rules.reload()
        changed = self.differing(self._here.scan())
        if any(map(rules.is_rule_file, changed - dirty)):
            rules.reload()
            changed = self.differing(self._here.scan())
        return changed

    def differing(self, found: Scan) -> set[str]:
        """What of a scan is neither agreed on nor on its way."""
        on_their_way = {path: change.local for path, change in self._on_their_way().items()}
        changed = differing(found, self._base.entries, on_their_way)
        return {
            path
            for path in changed
            if not self._is_called_off(path, found) and not self._is_as_it_came(path, found)
        }

    def _is_called_off(self, path: str, found: Scan) -> bool:
        """Whether it still is the content whose sending a person called off."""
        seen = self.called_off.get(path)
        return seen is not None and found.entries.get(path) == seen

    def _is_as_it_came(self, path: str, found: Scan) -> bool:
        """Whether a path that came from there, and is not scanned since it is ignored here, was
        left as it is."""
        if path in found.entries or not self._base.is_theirs(path):
            return False
        agreed = self._base.entries.get(path)
        try:
            now = local_files.lookup(self._root, path)
        except (OSError, paths.PathError):
            return False
        return agreed is not None and now == agreed.local
