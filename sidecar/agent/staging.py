"""Where new content grows before it is renamed into its place: `<root>/.sidecar/tmp/`.

Each agent has a folder of its own there, with a file `lock` that it holds locked (`flock`) while
it lives. What an agent that died left behind is found by its lock being free, and removed by the
next one. Content that has to lie on another file system (a mount inside the root) is staged
beside its target, and a note in the agent's folder says where, so that it is found as well.
"""

import errno
import fcntl
import os
import secrets
import stat
import sys
import time
from itertools import count
from typing import List, Optional, Tuple

from sidecar.agent.copying import copy_range
from sidecar.agent.failure import Refusal
from sidecar.agent.folder import decode, encode
from sidecar.agent.roots import DIRECTORY, Descriptor, Root, lstat
from sidecar.core import paths

OLD = 24 * 3600.0
"""Seconds after which a leftover is removed where the file system has no locks."""

YOUNG = 600.0
"""Seconds in which a folder without a lock may be one that is just being made."""

BESIDE = b".sidecar-new-"
"""How the names of files begin that are staged beside their target."""

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Staged:
    """One file in the making. Ends with `land`, or with `discard`, which is safe at any time."""

    def __init__(self, area: "Staging", name: bytes, executable: bool) -> None:
        self._area, self._name = area, name
        # The kernel takes the umask away, or applies the default ACL where the folder has one;
        # nobody else can enter the folder until then.
        mode = 0o777 if executable else 0o666
        self.descriptor = os.open(name, _NEW, mode, dir_fd=area.folder)
        self._beside = b""

    def land(self, folder: int, target: bytes, parents: str, replace: bool) -> os.stat_result:
        """Gives the file its place, whole, in one step.

        Args:
            folder, target: the place's folder, and the name in it.
            parents: the folder's path, for the note where staging beside is needed.
            replace: whether something may be there; if not, FileExistsError where something is.
        Returns:
            What landed. Where somebody wrote into it within microseconds: what it was before, so
            that the next look at it finds a difference.
        """
        written = os.fstat(self.descriptor)
        try:
            self._place(self._area.folder, self._name, folder, target, replace)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            self._move_beside(folder, parents)
            written = os.fstat(self.descriptor)
            self._place(folder, self._beside, folder, target, replace)
            self._area.forget(self._name)
            self._beside = b""
            # `syncfs` of the root's file system does not reach this one.
            opened = Descriptor(os.open(b".", DIRECTORY, dir_fd=folder))
            os.fsync(opened.number)
        self._name = b""
        landed = os.fstat(self.descriptor)
        return landed if _traits(landed) == _traits(written) else written

    @staticmethod
    def _place(there: int, name: bytes, folder: int, target: bytes, replace: bool) -> None:
        if not replace:
            try:
                os.link(name, target, src_dir_fd=there, dst_dir_fd=folder, follow_symlinks=False)
            except OSError as error:
                if error.errno in (errno.EEXIST, errno.EXDEV):
                    raise
                if lstat(folder, target) is not None:  # a file system without hard links
                    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
            else:
                os.unlink(name, dir_fd=there)
                return
        os.rename(name, target, src_dir_fd=there, dst_dir_fd=folder)

    def _move_beside(self, folder: int, parents: str) -> None:
        """Copies the file, with all it was given, to the target's file system."""
        source, status = self.descriptor, os.fstat(self.descriptor)
        self._area.note(self._name, parents)
        self._beside = BESIDE + self._area.token.encode("ascii") + b"-" + self._name
        copy = os.open(self._beside, _NEW, 0o600, dir_fd=folder)
        try:
            copy_range(source, copy, 0, status.st_size, 0)
            try:
                os.fchown(copy, -1, status.st_gid)
            except PermissionError:
                pass  # the folder's own group, and then no wider than for everybody
            made = os.fstat(copy)
            mode = stat.S_IMODE(status.st_mode)
            if made.st_gid != status.st_gid:
                mode = mode & ~0o070 | mode & (mode & 0o007) << 3
            os.fchmod(copy, mode)
            os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
            os.fsync(copy)
        except OSError:
            os.close(copy)
            os.unlink(self._beside, dir_fd=folder)
            self._area.forget(self._name)
            self._beside = b""
            raise
        os.close(source)
        self.descriptor = copy
        os.unlink(self._name, dir_fd=self._area.folder)

    def discard(self) -> None:
        """Closes the file, and removes it where it has not landed."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
        if self._name and not self._beside:
            try:
                os.unlink(self._name, dir_fd=self._area.folder)
            except OSError:
                pass  # the root is gone, or nothing can be written; the next agent cleans up
        self._name = b""


class Staging:
    """The staging folder of this agent in one root. Made with the first file."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._tmp = Descriptor(os.open(b"tmp", DIRECTORY, dir_fd=root.ours))
        self._clean()
        self.token = ""
        self._lock: Optional[Descriptor] = None
        while self._lock is None:
            self.token = secrets.token_hex(8)
            self._lock = self._make(self.token.encode("ascii"))
        self._folder = Descriptor(
            os.open(self.token.encode("ascii"), DIRECTORY, dir_fd=self._tmp.number)
        )
        self._numbers = count(1)

    @property
    def folder(self) -> int:
        return self._folder.number

    def new(self, executable: bool = False) -> Staged:
        return Staged(self, self.name(), executable)

    def land_link(self, target: bytes, folder: int, name: bytes) -> None:
        """Puts a symbolic link in the place of what is there, in one step."""
        temporary, there = self.name(), self.folder
        os.symlink(target, temporary, dir_fd=there)
        try:
            os.rename(temporary, name, src_dir_fd=there, dst_dir_fd=folder)
        except OSError as error:
            os.unlink(temporary, dir_fd=there)
            if error.errno != errno.EXDEV:
                raise
            temporary = BESIDE + self.token.encode("ascii") + b"-" + temporary
            os.symlink(target, temporary, dir_fd=folder)
            os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)

    def name(self) -> bytes:
        """A name in the folder that was not used yet."""
        return b"%d" % next(self._numbers)

    def close(self) -> None:
        """Removes the folder, with what is left in it."""
        token = self.token.encode("ascii")
        try:
            _remove_tree(self._tmp.number, token)
        except OSError:
            pass  # the root is gone or full of trouble; the next agent cleans up

    def note(self, name: bytes, parents: str) -> None:
        """Remembers that a file is being staged in the folder `parents` of the root."""
        descriptor = os.open(name + b".beside", _NEW, 0o600, dir_fd=self.folder)
        try:
            os.write(descriptor, encode(parents))
        finally:
            os.close(descriptor)

    def forget(self, name: bytes) -> None:
        os.unlink(name + b".beside", dir_fd=self.folder)

    def _make(self, token: bytes) -> Optional[Descriptor]:
        """Our folder's lock; None where somebody was quicker and took it for a leftover."""
        os.mkdir(token, 0o700, dir_fd=self._tmp.number)
        path = token + b"/lock"
        try:
            lock = Descriptor(os.open(path, _NEW, 0o600, dir_fd=self._tmp.number))
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(lock.number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        except OSError:
            return lock  # no locks on this file system: age tells
        return lock if os.fstat(lock.number).st_nlink else None

    def _clean(self) -> None:
        """Removes what agents left that do not live any more."""
        for name in os.listdir(self._tmp.number):
            raw = os.fsencode(name)
            try:
                if _is_left_over(self._tmp.number, raw):
                    self._clean_beside(raw)
                    _remove_tree(self._tmp.number, raw)
            except (OSError, Refusal, paths.PathError) as error:
                print("sidecar: a leftover in .sidecar/tmp stays: %s" % error, file=sys.stderr)

    def _clean_beside(self, token: bytes) -> None:
        """Removes the files beside their targets that this leftover's notes tell of."""
        try:
            folder = Descriptor(os.open(token, DIRECTORY, dir_fd=self._tmp.number))
        except NotADirectoryError:
            return
        for name in os.listdir(folder.number):
            number, _dot, rest = os.fsencode(name).partition(b".")
            if rest != b"beside":
                continue
            descriptor = os.open(
                os.fsencode(name), os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder.number
            )
            try:
                parents = decode(os.read(descriptor, paths.MAX_PATH))
            finally:
                os.close(descriptor)
            try:
                with self._root.folder(paths.check(parents) if parents else ()) as beside:
                    os.unlink(BESIDE + token + b"-" + number, dir_fd=beside)
            except FileNotFoundError:
                pass  # it had landed, or was not begun


def _traits(status: os.stat_result) -> Tuple[int, int, int]:
    """What a rename leaves as it is."""
    return status.st_size, status.st_mtime_ns, status.st_mode


def _is_left_over(tmp: int, name: bytes) -> bool:
    status = os.stat(name, dir_fd=tmp, follow_symlinks=False)
    age = time.time() - status.st_mtime
    if not stat.S_ISDIR(status.st_mode):
        return age > YOUNG
    try:
        lock = Descriptor(os.open(name + b"/lock", os.O_RDWR | os.O_NOFOLLOW, dir_fd=tmp))
    except FileNotFoundError:
        return age > YOUNG
    try:
        fcntl.flock(lock.number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return age > OLD
    return True


def _remove_tree(folder: int, name: bytes) -> None:
    """Removes a folder of ours, or a file. Its own files are flat; links are not followed."""
    status = lstat(folder, name)
    if status is None:
        return
    if not stat.S_ISDIR(status.st_mode):
        os.unlink(name, dir_fd=folder)
        return
    inner = Descriptor(os.open(name, DIRECTORY, dir_fd=folder))
    names: List[bytes] = [os.fsencode(one) for one in os.listdir(inner.number)]
    # The lock goes last: while it is there, the folder is either alive or being removed.
    for one in sorted(names, key=lambda entry: entry == b"lock"):
        os.unlink(one, dir_fd=inner.number)
    os.rmdir(name, dir_fd=folder)
