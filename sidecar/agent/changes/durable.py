"""From visible to durable: when changes have settled, the file system is told to write them.

A rename makes a change visible in microseconds; to be safe from a power cut it has to reach the
disk, which takes ten milliseconds and more. So a thread of its own does it for many at once.
"""

import os
import sys
import threading
import time
from functools import lru_cache
from typing import Any, Callable, Dict, Optional, Tuple

from sidecar.agent.outbox import LinkClosed

QUIET = 0.1
"""Seconds without a change after which changes count as settled."""

PATIENCE = 1.0
"""Seconds after which it is done although changes keep coming."""

Task = Callable[[], None]


class Settling:
    """Calls a root's `settled` on one thread, some time after `changed` was called for it."""

    def __init__(
        self, quiet: float = QUIET, patience: float = PATIENCE, name: str = "durable"
    ) -> None:
        self._quiet, self._patience, self._name = quiet, patience, name
        self._changed = threading.Condition()
        self._waiting: Dict[int, Tuple[float, float, Task]] = {}
        self._thread: Optional[threading.Thread] = None
        self._closed = False

    def changed(self, root: int, settled: Task) -> None:
        now = time.monotonic()
        with self._changed:
            if self._closed:
                return
            known = self._waiting.get(root)
            self._waiting[root] = known[0] if known else now, now, settled
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            elif known is None:
                self._changed.notify()

    def close(self, patience: float = 5.0) -> None:
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(patience)

    def _run(self) -> None:
        while True:
            with self._changed:
                task = self._next()
            if task is None:
                return
            try:
                task()
            except LinkClosed:
                return
            except OSError as error:
                print("sidecar: changes could not be made durable: %s" % error, file=sys.stderr)

    def _next(self) -> Optional[Task]:
        """Waits until a root has settled; None: closed."""
        while not self._closed:
            now = time.monotonic()
            due = None
            for root, (first, latest, task) in self._waiting.items():
                at = min(first + self._patience, latest + self._quiet)
                if at <= now:
                    del self._waiting[root]
                    return task
                due = at if due is None else min(due, at)
            self._changed.wait(None if due is None else due - now)
        return None


def sync_file_system(descriptor: int) -> None:
    """Writes everything that waits on the file system which holds this open file or folder.

    Raises:
        OSError: something could not be written.
    """
    syncfs, last_error = _find_syncfs()
    if syncfs is None:
        os.sync()
    elif syncfs(descriptor):
        number = last_error()
        raise OSError(number, os.strerror(number))


@lru_cache(maxsize=1)
def _find_syncfs() -> Tuple[Any, Any]:
    """The system call, which Python does not have; Linux's alone. Looked for when it is needed,
    since ctypes takes its time to load."""
    try:
        import ctypes

        return ctypes.CDLL(None, use_errno=True).syncfs, ctypes.get_errno
    except (ImportError, AttributeError, OSError):
        return None, None
