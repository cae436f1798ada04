"""A project's folders under inotify: each that is synced, none that is ignored.

A new folder is watched first and listed then, so that what appears in it at the same time is
found one way or the other. A file that somebody has open for writing is told of when it is closed,
or when it has been written to for WRITING seconds: half a file is of no use to anybody.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from pathlib import Path
from typing import NamedTuple

from sidecar.agent import inotify
from sidecar.agent.inotify import Event, Inotify
from sidecar.sync.ignore import Rules

WRITING = 0.5
"""Seconds after which a file that is still being written to is told of, and then again."""


class Seen(NamedTuple):
    """What changed, by relative paths; `lost`: and more, that nobody can name."""

    paths: set[str]
    lost: bool


class RootGone(Exception):
    """The root is no more what it was: moved away, replaced, unmounted."""


class InotifyTree:
    """The watches of one project. Blocking, and not for two threads at once."""

    def __init__(self, root: Path, rules: Rules) -> None:
        """Raises:
        OSError: there is no inotify, or no root.
        """
        self._root, self._rules = os.fspath(root), rules
        self._generation = rules.generation
        self.missing = ""
        """Why some folders are not watched; "" where all are."""
        self._paths: dict[int, str] = {}
        self._watches: dict[str, int] = {}
        self._writing: dict[str, float] = {}
        status = os.stat(self._root)
        self._is = status.st_dev, status.st_ino
        self._inotify = Inotify()
        try:
            self._paths[self._inotify.add(os.path.realpath(self._root))] = ""
            self._watches[""] = next(iter(self._paths))
            self._cover("", set())
        except BaseException:
            self._inotify.close()
            raise

    def fileno(self) -> int:
        return self._inotify.fileno()

    def close(self) -> None:
        self._inotify.close()

    @property
    def soon(self) -> float | None:
        """Seconds until there is something to tell even if nothing happens; None: never."""
        if not self._writing:
            return None
        return max(0.0, min(self._writing.values()) + WRITING - time.monotonic())

    def look(self) -> Seen:
        """What happened since the last call.

        Raises:
            RootGone: all is to be begun anew.
        """
        seen: set[str] = set()
        lost = False
        while events := self._inotify.read():
            for event in events:
                lost |= self._handle(event, seen)
        now = time.monotonic()
        for path in [path for path, since in self._writing.items() if now - since >= WRITING]:
            seen.add(path)
            del self._writing[path]
        if self._generation != self._rules.generation:
            self._generation, lost = self._rules.generation, True
        if lost:
            self._cover_all()
        return Seen(seen, lost)

    def check_root(self) -> None:
        """Raises:
        RootGone: another folder stands where the root did, or none.
        """
        try:
            status = os.stat(self._root)
        except OSError as error:
            raise RootGone(str(error)) from None
        if (status.st_dev, status.st_ino) != self._is:
            raise RootGone("another folder stands in its place")

    def _handle(self, event: Event, seen: set[str]) -> bool:
        """Takes one event; returns whether something was lost."""
        mask = event.mask
        if mask & inotify.OVERFLOW:
            return True
        folder = self._paths.get(event.watch)
        if folder is None:
            return False
        if mask & inotify.IGNORED:
            del self._paths[event.watch]
            if self._watches.get(folder) == event.watch:
                del self._watches[folder]
        elif mask & (inotify.DELETE_SELF | inotify.MOVE_SELF | inotify.UNMOUNT):
            # Of other folders than the root, the folder above tells.
            if not folder:
                raise RootGone("it was moved or removed")
            return bool(mask & inotify.UNMOUNT)
        elif event.name:
            path = f"{folder}/{event.name}" if folder else event.name
            if mask & inotify.IS_DIRECTORY:
                self._folder_event(path, mask, seen)
            elif not self._rules.decide(path, False).ignored:
                self._file_event(path, mask, seen)
        return False

    def _folder_event(self, path: str, mask: int, seen: set[str]) -> None:
        gone = mask & (inotify.MOVED_FROM | inotify.DELETE)
        come = mask & (inotify.MOVED_TO | inotify.CREATE)
        if come:
            self._rules.forget(path)
        ignored = self._rules.decide(path, True).ignored
        if gone:
            self._rules.forget(path)
        if ignored:
            return
        if gone or come:
            seen.add(path)
            self._uncover(path)
        if come or (not gone and path not in self._watches):  # the last: it became readable
            self._cover(path, seen)

    def _file_event(self, path: str, mask: int, seen: set[str]) -> None:
        if mask & inotify.MODIFY or (mask & inotify.CREATE and self._is_open_for_writing(path)):
            self._writing.setdefault(path, time.monotonic())
            return
        if not mask & inotify.ATTRIB:
            self._writing.pop(path, None)
        if path not in self._writing:
            seen.add(path)

    def _is_open_for_writing(self, path: str) -> bool:
        """Whether what was just made there is a plain new file, which somebody will close."""
        try:
            status = os.lstat(f"{self._root}/{path}")
        except OSError:
            return False
        return stat.S_ISREG(status.st_mode) and status.st_nlink == 1

    def _cover(self, top: str, seen: set[str]) -> None:
        """Watches a folder and those below it, and adds all entries there to `seen`."""
        folders = [top]
        while folders:
            path = folders.pop()
            if not self._watch(path):
                continue
            rules = self._rules.folder(path)
            prefix = f"{path}/" if path else ""
            try:
                with os.scandir(f"{self._root}/{path}") as entries:
                    for entry in entries:
                        is_directory = entry.is_dir(follow_symlinks=False)
                        if rules.decide(entry.name, is_directory).ignored:
                            continue
                        seen.add(prefix + entry.name)
                        if is_directory:
                            folders.append(prefix + entry.name)
            except OSError:
                continue  # gone again, or not for us to read, which the scan says

    def _watch(self, path: str) -> bool:
        """Watches one folder; whether it is there and to be listed."""
        if not path:
            return True  # since the beginning
        try:
            watch = self._inotify.add(f"{self._root}/{path}")
        except OSError as error:
            if error.errno == errno.ENOSPC:
                self.missing = "no inotify watches are left (sysctl fs.inotify.max_user_watches)"
                return True
            return False
        self._paths[watch] = path
        self._watches[path] = watch
        return True

    def _uncover(self, top: str) -> None:
        if top not in self._watches:
            return
        below = f"{top}/"
        for path in [one for one in self._watches if one == top or one.startswith(below)]:
            watch = self._watches.pop(path)
            self._paths.pop(watch, None)
            self._inotify.remove(watch)

    def _cover_all(self) -> None:
        """Begins anew with the watches, where folders came or went unseen or rules changed."""
        self.missing = ""
        keep: set[str] = {""}
        self._cover("", keep)
        for path in [one for one in self._watches if one not in keep]:
            self._uncover(path)
