"""Whether the editor's process still lives (`initialize.processId`).

An end of its pipes is no sure sign: another child of the editor may hold them open.
"""

from __future__ import annotations

import asyncio
import os

LOOK_EVERY = 2.0
"""Seconds, where the system cannot wake us."""


async def gone(pid: int) -> None:
    """Returns when that process has ended. Never, where it cannot be seen from here at all: an
    editor in a container counts its processes differently."""
    if not _alive(pid):
        await asyncio.Future()
    if hasattr(os, "pidfd_open"):
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        except OSError:
            pass  # a kernel or a sandbox without it
        else:
            await _readable(descriptor)
            return
    while _alive(pid):  # noqa: ASYNC110 (no event tells us)
        await asyncio.sleep(LOOK_EVERY)


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
