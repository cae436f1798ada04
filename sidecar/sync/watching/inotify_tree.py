"""A project's folders under inotify: each that is synced, none that is ignored.

A new folder is watched first and listed then, so that what appears in it at the same time is
found one way or the other. A file that somebody has open for writing is told of when it is closed,
or when it has been written to for WRITING seconds: half a file is of no use to anybody.

Two things inotify does not tell, and a scan finds: what an event means for a file's other names
(hard links; asked for when a file of several names changes), and what is in folders for which no
watch is left (asked for by watch.py at a quicker beat).
"""

from __future__ import annotations

import errno
import os
import stat
import time
from pathlib import Path

from sidecar.agent.roots import inotify
from sidecar.agent.roots.inotify import Event, Inotify
from sidecar.sync.rules.ignore import Rules
from sidecar.sync.watching.seen import RootGone, Seen, has_other_names

WRITING = 0.5
"""Seconds after which a file that is still being written to is told of, and then again."""

ROOT_EVERY = 5.0
"""Seconds between looks at whether the root is what it was: events tell of its own end, but not
that a folder above it was moved or that something was mounted over it."""

COVER_EVERY = 15.0
"""Seconds after which it is tried again to watch all, where watches had run out: 0.2 s for 5,000
folders."""

LINKED_EVERY = 5.0
"""Seconds from one scan for other names of changed files to the next: something may be writing to
such a file all the time."""


def no_watches(error: OSError | Exception) -> str:
    """What to say where the system gives no more watches; "" for any other error."""
    number = error.errno if isinstance(error, OSError) else 0
    if number in (errno.ENOSPC, errno.ENOMEM):
        return "no inotify watches are left (sysctl fs.inotify.max_user_watches)"
    if number in (errno.EMFILE, errno.ENFILE):
        return "no inotify instances are left (sysctl fs.inotify.max_user_instances)"
    return ""


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
        now = time.monotonic()
        self._checked = self._covered = now
        self._linked = now - LINKED_EVERY
        self._linked_waits = False
        status = os.stat(self._root)
        self._is = status.st_dev, status.st_ino
        self._inotify = Inotify()
        try:
            self._paths[self._inotify.add(os.path.realpath(self._root))] = ""
            self._watches[""] = next(iter(self._paths))
            self._cover("")
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
        due = [since + WRITING for since in self._writing.values()]
        if self._linked_waits:
            due.append(self._linked + LINKED_EVERY)
        return max(0.0, min(due) - time.monotonic()) if due else None

    def look(self) -> Seen:
        """What happened since the last call. To be asked now and then although nothing seems to.

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
        if now - self._checked >= ROOT_EVERY:
            self._checked = now
            self._check_root()
        if self._generation != self._rules.generation:
            self._generation, lost = self._rules.generation, True
        if lost or (self.missing and now - self._covered >= COVER_EVERY):
            lost |= self._cover_all()
        lost |= self._other_names(seen, now)
        return Seen(seen, lost)

    def _check_root(self) -> None:
        try:
            status = os.stat(self._root)
        except OSError as error:
            raise RootGone(str(error)) from None
        if (status.st_dev, status.st_ino) != self._is:
            raise RootGone("another folder stands in its place")

    def _other_names(self, seen: set[str], now: float) -> bool:
        """Whether a scan is due for the other names of files that changed."""
        if not self._linked_waits:
            self._linked_waits = any(has_other_names(f"{self._root}/{path}") for path in seen)
        if not self._linked_waits or now - self._linked < LINKED_EVERY:
            return False
        self._linked, self._linked_waits = now, False
        return True

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

    def _cover(self, top: str, seen: set[str] | None = None) -> list[str]:
        """Watches a folder and those below it; returns them. Adds all entries there to `seen`,
        where they are wanted: else the rules are asked about folders alone, which of 20,000 files
        in 200 takes 20 ms and not 70, while a scan goes on beside it."""
        folders = [top]
        covered = []
        while folders:
            path = folders.pop()
            covered.append(path)
            if not self._watch(path):
                continue
            rules = self._rules.folder(path)
            prefix = f"{path}/" if path else ""
            try:
                with os.scandir(f"{self._root}/{path}") as entries:
                    for entry in entries:
                        is_directory = entry.is_dir(follow_symlinks=False)
                        if not is_directory and seen is None:
                            continue
                        if rules.decide(entry.name, is_directory).ignored:
                            continue
                        if seen is not None:
                            seen.add(prefix + entry.name)
                        if is_directory:
                            folders.append(prefix + entry.name)
            except OSError:
                continue  # gone again, or not for us to read, which the scan says
        return covered

    def _watch(self, path: str) -> bool:
        """Watches one folder; whether it is there and to be listed."""
        if not path:
            return True  # since the beginning
        try:
            watch = self._inotify.add(f"{self._root}/{path}")
        except OSError as error:
            self.missing = no_watches(error) or self.missing
            return bool(no_watches(error))  # what is in it is told, then left to scans
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

    def _cover_all(self) -> bool:
        """Begins anew with the watches, where folders came or went unseen, rules changed, or none
        were left; whether there are folders that were not watched."""
        self._covered = time.monotonic()
        self.missing = ""
        before = len(self._watches)
        keep = set(self._cover(""))
        more = len(self._watches) > before
        for path in [one for one in self._watches if one not in keep]:
            self._uncover(path)
        return more
