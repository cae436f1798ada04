"""Reading the project's files safely: never through a link, never a mixture of two contents.

A path is opened component by component from the root, each relative to the folder before it, so
that no link in it leads elsewhere, also not one that is put there in that moment. (Systems
without such calls, Windows above all, check each component before they open the path as a whole.)
The root's own parents may be links.

A content counts only if the file's identity was the same before and after it was read. Two holes
are known: a program that writes through a memory map may leave the times alone until it closes
the file; and file systems whose clock ticks coarsely show two changes within one tick as one,
against which `may_hide_a_change` helps. On file systems that take upper and lower case for one, a
path is found under either spelling; the scan has the spelling that counts.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sidecar.core import identity
from sidecar.core import paths as names
from sidecar.core.identity import FILE, Identity

ATTEMPTS = 5
"""Times that a file which changes while it is read is begun anew."""

TICK_NS = 10_000_000
"""No file system that we know of stamps times more coarsely than every 10 ms, but for those of
whole or two seconds, on which a change of equal size in that time cannot be told apart."""

_WALKS = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)
_FILE = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_BINARY", 0)
)


class Changed(Exception):
    """The file is not what it was when somebody looked at it. Look again."""


class Source:
    """An open file as the matcher reads it. Made by `open_source`."""

    def __init__(self, descriptor: int, found: Identity) -> None:
        self._descriptor = descriptor
        self.identity = found
        self.size = found.size

    def read_at(self, offset: int, length: int) -> bytes:
        """The bytes [offset, offset + length), fewer only behind the end.

        Raises:
            Changed: the file has become shorter than it was.
        """
        length = max(0, min(length, self.size - offset))
        data = os.pread(self._descriptor, length, offset)
        while len(data) < length:
            more = os.pread(self._descriptor, length - len(data), offset + len(data))
            if not more:
                raise Changed("the file became shorter while it was read")
            data += more
        return data

    def check_unchanged(self) -> None:
        """Says that all that was read belongs together.

        Raises:
            Changed: it may not.
        """
        if identity.from_stat(os.fstat(self._descriptor)) != self.identity:
            raise Changed("the file changed while it was read")


@contextmanager
def open_source(root: Path, path: str, expected: Identity | None = None) -> Iterator[Source]:
    """A file of the project, open for reading.

    Args:
        expected: what it was when it was looked at.
    Raises:
        Changed: it is something else by now, or no file.
        OSError: it cannot be read, or is not there.
    """
    with opened_parent(root, path) as (folder, name):
        descriptor = _open(folder, name)
    with _source(descriptor, expected) as source:
        yield source


@contextmanager
def _source(descriptor: int, expected: Identity | None = None) -> Iterator[Source]:
    try:
        found = identity.from_stat(os.fstat(descriptor))
        if found.kind != FILE or (expected is not None and found != expected):
            raise Changed("the file is not what it was")
        yield Source(descriptor, found)
    finally:
        os.close(descriptor)


class Folders:
    """The folders of a project, for who reads many paths of the same ones in a row: the way to the
    last one stays open, which saves half of the calls that each small file takes (and in each of
    them the thread may have to wait for the interpreter). For a moment only, and one thread: a
    folder that another takes the place of is read as it was until then."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._at: str | None = None
        self._way = contextlib.ExitStack()
        self._folder: int | None = None

    def __enter__(self) -> Folders:
        return self

    def __exit__(self, *_: object) -> None:
        self._way.close()

    def parent(self, path: str) -> tuple[int | None, str]:
        """As `opened_parent`; the descriptor stays ours."""
        above, _, name = path.rpartition("/")
        if not _WALKS or above != self._at:
            self._way.close()
            self._at = None
            self._folder, name = self._way.enter_context(opened_parent(self._root, path))
            self._at = above
        else:
            names.check(path)
        return self._folder, name


