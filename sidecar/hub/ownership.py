"""One hub per user: who holds the lock is the hub, and only it may bind the socket.

A held `flock` is the truth; it goes with the process, however that ends. A socket file without a
holder is a leftover and is replaced.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from sidecar.errors import SidecarError
from sidecar.hub.held import let_go

PATIENCE = 10.0
"""Seconds to wait for a hub that is about to end. Its own end is bounded below that."""


class HubIsOwned(SidecarError):
    """Another process is the hub, and stays it."""

    code = "hub-owned"


class Ownership:
    """The lock and the listening socket. Held until `release`, or the end of the process."""

    def __init__(self, path: Path, lock: int, listener: socket.socket) -> None:
        self.path, self.listener = path, listener
        self._lock = lock
        status = os.stat(path)
        self._socket_id = status.st_dev, status.st_ino

    def hide(self) -> None:
        """Takes the name away, so that the next face starts a new hub, which waits for the lock."""
        with contextlib.suppress(FileNotFoundError):
            status = os.stat(self.path)
            if (status.st_dev, status.st_ino) == self._socket_id:
                self.path.unlink()

    def release(self) -> None:
        self.hide()
        self.listener.close()
        let_go(self._lock)


def acquire(path: Path, patience: float = PATIENCE) -> Ownership:
    """Becomes the hub of the socket at `path`. Main thread only; before any event loop.

    Raises:
        HubIsOwned: another process held the lock for all of `patience`.
    """
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        _lock_within(lock, patience)
        os.ftruncate(lock, 0)
        os.write(lock, b"%d\n" % os.getpid())
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISSOCK(os.lstat(path).st_mode):
                raise HubIsOwned(f"{path} is there and is no socket", "", "remove it")
            path.unlink()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        mask = os.umask(0o177)
        try:
            listener.bind(os.fspath(path))
        finally:
            os.umask(mask)
        listener.listen(64)
        listener.setblocking(False)
        return Ownership(path, lock, listener)
    except BaseException:
        let_go(lock)
        raise


def _lock_within(lock: int, patience: float) -> None:
    try:
        with _alarm(patience):
            fcntl.flock(lock, fcntl.LOCK_EX)
    except TimeoutError:
        holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip()
        raise HubIsOwned(
            "Another process is the hub and does not answer",
            f"pid {holder or 'unknown'} holds the lock",
            f"end it: kill {holder}" if holder else "end it",
        ) from None


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Ends a blocking system call by TimeoutError; `flock` has no timeout of its own."""

    def ring(_signal: int, _frame: FrameType | None) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
