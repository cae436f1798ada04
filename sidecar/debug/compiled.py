"""Borrows debugpy's compiled parts, which make a debugged program faster, from the environment of
the program, if that has exactly the release that was sent along.

They are copied beside the sources that were sent, where Python takes them if they fit it: their
names say for which Python and system they were made. Anything that is not as expected leaves the
sources as they are; debugpy works with them alone.

This file travels beside guard.py, which runs it with the program's interpreter. Python 3.8 syntax,
standard library only.
"""

from __future__ import annotations

import importlib.machinery
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable

PARTS = (
    ("_pydevd_bundle", "pydevd_cython"),
    ("_pydevd_frame_eval", "pydevd_frame_evaluator"),
    ("_pydevd_sys_monitoring", "_pydevd_sys_monitoring_cython"),
)
"""Package and module of each, below `debugpy/_vendored/pydevd`."""

LIMIT = 32 << 20
"""Bytes of one of them; they have 1 to 5 MB."""


def borrow(folder: str, places: Iterable[str]) -> list[str]:
    """Copies what fits into `folder`, which has our `debugpy` in it.

    Args:
        places: folders that packages are installed in, like `sys.path`.
    Returns:
        The names of what was copied now.
    """
    suffix = importlib.machinery.EXTENSION_SUFFIXES[0]
    names = [os.path.join("_vendored", "pydevd", *part) + suffix for part in PARTS]
    missing = [name for name in names if not os.path.exists(os.path.join(folder, "debugpy", name))]
    if not missing:
        return []
    ours = _release(os.path.join(folder, "debugpy"))
    for place in places:
        theirs = os.path.join(place, "debugpy")
        if os.path.isabs(place) and _release(theirs) == ours != b"":
            return [
                name for name in missing if _copied(theirs, os.path.join(folder, "debugpy"), name)
            ]
    return []


def _release(package: str) -> bytes:
    """What a debugpy says of itself: its version and the revision that it was made of."""
    try:
        with open(os.path.join(package, "_version.py"), "rb") as file:
            return file.read(1 << 16).replace(b"\r\n", b"\n")
    except OSError:
        return b""


def _copied(theirs: str, ours: str, name: str) -> bool:
    target = os.path.join(ours, name)
    temporary = ""
    try:
        with open(os.path.join(theirs, name), "rb") as source:
            status = os.fstat(source.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size > LIMIT:
                return False
            descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(target))
            with open(descriptor, "wb") as file:
                shutil.copyfileobj(source, file)
        # Whoever sees it sees all of it, also where two sessions start at once.
        os.replace(temporary, target)
        return True
    except OSError:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)
        return False
