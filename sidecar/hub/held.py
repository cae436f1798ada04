"""Locks that are held as long as a process lives (`flock`), and let go of by name."""

from __future__ import annotations

import fcntl
import os


def let_go(lock: int) -> None:
    """Not by closing alone: a child that was forked this moment holds the lock, too, until it
    becomes another program."""
    fcntl.flock(lock, fcntl.LOCK_UN)
    os.close(lock)
