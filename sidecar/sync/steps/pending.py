"""Pending: the paths that may differ, and that no step has taken yet."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable

from sidecar.sync.rules.ignore import Rules
from sidecar.sync.watching.saves import Saves


class Pending:
    """What the next step takes.

    Attributes:
        rescan: the whole tree here is to be looked at, since what was told may not be all.
        due: set while a step should be taken.
        saved: set while an editor's save waits, which a long step takes in between.
    """

    def __init__(self, rules: Rules, saves: Saves) -> None:
        self._rules, self._saves = rules, saves
        self.paths: set[str] = set()
        self.rescan = False
        self.due = asyncio.Event()
        self.saved = asyncio.Event()

    def touch(self, path: str) -> None:
        self.rescan |= self._rules.is_rule_file(path)
        self.paths.add(path)
        self.due.set()

    def touch_all(self, paths: Iterable[str]) -> None:
        for path in paths:
            self.touch(path)

    def scan(self) -> None:
        """A step with a scan is due."""
        self.rescan = True
        self.due.set()

    def save(self, path: str) -> None:
        """An editor wrote it."""
        self._saves.told(path)
        self.touch(path)
        self.saved.set()

    def take_saved(self) -> set[str]:
        """What an editor saved while a step is under way, which takes it in between."""
        self.saved.clear()
        saved = {path for path in self.paths if path in self._saves}
        self.paths -= saved
        return saved

    def try_again(self) -> bool:
        """Has a step that failed taken again; whether there is one."""
        if self.paths or self.rescan:
            self.due.set()
        return self.due.is_set()

    @contextlib.asynccontextmanager
    async def taken(
        self, changed: Callable[[set[str]], set[str]], *, rescan: bool = False
    ) -> AsyncIterator[set[str]]:
        """All of it, for a step; it may differ again where that fails or is called off.

        Args:
            changed: scans the tree, and gives what differs; blocking.
        """
        dirty, self.paths = self.paths, set()
        rescan |= self.rescan
        self.rescan = False
        try:
            if rescan:
                dirty |= await asyncio.to_thread(changed, dirty)
            yield dirty
        except BaseException as error:
            self.paths |= dirty
            self.rescan |= rescan
            if isinstance(error, asyncio.CancelledError):  # else the next try would fail as well
                self.due.set()
            raise
