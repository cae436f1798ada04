"""Saves: what editors told of and want to hear of again, and files that are still being written."""

from __future__ import annotations

import time
from collections.abc import Collection, Set

from sidecar.core import delta, tree
from sidecar.sync.delta.content import Content

QUIET = 0.01
"""Seconds for which a file must not have been written, before a change that only the watcher told
of is read; what may pass from such a save until it is sent."""

WRITTEN_FOR = 0.25
"""Seconds after which a file is sent as it is: one that never is quiet (a log), or stays empty."""

EMPTY = tree.file(delta.content_digest(b""))


class Saves:
    """The saves of one project. Paths are relative to its root."""

    def __init__(self) -> None:
        self._saved_at: dict[str, float] = {}
        self._unread: set[str] = set()
        self._whole: set[str] = set()
        self._written_since: dict[str, float] = {}

    def told(self, path: str) -> None:
        """An editor says that it saved the file."""
        self._saved_at.setdefault(path, time.monotonic())
        self._unread.add(path)
        self._whole.add(path)

    def __contains__(self, path: object) -> bool:
        """Whether an editor saved it, and waits for it to be there."""
        return path in self._saved_at

    def read(self, paths: Set[str]) -> None:
        """A step has read these paths, as they were saved last."""
        self._unread -= paths

    def looked_at(self, paths: Set[str]) -> set[str]:
        """A step has seen these paths. Returns those of them that an editor waits for."""
        self._whole -= paths
        return set(paths & self._saved_at.keys())

    def visible(self, path: str) -> float | None:
        """Milliseconds since an editor told of a save that is now visible there; None where no
        editor did, it has been answered, or what is visible is older than the save."""
        if path in self._unread:
            return None
        saved = self._saved_at.pop(path, None)
        return None if saved is None else (time.monotonic() - saved) * 1000

    def is_unfinished(self, path: str, read: Content | None, known: Collection[str]) -> bool:
        """Whether to look again after QUIET seconds, since somebody seems to be writing the file.

        What an editor has just said it saved is whole. A file that became empty is waited for in
        any case: programs empty a file and then fill it, and on a busy machine that takes a while.

        Args:
            known: paths whose content was agreed on before.
        """
        whole = path in self._whole
        self._whole.discard(path)
        emptied = read is not None and read.node == EMPTY and path in known
        if not emptied and (whole or read is None or not read.fresh):
            self._written_since.pop(path, None)
            return False
        now = time.monotonic()
        if now - self._written_since.setdefault(path, now) > WRITTEN_FOR:
            del self._written_since[path]
            return False
        return True