def look(folders: Folders, path: str, limit: int) -> tuple[Identity | None, bytes | None]:
    """What is at a path, as `lookup` says it; of a file up to `limit` bytes that stays the same
    its content, too.

    Raises:
        OSError: it cannot be told, or not be read.
    """
    try:
        folder, name = folders.parent(path)
        found = identity.from_stat(os.lstat(name, dir_fd=folder))
        if found.kind != FILE or found.size > limit:
            return found, None
        try:
            with _source(_open(folder, name), found) as source:
                data = source.read_at(0, source.size)
                source.check_unchanged()
        except Changed:
            return found, None
        return found, data
    except (FileNotFoundError, NotADirectoryError):
        return None, None


def read(root: Path, path: str, limit: int) -> tuple[Identity, bytes]:
    """The whole content of a small file, and the identity that it belongs to.

    Args:
        limit: bytes; ask `lookup` first.
    Raises:
        Changed: it did not stay the same in ATTEMPTS tries, is no file, or is over the limit.
        OSError: it cannot be read, or is not there.
    """
    for _ in range(ATTEMPTS):
        with open_source(root, path) as source:
            if source.size > limit:
                break
            try:
                data = source.read_at(0, source.size)
                source.check_unchanged()
            except Changed:
                continue
            return source.identity, data
    raise Changed("the file does not stay the same while it is read")


def read_link(root: Path, path: str) -> tuple[Identity, str]:
    """A symbolic link's target.

    Raises:
        Changed: it is no link any more.
        OSError: it is not there.
    """
    with opened_parent(root, path) as (folder, name):
        before = identity.from_stat(os.lstat(name, dir_fd=folder))
        try:
            target = os.readlink(name, dir_fd=folder)
        except OSError as error:
            if error.errno == errno.EINVAL:
                raise Changed("the link is no link any more") from None
            raise
        if identity.from_stat(os.lstat(name, dir_fd=folder)) != before:
            raise Changed("the link changed while it was read")
        return before, target


def lookup(root: Path, path: str) -> Identity | None:
    """What is at a path; None where nothing is, or only something behind a link.

    Raises:
        OSError: it cannot be told.
    """
    try:
        with opened_parent(root, path) as (folder, name):
            return identity.from_stat(os.lstat(name, dir_fd=folder))
    except (FileNotFoundError, NotADirectoryError):
        return None


def may_hide_a_change(found: Identity, now_ns: int) -> bool:
    """Whether the file changed so short a time before `now_ns` (when it was read, by the wall
    clock) that another change of equal size right after it may show no other times. Then look at
    the content once more, after TICK_NS."""
    return now_ns - max(found.mtime_ns, found.ctime_ns) < TICK_NS


def _open(folder: int | None, name: str) -> int:
    try:
        return os.open(name, _FILE, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK, errno.ENXIO):
            raise Changed("the file is no file any more") from None
        raise


@contextmanager
def opened_parent(root: Path, path: str, *, make: bool = False) -> Iterator[tuple[int | None, str]]:
    """The folder that holds a path, as a descriptor, and the path's name in it. Where descriptors
    of folders cannot be used: None, and the whole path.

    Args:
        make: folders that are missing are made.
    Raises:
        NotADirectoryError: a link is on the way.
        paths.PathError: the path leads out of the root, or into our own folder.
    """
    *folders, name = names.check(path)
    if not _WALKS:
        at = os.fspath(root)
        for folder in folders:
            at = os.path.join(at, folder)
            if os.path.islink(at):
                raise NotADirectoryError(errno.ENOTDIR, "a link is on the way", at)
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(at)
        yield None, os.path.join(at, name)
        return
    descriptor = os.open(root, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        for folder in folders:
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(folder, dir_fd=descriptor)
            try:
                inner = os.open(folder, _FOLDER, dir_fd=descriptor)
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.EMLINK):
                    raise NotADirectoryError(errno.ENOTDIR, "a link is on the way", path) from None
                raise
            os.close(descriptor)
            descriptor = inner
        yield descriptor, name
    finally:
        os.close(descriptor)
