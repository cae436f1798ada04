"""What changes overwrote or removed: `<root>/.sidecar/trash/<minute>/<path>~<second>`.

A folder a minute (20261123-1548, UTC): a copy costs a hard link, and new folders only now and
then. Where the name is too long for what is added, `<minute>/~<second>/<path>`; core/trashed.py
reads both. The trash is bounded by age, count and bytes, oldest first; the newest minute's is
never thrown away for the bounds' sake.
Content that this agent itself put there, or was told is agreed, and that is larger than
OURS_LIMIT is not kept: the laptop had it. Content of anybody else is kept, and where that cannot
be, or it alone is larger than the trash, the change is refused, unless the person said that no
copy is wanted (`discard`).
"""

import os
import stat
import threading
import time
from contextlib import contextmanager
from typing import ContextManager, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from sidecar.agent.changes.copying import copy_range
from sidecar.agent.failure import Refusal, explain
from sidecar.agent.roots.folder import encode
from sidecar.agent.roots.root import DIRECTORY, Descriptor, Root, open_file, walk
from sidecar.core import identity as identities
from sidecar.core.identity import Identity

OURS_LIMIT = 256 << 20
MOST_BYTES = 1_000_000_000
MOST_OF_DISK = 0.05
MOST_FILES = 50000
MOST_SECONDS = 14 * 24 * 3600.0

ATTEMPTS = 5
"""Names that are tried for a copy: another agent may keep one of the same path and second."""

_MINUTE, _SECOND = "%Y%m%d-%H%M", "%S"

LONGEST = 240
"""Bytes of a name to which something can be added."""


class Kept(NamedTuple):
    """Where a copy lies: the minute's folder, the folder's path in it, the name there."""

    when: str
    folder: Tuple[str, ...]
    name: bytes


