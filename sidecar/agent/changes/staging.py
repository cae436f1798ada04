"""Where new content grows before it is renamed into its place: `<root>/.sidecar/tmp/`.

Each agent has a folder of its own there, with a file `lock` that it holds locked (`flock`) while
it lives. What an agent that died left behind is found by its lock being free, and removed by the
next one. Content that has to lie on another file system (a mount inside the root) is staged
beside its target, and a note in the agent's folder says where, so that it is found as well.

What arrived of a large content is not thrown away when its transfer breaks off: it lies in
`.sidecar/tmp/partial/`, by the digest of its path, until an agent takes it into its folder to go
on with it (partial.py). While it grows there, another note tells that it is to be kept.
"""

import errno
import fcntl
import os
import stat
import sys
import time
from itertools import count
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from sidecar.agent.changes.copying import copy_range
from sidecar.agent.changes.permissions import with_executable
from sidecar.agent.failure import Refusal
from sidecar.agent.roots.folder import decode, encode
from sidecar.agent.roots.root import DIRECTORY, Descriptor, Root, lstat
from sidecar.core import paths
from sidecar.core.blake2 import blake2b
from sidecar.core.delta import LEAF

OLD = 24 * 3600.0
"""Seconds after which a leftover is removed where the file system has no locks."""

YOUNG = 600.0
"""Seconds in which a folder without a lock may be one that is just being made."""

BESIDE = b".sidecar-new-"
"""How the names of files begin that are staged beside their target."""

PARTIAL = b"partial"

MOST_PARTIALS = 16
MOST_PARTIAL_BYTES = 32 << 30
MOST_OF_DISK = 0.05
PARTIAL_SECONDS = 3 * 24 * 3600.0
"""How many contents are kept that did not arrive whole, how much of the disk, and how long; the
newest one is kept whatever its size."""

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_AGAIN = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC


class Staged:
    """One file in the making. Ends with `land`, or with `discard`, which is safe at any time."""

    def __init__(self, area: "Staging", name: bytes, executable: bool, flags: int = _NEW) -> None:
        self._area, self._name = area, name
        # The kernel takes the umask away, or applies the default ACL where the folder has one;
        # nobody else can enter the folder until then.
        mode = 0o777 if executable else 0o666
        self.descriptor = os.open(name, flags, mode, dir_fd=area.folder)
        self._beside = b""
        self._worth_keeping = False

    def keep_for(self, path: str) -> None:
        """From now on, what is in the file is kept if it is given up, for that path."""
        self._area.note_partial(self._name, _partial_name(path))
        self._worth_keeping = True

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
        if self._worth_keeping:
            self._area.forget_partial(self._name)
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

    def discard(self, keep: bool = False) -> None:
        """Closes the file, and removes it where it has not landed.

        Args:
            keep: what arrived of it, where that was announced to be worth it.
        """
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
        if self._name and not self._beside:
            try:
                if self._worth_keeping and keep:
                    self._area.keep_partial(self._name)
                else:
                    os.unlink(self._name, dir_fd=self._area.folder)
                    if self._worth_keeping:
                        self._area.forget_partial(self._name)
            except OSError:
                pass  # the root is gone, or nothing can be written; the next agent cleans up
        self._name = b""


class Held(NamedTuple):
    """What arrived of a content, taken up again: the digests of its whole leaves."""

    staged: Staged
    leaves: bytes


