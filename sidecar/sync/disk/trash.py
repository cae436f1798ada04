"""What a sync replaced or removed on this machine, kept for `sidecar undo`.

A folder of our own in the project's state, for the person alone. Each copy is two files of one
name: the content, which is the file itself under a second name where that can be (a hard link
costs no space, and takes what a program still writes into the old file), else a copy; and a line
of JSON that says which path it had and why it was kept. The line is written first: a crash leaves
at most a line without content, which is cleared away, never a content of which nothing is known.

Bounded by MOST_BYTES, MOST_COPIES and MOST_SECONDS, oldest first. What was kept less than
A_MOMENT ago stays whatever the bounds say, so that one large sync never pushes its own copies out.
What alone is larger than all of that is not kept and not replaced: the caller asks.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import shutil
import stat
import threading
import time
from pathlib import Path
from typing import NamedTuple

from sidecar.core import identity
from sidecar.core.identity import FILE, SYMLINK, Identity
from sidecar.errors import SyncError
from sidecar.sync.disk.local_files import Changed, opened_parent

MOST_BYTES = 1_000_000_000
MOST_COPIES = 20_000
"""Listing that many takes 0.3 s."""

MOST_SECONDS = 14 * 24 * 3600.0
A_MOMENT = 60.0

_VERSION = 1
_CONTENT, _LINE = ".kept", ".json"
_LONGEST_LINE = 64 << 10
"""Bytes of a line that are read: a path has 4 KB at most, six times that when escaped."""


class Kept(NamedTuple):
    """One copy. `path`: where it was in the project, "" where a crash took the line that said so;
    `when`: seconds since the epoch; `why`: "replaced by a pull", …; `file`: where the copy lies."""

    id: str
    path: str
    when: float
    why: str
    identity: Identity
    file: Path


class TooLarge(SyncError):
    """Nothing was kept, so nothing may be replaced."""

    code = "too-large-for-trash"


class LocalTrash:
    """The trash of one project on one host. Calls may come from several threads."""

    def __init__(self, folder: Path) -> None:
        """`folder` is made when something is first kept; the one above it is private already."""
        self.folder = folder
        self._lock = threading.Lock()
        self._held: dict[str, int] | None = None
        """Bytes by name, oldest first; None before the folder was looked at."""
        self._size = 0

    # --- keeping

    def keep(self, root: Path, path: str, expected: Identity, why: str) -> Kept:
        """Keeps what is at a path of the project, which is about to be replaced or removed.
        Blocking: a link's time, or that of copying the file where links cannot be.

        Args:
            expected: what was there when that was decided; a file's or a link's.
            why: for people, as in Kept.
        Returns:
            The copy. Its `identity` is also the file's own from here on where the copy is a link,
            which changed the file's ctime: who looks once more before a rename compares with that
            or with `expected`.
        Raises:
            Changed: it is something else by now. Nothing was kept.
            TooLarge: it alone is larger than the whole trash.
            OSError: it cannot be kept; so it must not be replaced either.
        """
        refuse_what_is_too_large(path, expected)
        now = time.time()
        self.folder.mkdir(mode=0o700, exist_ok=True)
        name = _name(now)
        line = self.folder / f"{name}{_LINE}"
        content = self.folder / f"{name}{_CONTENT}"
        try:
            _write_line(line, {"version": _VERSION, "path": path, "why": why})
            with opened_parent(root, path) as (folder, own):
                _keep_content(folder, own, expected, content)
        except BaseException:
            for one in (content, line):
                with contextlib.suppress(FileNotFoundError):
                    one.unlink()
            raise
        with self._lock:
            if self._held is not None:
                self._held[name] = expected.size
                self._size += expected.size
        self.prune(now)
        return Kept(_id(name), path, _when(name), why, identity.from_stat(content.lstat()), content)

    def drop(self, kept: Kept) -> None:
        """Forgets a copy."""
        name = kept.file.name.removesuffix(_CONTENT)
        self._remove(name)
        with self._lock:
            if self._held is not None:
                self._size -= self._held.pop(name, 0)

    def prune(self, now: float) -> None:
        """Brings the trash within its bounds. `now`: seconds since the epoch."""
        with self._lock:
            if self._held is None:
                self._held = self._look()
                self._size = sum(self._held.values())
            drop: list[str] = []
            for name in self._held:
                when, count = _when(name), len(self._held) - len(drop)
                fits = self._size <= MOST_BYTES and count <= MOST_COPIES
                if when > now - A_MOMENT or (fits and when > now - MOST_SECONDS):
                    break
                self._size -= self._held[name]
                drop.append(name)
            for name in drop:
                del self._held[name]
        for name in drop:
            self._remove(name)

    # --- finding

    def entries(self) -> list[Kept]:
        """All copies, newest first. Blocking: about 15 µs each."""
        found = []
        for name in sorted(self._names(), reverse=True):
            content = self.folder / f"{name}{_CONTENT}"
            try:
                what = identity.from_stat(content.lstat())
            except FileNotFoundError:
                continue  # dropped since it was listed
            path, why = _read_line(self.folder / f"{name}{_LINE}")
            found.append(Kept(_id(name), path, _when(name), why, what, content))
        return found

    # --- the folder

    def _names(self) -> list[str]:
        try:
            with os.scandir(self.folder) as entries:
                names = [entry.name for entry in entries]
        except FileNotFoundError:
            return []
        return [name.removesuffix(_CONTENT) for name in names if name.endswith(_CONTENT)]

    def _look(self) -> dict[str, int]:
        """What the folder holds; lines that a crash left without content go."""
        held = {}
        for name in sorted(self._names()):
            with contextlib.suppress(FileNotFoundError):
                held[name] = (self.folder / f"{name}{_CONTENT}").lstat().st_size
        before = time.time() - A_MOMENT
        with contextlib.suppress(FileNotFoundError), os.scandir(self.folder) as entries:
            for entry in entries:
                name = entry.name.removesuffix(_LINE)
                if entry.name.endswith(_LINE) and name not in held and _when(name) < before:
                    os.unlink(entry.path)
        return held

    def _remove(self, name: str) -> None:
        for ending in (_CONTENT, _LINE):
            with contextlib.suppress(FileNotFoundError):
                (self.folder / f"{name}{ending}").unlink()


def refuse_what_is_too_large(path: str, what: Identity) -> None:
    """Raises TooLarge for a file that the trash cannot hold."""
    if what.kind == FILE and what.size > MOST_BYTES:
        raise TooLarge(
            f"{path} is too large for the trash",
            f"it has {what.size / 1e9:.1f} GB, the trash holds {MOST_BYTES / 1e9:.0f} GB",
            "move it away yourself, then try again",
        )


def _keep_content(folder: int | None, name: str, expected: Identity, content: Path) -> None:
    """`content` becomes what `name` in the folder is, if that still is what was expected."""
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if identity.from_stat(status) != expected or expected.kind not in (FILE, SYMLINK):
        raise Changed("it is not what it was")
    # A file of several names may be written through another one of them: that is copied.
    if status.st_nlink == 1 and _linked(folder, name, content):
        return
    if expected.kind == SYMLINK:
        content.symlink_to(os.readlink(name, dir_fd=folder))
        return
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    with (
        open(os.open(name, flags, dir_fd=folder), "rb") as source,
        content.open("xb") as target,
    ):
        shutil.copyfileobj(source, target, 1 << 20)
        target.flush()
        os.fsync(target.fileno())
        if identity.from_stat(os.fstat(source.fileno())) != expected:
            raise Changed("it changed while it was copied")
    content.chmod(0o600 | stat.S_IMODE(status.st_mode) & 0o100)
    os.utime(content, ns=(status.st_atime_ns, status.st_mtime_ns))


def _linked(folder: int | None, name: str, content: Path) -> bool:
    try:
        os.link(name, content, src_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        raise
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOENT, errno.ENOSPC):
            raise
        return False  # another file system, or one without links, or somebody else's file
    return True


def _write_line(line: Path, said: dict[str, object]) -> None:
    descriptor = os.open(line, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="ascii") as file:
        json.dump(said, file)


def _read_line(line: Path) -> tuple[str, str]:
    """The path and why; "" where nothing can be read of them."""
    try:
        with line.open("rb") as file:
            said = json.loads(file.read(_LONGEST_LINE))
        if said["version"] == _VERSION:
            return str(said["path"]), str(said["why"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return "", f"what it was is not known any more; it lies at {line.with_suffix(_CONTENT)}"


def _name(now: float) -> str:
    """Names sort by time: microseconds, then what tells apart those of one."""
    return f"{int(now * 1e6):017d}-{secrets.token_hex(3)}"


def _when(name: str) -> float:
    try:
        return int(name.partition("-")[0]) / 1e6
    except ValueError:
        return 0.0


def _id(name: str) -> str:
    """Eight hex digits that stand for a copy."""
    return hashlib.blake2b(os.fsencode(name), digest_size=4).hexdigest()
