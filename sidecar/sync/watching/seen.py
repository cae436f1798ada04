"""What a watch tells, whichever way it watches (inotify_tree.py, portable_tree.py)."""

from __future__ import annotations

import os
import stat
from typing import NamedTuple


class Seen(NamedTuple):
    """What changed, by relative paths; `lost`: and more, that nobody can name."""

    paths: set[str]
    lost: bool


class RootGone(Exception):
    """The root is no more what it was: moved away, replaced, unmounted."""


def has_other_names(full: str) -> bool:
    """Whether what is at a path is a file of several names (hard links): an event tells one."""
    try:
        status = os.lstat(full)
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_nlink > 1
