"""Exploring: what the remote has besides the managed set, where that matters.

It does for what is to come here (rules/pulls.py), and in mirror mode for what is not to stay there.
The folders in question are gone through level by level, one request each; the agent tells of what
changes in them from then on (messages.Watch). Folders that nothing may come from, ignored ones
above all, are not entered: other people's file systems are not ours to walk.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from sidecar.core import paths as names
from sidecar.core import tree
from sidecar.core.identity import DIRECTORY, OTHER, Identity
from sidecar.sync.rules.ignore import Rules
from sidecar.sync.rules.pulls import Pulls
from sidecar.sync.trees.base import Base
from sidecar.sync.trees.there import There

log = logging.getLogger(__name__)

MOST_FOLDERS = 20_000
"""Folders that are entered; what is in more is not seen, and that is said."""

PORTION = 500
"""Folders in one request."""


class Explorer:
    """Explores one root over one connection."""

    def __init__(self, there: There, base: Base, pulls: Pulls, rules: Rules, mirror: bool) -> None:
        self._there, self._base = there, base
        self._pulls, self._rules, self._mirror = pulls, rules, mirror
        self.truncated = False
        """There was more than is looked at."""
        there.wants = self._comes

    @property
    def needed(self) -> bool:
        return bool(self._pulls) or self._mirror

    def enters(self, folder: str) -> bool:
        """Whether a folder that appears there is to be looked into."""
        return self._pulls.enters(folder)

    async def look(self, tops: Sequence[str] = ("",), *, clean: bool = False) -> set[str]:
        """Tells `There` of what is in these folders and below; returns the paths of which that is
        news.

        Args:
            clean: in mirror mode, also of what is not to stay there.
        Raises:
            SidecarError: the connection is over, or the remote cannot be asked.
        """
        if not bool(self._pulls) and not (clean and self._mirror):
            return set()
        clean = clean and self._mirror
        found: dict[str, Identity] = {}
        entered: set[str] = set()
        stays: set[str] = set()
        self.truncated = False
        folders = [folder for folder in tops if self._is_entered(folder, clean)]
        while folders:
            some, folders = folders[:PORTION], folders[PORTION:]
            entered.update(some)
            watched = await self._there.watch(some)
            self.truncated |= watched.truncated
            for path, there in watched.entries:
                names.check(path)
                if there is None or names.parent(path) not in entered:
                    continue
                is_folder = there.kind == DIRECTORY
                if self._comes(path, is_folder) or (clean and self._is_to_go(path, there)):
                    found[path] = there
                if not clean or self._pulls.of(path, is_folder) or path not in found:
                    stays.update(tree.ancestors(path))
                if is_folder and self._is_entered(path, clean):
                    if len(entered) + len(folders) < MOST_FOLDERS:
                        folders.append(path)
                    else:
                        self.truncated = True
        news = self._there.noticed(
            (path, there)
            for path, there in found.items()
            if there.kind != DIRECTORY or path not in stays or self._comes(path, True)
        )
        if not self.truncated:
            news += self._there.noticed((path, None) for path in self._gone(found, entered, tops))
        return set(news)

    def _gone(
        self, found: dict[str, Identity], entered: set[str], tops: Sequence[str]
    ) -> Iterable[str]:
        """Paths of the remote's that were there, and are no more."""
        for path in list(self._base.theirs):
            if path not in found and ("" in tops or names.parent(path) in entered):
                yield path

    def _is_entered(self, folder: str, clean: bool) -> bool:
        if self._pulls.enters(folder):
            return True
        return clean and (not folder or not self._rules.decide(folder, True).ignored)

    def _comes(self, path: str, is_folder: bool = False) -> bool:
        return bool(self._pulls.of(path, is_folder))

    def _is_to_go(self, path: str, there: Identity) -> bool:
        """Whether a path has no place there in mirror mode: not ignored, so ours to say."""
        ignored = self._rules.decide(path, there.kind == DIRECTORY).ignored
        return there.kind != OTHER and path not in self._base.entries and not ignored
