"""Memory that was in use and is free again: given back to the machine. For both ends.

The C library keeps what was freed, of each thread's arena, for whoever asks next. After an agent's
start, which runs the compiler for all of its modules, that is 3 of 31 MB; after a hub's first sync
of 20,000 files 4 of 107.
"""

from functools import lru_cache
from typing import Any


def give_back() -> None:
    """Milliseconds, in which others may work; for moments at which nobody waits. Does nothing
    where the C library has no such thing."""
    trim = _find_trim()
    if trim is not None:
        trim(0)


@lru_cache(maxsize=1)
def _find_trim() -> Any:
    """glibc's `malloc_trim`. Looked for when it is needed, since ctypes takes its time to load."""
    try:
        import ctypes

        return ctypes.CDLL(None).malloc_trim
    except (ImportError, AttributeError, OSError):
        return None
