"""A supervisor that is started before there is a job for it, so that the next run need not wait
for Python's start: 20 to 40 ms, which is most of what a run takes beside the program's own start.

There is one at most, and only where somebody runs things: it is made a moment after a run, and
let go of when there was none for KEPT. It holds 12 MB, of which 6 are its own (Python's files are
shared), and uses no CPU. It waits for its pipe to speak, so it ends when the agent does, however
that happens.
"""

import sys
import threading
from typing import Callable, Optional

from sidecar.agent.supervisor import detach

LATER = 0.3
"""Seconds behind a run: the run's own first output goes ahead."""

KEPT = 900.0
"""Seconds: who has not run anything for so long can wait for Python."""


class Spare:
    """Thread-safe. `make` starts a supervisor, for tests."""

    def __init__(self, make: Callable[[], detach.Supervisor] = detach.Supervisor) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._waiting: Optional[detach.Supervisor] = None
        self._timer: Optional[threading.Timer] = None
        self._making = self._closed = False

    def take(self) -> Optional[detach.Supervisor]:
        """The one that waits; the caller's from now on. None: there is none, or it has died."""
        with self._lock:
            waiting, self._waiting = self._waiting, None
            if waiting is None or waiting.lives:
                return waiting
        waiting.dismiss()
        return None

    def prepare(self) -> None:
        """There was a run; there may be more."""
        with self._lock:
            coming = self._timer is not None and self._timer.function == self._fill
        # Runs in quick succession do not put it off. Elsewhere it could not show whose it is
        # (title.py).
        if not coming and sys.platform.startswith("linux"):
            self._after(LATER, self._fill)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._timer is not None:
                self._timer.cancel()
        self._let_go()

    def _after(self, seconds: float, task: Callable[[], None]) -> None:
        with self._lock:
            if self._closed:
                return
            if self._timer is not None:
                self._timer.cancel()
            self._timer = threading.Timer(seconds, task)
            self._timer.name = "spare supervisor"
            self._timer.daemon = True
            self._timer.start()

    def _fill(self) -> None:
        with self._lock:
            self._timer = None
            wanted = self._waiting is None and not self._making
            self._making = self._making or wanted
        if wanted:
            fresh = None
            try:
                fresh = self._make()
            except (detach.DetachError, OSError):
                pass  # a machine that is short of something; the next run says of what
            with self._lock:
                self._making = False
                if not self._closed:
                    self._waiting, fresh = fresh, None
            if fresh is not None:
                fresh.dismiss()
        with self._lock:
            anew = self._timer is not None  # there was a run meanwhile
        if not anew:
            self._after(KEPT, self._let_go)

    def _let_go(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.dismiss()
