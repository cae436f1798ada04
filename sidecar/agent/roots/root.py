"""A root: a project's folder on this machine, opened once and walked by descriptors.

Every access goes from the root's descriptor component by component, each opened as a directory
and never through a link (`O_NOFOLLOW`), so that no name and no link, put there before or in the
middle of it, leads outside. Descriptors of folders are not kept: a folder that was moved away
would be written to at its new place.
"""

import json
import os
import stat
from contextlib import contextmanager
from typing import Iterator, Optional, Sequence, Tuple

from sidecar.agent.failure import Failure, Refusal, explain
from sidecar.agent.roots.folder import OURS, decode, encode, look
from sidecar.core import messages, paths

MARKER_VERSION = 1
MARKER_LIMIT = 4096
MARKER = b"marker.json"

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""For a folder that is listed."""

_STEP = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)
"""For a folder that is only walked through: execute permission is enough."""


class Descriptor:
    """A descriptor that closes when nobody holds it any more. Threads share roots; a number
    closed under one of them could mean another folder in the next moment."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        os.close(self.number)


class Root:
    """One folder, by the number that messages give it.

    Raises, from every method that walks:
        paths.PathError: the path may not be used.
        Refusal: a link or a file stands where a folder of the path should be ("path").
        OSError: what the system says.
    """

    def __init__(self, number: int, path: bytes) -> None:
        self.number = number
        self.path = path
        self.marker = self.owner = ""
        self._top: Optional[Descriptor] = None
        self._ours: Optional[Descriptor] = None
        self._marker_seen: Tuple[int, ...] = ()

    @property
    def name(self) -> str:
        return decode(self.path)

    # --- open and claim

    def open(self, id: int) -> messages.Opened:
        """Looks at the folder and opens it where it is there. Writes nothing."""
        seen = look(self.path)
        if seen.exists and not seen.refused:
            self._open_top()
            self._open_marker()
        return messages.Opened(
            id,
            self.name,
            seen.exists,
            seen.writable,
            seen.entries,
            self.marker,
            self.owner,
            seen.device,
            seen.refused,
            seen.free_bytes,
            seen.user,
        )

    def claim(self, marker: str, owner: str) -> None:
        """Makes what is missing of the folder and of our own folder in it, and marks it. Who
        claimed it since it was opened keeps it."""
        what = "%s cannot be made a project's folder" % self.name
        refused = look(self.path).refused
        if refused:
            raise Failure("path", what, refused, "choose another hosts.X.path")
        try:
            os.makedirs(self.path, exist_ok=True)
            if os.path.realpath(self.path) != self.path:
                raise Failure("path", what, "a part of its path has become a link", "try again")
            self._open_top()
            self._make_ours()
            self._refuse_what_another_claimed()
            self._write_marker(marker, owner)
            self._open_marker()
        except OSError as error:
            code, why = explain(error)
            raise Failure(
                code, what, why, "choose another hosts.X.path, or ask for the rights"
            ) from None
        if self.marker != marker:
            raise Failure("path", what, "its marker could not be read back", "look into .sidecar/")

    def _refuse_what_another_claimed(self) -> None:
        try:
            _, found, owner = _read_marker(self.ours)
        except (OSError, ValueError):
            return
        if (found, owner) != (self.marker, self.owner):
            raise Failure(
                "root", "%s was claimed by %s just now" % (self.name, owner), "", "try again"
            )

    def _open_top(self) -> None:
        try:
            self._top = Descriptor(os.open(self.path, DIRECTORY))
        except OSError as error:
            code, why = explain(error)
            raise Failure(code, "%s cannot be opened" % self.name, why) from None

    def _make_ours(self) -> None:
        try:
            os.mkdir(OURS, 0o700, dir_fd=self.top)
        except FileExistsError:
            pass
        self._ours = Descriptor(os.open(OURS, DIRECTORY, dir_fd=self.top))
        for name in (b"tmp", b"trash"):
            try:
                os.mkdir(name, 0o700, dir_fd=self._ours.number)
            except FileExistsError:
                os.close(os.open(name, DIRECTORY, dir_fd=self._ours.number))

    def _write_marker(self, marker: str, owner: str) -> None:
        ours = self.ours
        self._write_ours(ours, b".gitignore", b"*\n")
        state = {"version": MARKER_VERSION, "marker": marker, "owner": owner}
        self._write_ours(ours, MARKER, json.dumps(state).encode("ascii") + b"\n")

    @staticmethod
    def _write_ours(ours: int, name: bytes, content: bytes) -> None:
        """Whole or not at all, as every other file of ours and theirs."""
        temporary = b"tmp/%s.%d" % (name, os.getpid())
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(temporary, flags, 0o600, dir_fd=ours)
        try:
            with open(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            os.rename(temporary, name, src_dir_fd=ours, dst_dir_fd=ours)
        except OSError:
            os.unlink(temporary, dir_fd=ours)
            raise

    def _open_marker(self) -> None:
        """Reads who claimed the folder. What cannot be read as a marker is none."""
        self.marker = self.owner = ""
        self._ours, self._marker_seen = None, ()
        try:
            ours = Descriptor(os.open(OURS, DIRECTORY, dir_fd=self.top))
            status, marker, owner = _read_marker(ours.number)
        except (OSError, ValueError):
            return
        self._ours, self.marker, self.owner = ours, marker, owner
        self._marker_seen = _traits(status)

    # --- use

    @property
    def top(self) -> int:
        """The root's descriptor."""
        if self._top is None:
            raise Failure(
                "missing", "%s is not there" % self.name, "", "claim it, or choose another folder"
            )
        return self._top.number

    @property
    def ours(self) -> int:
        """The descriptor of our own folder in the root."""
        if self._ours is None:
            raise Refusal("path", "%s is not marked as a project's folder of ours" % self.name)
        return self._ours.number

    def check_whole(self) -> None:
        """Behind a sweep: that it was of the folder which was opened, and is ours still if it was
        then. One that is not mounted just now holds nothing, and nothing in it was deleted.

        Raises:
            Refusal: "root".
        """
        if self.marker:
            self.check()
        else:
            self._check_place()

    def _check_place(self) -> None:
        top = os.fstat(self.top)
        try:
            now = os.stat(self.path, follow_symlinks=False)
        except FileNotFoundError:
            raise Refusal("root", "%s is gone" % self.name) from None
        if (now.st_dev, now.st_ino) != (top.st_dev, top.st_ino):
            raise Refusal("root", "%s is another folder than it was" % self.name)

    def check(self) -> None:
        """That this still is the folder that was opened, marked as it was then. Before each
        change: a folder unmounted, emptied or taken over by somebody else is not written to.

        Raises:
            Refusal: "root".
        """
        self._check_place()
        ours = self.ours
        try:
            status = os.stat(MARKER, dir_fd=ours, follow_symlinks=False)
            if _traits(status) == self._marker_seen:
                return
            status, marker, owner = _read_marker(ours)
        except (OSError, ValueError):
            raise Refusal("root", "the marker in %s is gone or damaged" % self.name) from None
        if (marker, owner) != (self.marker, self.owner):
            raise Refusal("root", "%s was taken over by %s" % (self.name, owner or "somebody else"))
        self._marker_seen = _traits(status)

    @contextmanager
    def folder(self, parts: Sequence[str], make: bool = False) -> Iterator[int]:
        """The descriptor of a folder, open for this use. `make`: folders that are missing are
        made. Good for `dir_fd`; to list it, open "." in it."""
        with walk(self.top, parts, make) as folder:
            yield folder

    def lstat(self, parts: Sequence[str]) -> Optional[os.stat_result]:
        """What is at a path, links not followed; None: nothing, or no folder to hold it."""
        try:
            with self.folder(parts[:-1]) as folder:
                return lstat(folder, encode(parts[-1]))
        except FileNotFoundError:
            return None

    def open_file(self, parts: Sequence[str]) -> int:
        """A descriptor for reading a regular file. Never waits for a FIFO's other end.

        Raises:
            Refusal: "differs": something else than a regular file is there.
        """
        with self.folder(parts[:-1]) as folder:
            return open_file(folder, encode(parts[-1]))


@contextmanager
def walk(top: int, parts: Sequence[str], make: bool = False) -> Iterator[int]:
    """A folder below another one, step by step; see Root.folder."""
    current = os.dup(top)
    try:
        for part in parts:
            inner = _step(current, encode(part), make)
            os.close(current)
            current = inner
        yield current
    finally:
        os.close(current)


def parts_of(path: str) -> Tuple[str, ...]:
    """The components of a path of the wire; "" is the root itself."""
    return paths.check(path) if path else ()


def lstat(folder: int, name: bytes) -> Optional[os.stat_result]:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def open_file(folder: int, name: bytes) -> int:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if not stat.S_ISREG(status.st_mode):  # opening a device may do things by itself
        raise Refusal("differs", "it is not a regular file there")
    descriptor = os.open(name, flags, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Refusal("differs", "it is not a regular file there")
    return descriptor


def _step(current: int, name: bytes, make: bool) -> int:
    try:
        return os.open(name, _STEP, dir_fd=current)
    except FileNotFoundError:
        if not make:
            raise
    except OSError:
        raise _in_the_way(current, name) from None
    try:
        os.mkdir(name, dir_fd=current)
    except FileExistsError:
        pass  # somebody else made it just now
    try:
        return os.open(name, _STEP, dir_fd=current)
    except NotADirectoryError:
        raise _in_the_way(current, name) from None


def _in_the_way(current: int, name: bytes) -> Exception:
    """What keeps a folder from being opened."""
    status = os.stat(name, dir_fd=current, follow_symlinks=False)
    if stat.S_ISLNK(status.st_mode):
        return Refusal("path", "%s is a symbolic link there, and is not followed" % decode(name))
    if not stat.S_ISDIR(status.st_mode):
        return Refusal("path", "%s is a file there, not a folder" % decode(name))
    return PermissionError(13, "no permission to enter %s" % decode(name))


def _read_marker(ours: int) -> Tuple[os.stat_result, str, str]:
    """Raises ValueError where it is no marker of ours."""
    try:
        descriptor = open_file(ours, MARKER)
    except Refusal as refusal:
        raise ValueError(str(refusal)) from None
    try:
        status = os.fstat(descriptor)
        state = json.loads(os.read(descriptor, MARKER_LIMIT).decode("ascii"))
    except RecursionError:
        raise ValueError("a damaged marker") from None
    finally:
        os.close(descriptor)
    if not isinstance(state, dict) or state.get("version") != MARKER_VERSION:
        raise ValueError("a marker of another version")
    marker, owner = state.get("marker"), state.get("owner")
    if not isinstance(marker, str) or not marker or not isinstance(owner, str):
        raise ValueError("a damaged marker")
    return status, marker, owner


def _traits(status: os.stat_result) -> Tuple[int, ...]:
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
