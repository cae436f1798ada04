"""Linux's inotify, by ctypes: events of directories, as the kernel writes them. For both ends.

One watch covers one directory's entries; what makes a tree of that is notice.py on the remote and
sync/watching/inotify_tree.py on the laptop. Names come as bytes and are decoded as all names are
(PEP 383), so that none can end the watching.
"""

import ctypes
import errno
import os
import struct
import sys
from typing import Any, List, NamedTuple

MODIFY, ATTRIB, CLOSE_WRITE = 0x2, 0x4, 0x8
MOVED_FROM, MOVED_TO, CREATE, DELETE = 0x40, 0x80, 0x100, 0x200
DELETE_SELF, MOVE_SELF = 0x400, 0x800
UNMOUNT, OVERFLOW, IGNORED = 0x2000, 0x4000, 0x8000
IS_DIRECTORY = 0x40000000

_ONLY_DIRECTORY, _DO_NOT_FOLLOW, _NO_UNLINKED = 0x1000000, 0x2000000, 0x4000000
_CHANGES = (
    MODIFY
    | ATTRIB
    | CLOSE_WRITE
    | MOVED_FROM
    | MOVED_TO
    | CREATE
    | DELETE
    | DELETE_SELF
    | MOVE_SELF
)
_MASK = _CHANGES | _ONLY_DIRECTORY | _NO_UNLINKED

_HEAD = struct.Struct("iIII")
_BUFFER = 64 * 1024


class Event(NamedTuple):
    """`watch`: what `add` returned, -1 for OVERFLOW; `name`: of the directory's entry, or ""."""

    watch: int
    mask: int
    name: str


class Inotify:
    """One queue of events. Does not block; wait for its `fileno` to become readable."""

    def __init__(self) -> None:
        """Raises:
        OSError: there is none on this system, or the person has too many.
        """
        if sys.platform != "linux":
            raise OSError(errno.ENOSYS, "no inotify on this system")
        self._libc: Any = ctypes.CDLL(None, use_errno=True)
        if not hasattr(self._libc, "inotify_init1"):
            raise OSError(errno.ENOSYS, "no inotify in the C library")
        made = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self._descriptor = self._checked(made, "inotify_init1")

    def fileno(self) -> int:
        return self._descriptor

    def add(self, folder: str) -> int:
        """Watches a directory (no link); of one that is watched already, the same number.

        Raises:
            OSError: ENOSPC, the person has no watches left; or it cannot be opened.
        """
        return self._add(os.fsencode(folder), folder, _MASK | _DO_NOT_FOLLOW)

    def add_open(self, folder: int) -> int:
        """As `add`, for a directory that is open: nobody can put a link in its way.

        Raises:
            OSError: as `add`; ENOENT where there is no /proc.
        """
        return self._add(b"/proc/self/fd/%d" % folder, "an open folder", _MASK)

    def _add(self, raw: bytes, what: str, mask: int) -> int:
        watch = self._libc.inotify_add_watch(
            self._descriptor, ctypes.c_char_p(raw), ctypes.c_uint32(mask)
        )
        return self._checked(watch, what)

    def remove(self, watch: int) -> None:
        """Ends a watch; one that ended by itself is no error."""
        self._libc.inotify_rm_watch(self._descriptor, watch)

    def read(self) -> List[Event]:
        """The events that are there, at most a buffer of them; none: []."""
        try:
            data = os.read(self._descriptor, _BUFFER)
        except BlockingIOError:
            return []
        events: List[Event] = []
        at = 0
        while at < len(data):
            watch, mask, _, length = _HEAD.unpack_from(data, at)
            at += _HEAD.size
            events.append(Event(watch, mask, os.fsdecode(data[at : at + length].rstrip(b"\0"))))
            at += length
        return events

    def close(self) -> None:
        os.close(self._descriptor)

    def _checked(self, result: int, what: str) -> int:
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), what)
        return result
