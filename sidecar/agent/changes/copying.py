"""Copying between files inside the kernel, where the system can: shared blocks (reflinks) on file
systems that have them, else no way through this process's memory."""

import os
from typing import Callable, List

from sidecar.agent.failure import Refusal

STEP = 64 << 20
"""Bytes in one call: a copy of gigabytes stays interruptible."""

_BUFFER = 1 << 20

Step = Callable[[int, int, int, int, int], int]


def copy_range(source: int, target: int, offset: int, length: int, at: int) -> None:
    """Copies [offset, offset + length) of `source` to `target`, from `at` on.

    Raises:
        Refusal: "differs": the source ends before.
        OSError: reading or writing failed.
    """
    while length:
        moved = _move(source, target, offset, min(length, STEP), at)
        if not moved:
            raise Refusal("differs", "it became shorter while it was copied")
        offset, at, length = offset + moved, at + moved, length - moved


def _move(source: int, target: int, offset: int, length: int, at: int) -> int:
    for way in _IN_KERNEL:
        try:
            moved = way(source, target, offset, length, at)
        except OSError:
            # This system, or this pair of file systems, cannot do it so. What is really wrong
            # (a full disk) shows again in the next way.
            continue
        if moved:  # none is the end of the source, or a file system that cannot say no
            return moved
    return _read_write(source, target, offset, length, at)


def _copy_file_range(source: int, target: int, offset: int, length: int, at: int) -> int:
    return os.copy_file_range(source, target, length, offset, at)


def _sendfile(source: int, target: int, offset: int, length: int, at: int) -> int:
    os.lseek(target, at, os.SEEK_SET)
    return os.sendfile(target, source, offset, length)


def _read_write(source: int, target: int, offset: int, length: int, at: int) -> int:
    data = os.pread(source, min(length, _BUFFER), offset)
    write(target, data, at)
    return len(data)


def write(target: int, data: bytes, at: int) -> None:
    """All of the data at that place; the system may take it in several steps."""
    view = memoryview(data)
    while view:
        written = os.pwrite(target, view, at)
        view, at = view[written:], at + written


_IN_KERNEL: List[Step] = []
if hasattr(os, "copy_file_range"):
    _IN_KERNEL.append(_copy_file_range)
if hasattr(os, "sendfile"):
    _IN_KERNEL.append(_sendfile)
