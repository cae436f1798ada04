"""The lock of git's index, taken with the new index already whole behind it.

The content is written under another name first, and its inode written down in our own folder with
the process that did it; then a hard link makes it `index.lock`, which fails where git has one. So
the lock is held for a moment only, and one that a killed agent left is known as ours and removed:
git itself would refuse every command until somebody does.
"""

import errno
import json
import os
import shutil
from typing import Optional

from sidecar.agent import machine
from sidecar.agent.failure import Failure, Refusal
from sidecar.agent.roots.root import Root
from sidecar.agent.supervisor.records import Process

NOTE = b"git-lock.json"

_NOTE_LIMIT = 4096
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class IndexLock:
    """Of the repository whose `.git` is `folder`. `with` it: the lock is let go of at the end, if
    `commit` did not make it the index."""

    def __init__(self, root: Root, folder: bytes) -> None:
        self._root = root
        self._index = os.path.join(folder, b"index")
        self._lock = self._index + b".lock"
        self._ready = os.path.join(folder, b"sidecar-index")
        self._held = False

    def prepare(self, content: bytes) -> None:
        """Writes the new index beside the old one."""
        _remove(self._ready)  # it may be a second name of the present index: never written into
        with os.fdopen(os.open(self._ready, _NEW, 0o666), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def take(self) -> None:
        """Nobody else changes index, HEAD or branches with git from here on.

        Raises:
            Failure: "git-busy".
        """
        self._write_note(os.stat(self._ready).st_ino)
        try:
            try:
                os.link(self._ready, self._lock)
                self._held = True
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                self._copy()
        except FileExistsError:
            words = "another git command is at work"
            raise Failure("git-busy", "the repository is left alone for now", words) from None

    def _copy(self) -> None:
        """Where the file system has no hard links: the lock first, its content behind it."""
        with os.fdopen(os.open(self._lock, _NEW, 0o666), "wb") as file:
            self._held = True
            self._write_note(os.fstat(file.fileno()).st_ino)
            with open(self._ready, "rb") as ready:
                shutil.copyfileobj(ready, file)
            file.flush()
            os.fsync(file.fileno())

    def commit(self) -> None:
        """The prepared one is the index now."""
        os.rename(self._lock, self._index)
        self._held = False

    def close(self) -> None:
        if self._held:
            _remove(self._lock)
            self._held = False
        _remove(self._ready)

    def __enter__(self) -> "IndexLock":
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _write_note(self, inode: int) -> None:
        place, pid = machine.here(), os.getpid()
        note = {"inode": inode, "pid": pid, "start": machine.start_time(pid)}
        note.update(place._asdict())
        ours = self._root.ours
        temporary = b"tmp/%s.%d" % (NOTE, pid)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(temporary, flags, 0o600, dir_fd=ours), "wb") as file:
            file.write(json.dumps(note).encode("ascii"))
        os.rename(temporary, NOTE, src_dir_fd=ours, dst_dir_fd=ours)


def clear(root: Root, folder: bytes) -> None:
    """Removes the lock that an agent left which was killed while it held it."""
    lock = os.path.join(folder, b"index.lock")
    try:
        inode: Optional[int] = os.lstat(lock).st_ino
    except FileNotFoundError:
        return
    try:
        descriptor = os.open(NOTE, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root.ours)
    except (OSError, Refusal):
        return
    with os.fdopen(descriptor, "rb") as file:
        try:
            note = json.loads(file.read(_NOTE_LIMIT).decode("ascii"))
            writer = Process(int(note["pid"]), str(note["start"]))
            place = machine.Place(*(str(note[name]) for name in machine.Place._fields))
        except (ValueError, KeyError, TypeError, RecursionError):
            return
    here = machine.here()
    if note.get("inode") != inode or place.machine != here.machine:
        return
    if place.boot == here.boot and (place.pids != here.pids or writer.alive()):
        return
    _remove(lock)


def _remove(path: bytes) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
