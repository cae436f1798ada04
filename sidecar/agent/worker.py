"""A thread of one's own for work that must not hold up whoever asks for it."""

import sys
import threading
import traceback
from collections import deque
from typing import Callable, Deque, List, Optional

from sidecar.agent.outbox import LinkClosed

MOST = 10000
"""Tasks that may wait. Each belongs to a message that somebody waits for an answer to."""


class Worker:
    """Runs tasks one after another on a thread that starts with the first one."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._tasks: Deque[Callable[[], None]] = deque()
        self._changed = threading.Condition()
        self._thread: Optional[threading.Thread] = None
        self._closed = False

    def submit(self, task: Callable[[], None]) -> bool:
        """Whether the task will be run: not after `close`, nor with too many waiting."""
        with self._changed:
            if self._closed or len(self._tasks) >= MOST:
                return False
            self._tasks.append(task)
            self._changed.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            return True

    def close(self, patience: float = 5.0) -> List[Callable[[], None]]:
        """Ends the thread. Returns the tasks that are left undone; the one that runs may take
        `patience` seconds more."""
        with self._changed:
            self._closed = True
            undone = list(self._tasks)
            self._tasks.clear()
            self._changed.notify()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(patience)
        return undone

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._tasks and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return
                task = self._tasks.popleft()
            try:
                task()
            except LinkClosed:
                pass  # nobody is left to hear of it; `close` follows
            except Exception:  # noqa: BLE001 - one task's error must not end the others'
                traceback.print_exc(file=sys.stderr)