class Trash:
    """The trash of one root. Calls come one at a time, but `prune` comes from another thread."""

    def __init__(self, root: Root) -> None:
        self._folder = Descriptor(os.open(b"trash", DIRECTORY, dir_fd=root.ours))
        disk = os.fstatvfs(self._folder.number)
        self._most_bytes = min(MOST_BYTES, int(disk.f_blocks * disk.f_frsize * MOST_OF_DISK))
        self._lock = threading.Lock()
        self._held: Optional[Dict[str, List[int]]] = None
        self._now = time.gmtime(0)
        self._times: Dict[Tuple[str, ...], int] = {}
        self._unwanted: Dict[str, Identity] = {}

    @property
    def folder(self) -> int:
        """The descriptor of the trash's folder."""
        return self._folder.number

    def discard(self, path: str, identity: Identity) -> None:
        """The next change over what is at the path now needs no copy."""
        self._unwanted[path] = identity

    def keep(
        self, folder: int, name: bytes, parts: Sequence[str], status: os.stat_result, ours: bool
    ) -> Optional[Kept]:
        """A copy of what is about to be overwritten; None where none is kept.

        Raises:
            Refusal: "disk" or "path": somebody else's content cannot be kept.
        """
        unwanted = self._unwanted.pop("/".join(parts), None)
        if unwanted == identities.from_stat(status) or not self._wanted(status, ours):
            return None
        for kept in self._places(tuple(parts)):
            try:
                with self._into(kept) as into:
                    self._copy(folder, name, status, into, kept.name)
            except (FileExistsError, NotADirectoryError, IsADirectoryError, Refusal):
                continue  # that place is taken, by a file or by a folder
            except OSError as error:
                code, why = explain(error)
                break
            self._count(kept, status)
            return kept
        else:
            code, why = "path", "there are too many copies already"
        if not ours:
            raise Refusal(code, "no copy of what was changed there can be kept: %s" % why)
        return None

    @contextmanager
    def copy_kept(
        self, folder: int, parts: Sequence[str], old: Optional[os.stat_result], ours: bool
    ) -> Iterator[None]:
        """Keeps what is there, if something is, for a block that overwrites or removes it. Where
        the block fails, it has not, and the copy goes."""
        kept = old and self.keep(folder, encode(parts[-1]), parts, old, ours)
        try:
            yield
        except BaseException:
            if kept:
                with self._into(kept) as into:
                    os.unlink(kept.name, dir_fd=into)
            raise

    def taken(self, when: str, size: int) -> None:
        """A copy of that minute was taken out of the trash."""
        with self._lock:
            if self._held is not None and when in self._held:
                self._held[when][0] -= 1
                self._held[when][1] -= size

    def prune(self, now: float) -> None:
        """Brings the trash within its bounds. `now`: seconds since the epoch."""
        with self._lock:
            if self._held is None:
                self._held = self._look()
            held = self._held
            files = sum(count for count, _ in held.values())
            size = sum(held_bytes for _, held_bytes in held.values())
            oldest = time.strftime(_MINUTE, time.gmtime(now - MOST_SECONDS))
            drop = []
            for when in sorted(held)[:-1]:
                if files <= MOST_FILES and size <= self._most_bytes and when >= oldest:
                    break
                files, size = files - held[when][0], size - held[when][1]
                drop.append(when)
                del held[when]
        for when in drop:
            _remove_tree(self._folder.number, when)

    def _wanted(self, status: os.stat_result, ours: bool) -> bool:
        if ours:
            return status.st_size <= min(OURS_LIMIT, self._most_bytes)
        if stat.S_ISREG(status.st_mode) and status.st_size > self._most_bytes:
            raise Refusal(
                "large",
                "it was changed there and is too large (%d MB) for a copy in the trash (%d MB)"
                % (status.st_size // 1000000, self._most_bytes // 1000000),
            )
        return True

    def _places(self, parts: Tuple[str, ...]) -> List[Kept]:
        """Where the copy may lie; more than one, for several versions in one second."""
        now = time.gmtime()
        second = time.strftime(_SECOND, now)
        if now != self._now:
            self._now, self._times = now, {}
        first = self._times.get(parts, 0)
        self._times[parts] = first + 1
        minute, name = time.strftime(_MINUTE, now), encode(parts[-1])
        added = [
            "~%s-%d" % (second, number) if number else "~" + second
            for number in range(first, first + ATTEMPTS)
        ]
        if len(name) > LONGEST:
            return [Kept(minute, (one, *parts[:-1]), name) for one in added]
        return [Kept(minute, parts[:-1], name + one.encode("ascii")) for one in added]

    def _into(self, kept: Kept) -> ContextManager[int]:
        return walk(self._folder.number, (kept.when, *kept.folder), make=True)

    @staticmethod
    def _copy(folder: int, name: bytes, status: os.stat_result, into: int, copy: bytes) -> None:
        try:
            os.link(name, copy, src_dir_fd=folder, dst_dir_fd=into, follow_symlinks=False)
            return
        except (FileExistsError, NotADirectoryError):
            raise
        except OSError:
            pass  # another file system, or one without hard links, or somebody else's file
        if stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(name, dir_fd=folder), copy, dir_fd=into)
            return
        source = Descriptor(open_file(folder, name))
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        target = Descriptor(os.open(copy, flags, 0o600, dir_fd=into))
        try:
            copy_range(source.number, target.number, 0, status.st_size, 0)
            os.fchmod(target.number, stat.S_IMODE(status.st_mode) & 0o700)
            os.utime(target.number, ns=(status.st_atime_ns, status.st_mtime_ns))
        except (OSError, Refusal):
            os.unlink(copy, dir_fd=into)
            raise

    def _count(self, kept: Kept, status: os.stat_result) -> None:
        with self._lock:
            if self._held is not None:
                held = self._held.setdefault(kept.when, [0, 0])
                held[0] += 1
                held[1] += status.st_size

    def _look(self) -> Dict[str, List[int]]:
        """What the trash holds: files and bytes by second."""
        held: Dict[str, List[int]] = {}
        for when in os.listdir(self._folder.number):
            files = size = 0
            for _, _, names, folder in os.fwalk(when, dir_fd=self._folder.number):
                for name in names:
                    files += 1
                    size += os.stat(name, dir_fd=folder, follow_symlinks=False).st_size
            held[when] = [files, size]
        return held


def _remove_tree(top: int, name: str) -> None:
    for _, folders, files, folder in os.fwalk(name, topdown=False, dir_fd=top):
        for file in files:
            os.unlink(file, dir_fd=folder)
        for inner in folders:
            if stat.S_ISLNK(os.stat(inner, dir_fd=folder, follow_symlinks=False).st_mode):
                os.unlink(inner, dir_fd=folder)  # a kept link to a folder
            else:
                os.rmdir(inner, dir_fd=folder)
    os.rmdir(name, dir_fd=top)
