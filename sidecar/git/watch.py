"""The watch on the repository here: tells when HEAD, index or a branch may have moved.

A repository's own folder, the folders of the present branch and of tags, none of them deep: what
git writes at each commit lies in these. Nothing runs while nothing happens. Where there is no
repository yet, the project's folder is watched for one. Elsewhere than on Linux watchfiles is used.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

from sidecar.agent.roots.inotify import Inotify
from sidecar.git.repository import Repository

log = logging.getLogger(__name__)

AGAIN = 30.0
"""Seconds after which watching that failed is tried again."""

_NOISE = frozenset({"COMMIT_EDITMSG", "FETCH_HEAD", "gc.log", "gc.pid", "sidecar-index"})
"""What git writes there without anything moving."""


class Watch:
    """Of one project. For one event loop.

    Args:
        stirred: told that something may have moved; it looks by itself what.
        portable: whether to use watchfiles on Linux, too.
    """

    def __init__(self, root: Path, stirred: Callable[[], None], *, portable: bool = False) -> None:
        self._root, self._stirred = root, stirred
        self._portable = portable or sys.platform != "linux"
        self._inotify: Inotify | None = None
        self._folders: dict[int, str] = {}
        self._covered: tuple[str, ...] = ()
        self._task: asyncio.Task[None] | None = None
        self._later: asyncio.TimerHandle | None = None

    def cover(self, repository: Repository | None) -> bool:
        """Watches what matters of this one. Costs nothing where that is watched already.

        Returns:
            Whether it was not, so that something may have moved unseen.
        """
        wanted = self._wanted(repository)
        if wanted == self._covered:
            return False
        self.close()
        self._covered = wanted
        try:
            if self._portable:
                self._task = asyncio.create_task(self._by_watchfiles(wanted), name="git watch")
            else:
                self._by_inotify(wanted)
        except OSError as error:
            log.info("%s is not watched for now: %s", wanted[0], error)
            self.close()
            self._later = asyncio.get_running_loop().call_later(AGAIN, self._stirred)
        return True

    def close(self) -> None:
        if self._later is not None:
            self._later.cancel()
        if self._task is not None:
            self._task.cancel()
        if self._inotify is not None:
            asyncio.get_running_loop().remove_reader(self._inotify.fileno())
            self._inotify.close()
        self._later = self._task = self._inotify = None
        self._covered, self._folders = (), {}

    def _wanted(self, repository: Repository | None) -> tuple[str, ...]:
        if repository is None or not repository.folder:
            return (str(self._root),)
        folder, branch = repository.folder, repository.branch or "refs/heads/x"
        inside = [os.path.join(folder, os.path.dirname(branch)), os.path.join(folder, "refs/tags")]
        return (folder, *(one for one in inside if os.path.isdir(one)))

    def _matters(self, folder: str, name: str) -> bool:
        if folder == str(self._root):
            return name == ".git"
        return not name.endswith(".lock") and name not in _NOISE

    # --- Linux

    def _by_inotify(self, wanted: tuple[str, ...]) -> None:
        inotify = self._inotify = Inotify()
        asyncio.get_running_loop().add_reader(inotify.fileno(), self._read)
        for folder in wanted:
            try:
                self._folders[inotify.add(folder)] = folder
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                    raise
                self._stirred()  # it went since it was looked at

    def _read(self) -> None:
        assert self._inotify is not None
        stirred = False
        while events := self._inotify.read():
            for event in events:
                folder = self._folders.get(event.watch)
                if folder is None or not event.name:
                    # The queue has run over, or a folder is no more: all is watched anew.
                    self._covered, stirred = (), True
                elif self._matters(folder, event.name):
                    stirred = True
        if stirred:
            self._stirred()

    # --- elsewhere

    async def _by_watchfiles(self, wanted: tuple[str, ...]) -> None:
        import watchfiles

        with contextlib.suppress(RuntimeError):  # all that goes wrong in it
            async for changes in watchfiles.awatch(*wanted, watch_filter=None, recursive=False):
                paths = [os.path.split(path) for _, path in changes]
                if any(self._matters(folder, name) for folder, name in paths):
                    self._stirred()
        self._covered = ()
        self._later = asyncio.get_running_loop().call_later(AGAIN, self._stirred)