class Staging:
    """The staging folder of this agent in one root. Made with the first file.

    Attributes:
        held: what is being gone on with, by the path that it is for.
        drafts: by path (agent/changes/draft.py).
    """

    def __init__(self, root: Root) -> None:
        self._root = root
        self._tmp = Descriptor(os.open(b"tmp", DIRECTORY, dir_fd=root.ours))
        self._clean()
        self._prune_partials()
        self.held: Dict[str, Held] = {}
        self.drafts: Dict[str, Any] = {}
        self.token = ""
        self._lock: Optional[Descriptor] = None
        while self._lock is None:
            self.token = os.urandom(8).hex()
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

    # --- what arrived in part

    def take(self, path: str, executable: bool) -> Optional[Staged]:
        """What arrived of that path's content before, as a file in the making again."""
        name = self.name()
        kept = PARTIAL + b"/" + _partial_name(path)
        try:
            os.rename(kept, name, src_dir_fd=self._tmp.number, dst_dir_fd=self.folder)
        except FileNotFoundError:
            return None
        staged = Staged(self, name, executable, _AGAIN)
        mode = stat.S_IMODE(os.fstat(staged.descriptor).st_mode)
        os.fchmod(staged.descriptor, with_executable(mode, executable))
        staged.keep_for(path)
        self._prune_partials()
        return staged

    def note_partial(self, name: bytes, key: bytes) -> None:
        descriptor = os.open(name + b"." + PARTIAL, _NEW, 0o600, dir_fd=self.folder)
        try:
            os.write(descriptor, key)
        finally:
            os.close(descriptor)

    def forget_partial(self, name: bytes) -> None:
        os.unlink(name + b"." + PARTIAL, dir_fd=self.folder)

    def keep_partial(self, name: bytes) -> None:
        _keep_partial(self._tmp.number, self.folder, name)

    def _prune_partials(self) -> None:
        """Brings what is kept within its bounds, the oldest first."""
        try:
            folder = Descriptor(os.open(PARTIAL, DIRECTORY, dir_fd=self._tmp.number))
        except FileNotFoundError:
            return
        disk = os.fstatvfs(folder.number)
        most = min(MOST_PARTIAL_BYTES, int(disk.f_blocks * disk.f_frsize * MOST_OF_DISK))
        oldest, size = time.time() - PARTIAL_SECONDS, 0
        found = [(os.stat(one, dir_fd=folder.number), one) for one in os.listdir(folder.number)]
        found.sort(key=lambda one: one[0].st_mtime, reverse=True)
        for number, (status, one) in enumerate(found):
            size += status.st_size
            if number >= MOST_PARTIALS or status.st_mtime < oldest or (number and size > most):
                os.unlink(one, dir_fd=folder.number)

    def close(self) -> None:
        """Removes the folder, with what is left in it; what arrived in part is kept."""
        token = self.token.encode("ascii")
        for held in self.held.values():
            held.staged.discard(keep=True)
        self.held.clear()
        for draft in self.drafts.values():
            draft.discard()
        self.drafts.clear()
        try:
            _keep_partials(self._tmp.number, token)
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
                if raw != PARTIAL and _is_left_over(self._tmp.number, raw):
                    self._clean_beside(raw)
                    _keep_partials(self._tmp.number, raw)
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


def _partial_name(path: str) -> bytes:
    return blake2b(encode(path), digest_size=16).hexdigest().encode("ascii")


def _keep_partials(tmp: int, token: bytes) -> None:
    """Keeps what is worth it of an agent's folder."""
    try:
        folder = Descriptor(os.open(token, DIRECTORY, dir_fd=tmp))
    except NotADirectoryError:
        return
    for note in os.listdir(folder.number):
        name, _dot, rest = os.fsencode(note).partition(b".")
        if rest == PARTIAL:
            try:
                _keep_partial(tmp, folder.number, name)
            except FileNotFoundError:
                pass  # it had landed


def _keep_partial(tmp: int, folder: int, name: bytes) -> None:
    """Moves a file to the others that arrived in part, and removes the note that says so."""
    note = name + b"." + PARTIAL
    descriptor = os.open(note, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder)
    try:
        key = os.read(descriptor, 64)
    finally:
        os.close(descriptor)
    os.unlink(note, dir_fd=folder)
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if not key.isalnum() or not stat.S_ISREG(status.st_mode) or status.st_size < LEAF:
        os.unlink(name, dir_fd=folder)
        return
    try:
        os.mkdir(PARTIAL, 0o700, dir_fd=tmp)
    except FileExistsError:
        pass
    os.rename(name, PARTIAL + b"/" + key, src_dir_fd=folder, dst_dir_fd=tmp)


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
