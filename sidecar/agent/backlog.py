"""Frames that wait for their handler, and the thread that works them off in order."""

import threading
from collections import deque
from typing import Callable, Deque, Tuple

BACKLOG = 64 << 20
"""Bytes of frames that may wait in one line. Then the wire is not read on, and the other side
feels it: better than an agent of gigabytes on a login node."""


class Backlog:
    """One line with its daemon thread, which starts with the first work.

    Args:
        most: bytes that may wait.
    """

    def __init__(self, name: str, most: int = BACKLOG) -> None:
        self._name, self._most = name, most
        self._work: Deque[Tuple[int, Callable[[], None]]] = deque()
        self._size = 0
        self._changed = threading.Condition()
        self._started = self._ending = False

    def put(self, size: int, work: Callable[[], None]) -> None:
        """Queues `work`, which must not raise; `size` is what it holds in memory, in bytes.
        Waits while too much is queued."""
        with self._changed:
            if not self._started:
                self._started = True
                threading.Thread(target=self._run, name=self._name, daemon=True).start()
            while self._size > self._most and not self._ending:
                self._changed.wait()
            self._work.append((size, work))
            self._size += size
            self._changed.notify_all()

    def end(self) -> None:
        """Forgets what waits; what is being done is left to finish."""
        with self._changed:
            self._ending = True
            self._work.clear()
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._work and not self._ending:
                    self._changed.wait()
                if self._ending:
                    return
                size, work = self._work.popleft()
            work()
            with self._changed:
                self._size -= size
                self._changed.notify_all()
