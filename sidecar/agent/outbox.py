"""The agent's way out: any thread puts messages in, one thread writes them, lowest lane first."""

import os
import threading
import time
from typing import Callable

from sidecar.core import frames
from sidecar.core.credit import Credit
from sidecar.core.lanes import Lanes, flow_of
from sidecar.core.messages import Message, encode


class LinkClosed(Exception):
    """There is nobody to send to any more. A handler lets it pass: its work is over."""


class Outbox:
    """All methods may be called from any thread.

    Args:
        fd: where frames are written.
        broken: called once, from the writing thread, when nobody reads them any more.
    """

    def __init__(self, fd: int, broken: Callable[[], None]) -> None:
        self._fd = fd
        self._broken = broken
        self._credit = Credit()
        self._lanes = Lanes(self._credit)
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._write, name="outbox", daemon=True)
        self._thread.start()

    def send(self, message: Message, lane: int = frames.CONTROL) -> None:
        """Queues a message; on STREAMS and BULK waits while too much is queued already.

        Raises:
            LinkClosed: nothing can be sent any more.
        """
        data, flow = frames.encode(encode(message, lane)), flow_of(message, lane)
        with self._changed:
            while self._lanes.full(lane, flow) and not self._closing:
                self._changed.wait()
            if self._closing:
                raise LinkClosed
            self._lanes.put(lane, data, flow)
            self._changed.notify_all()

    def acknowledged(self, lane: int, processed: int) -> None:
        """The other side processed that much.

        Raises:
            credit.CreditError: it cannot have.
        """
        with self._changed:
            self._credit.acknowledged(lane, processed, time.monotonic())
            self._changed.notify_all()

    def close(self, seconds: float) -> None:
        """Lets what may still go out go, for at most that long."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join(seconds)

    def _write(self) -> None:
        while True:
            with self._changed:
                data = self._lanes.take(time.monotonic())
                while not data and not self._closing:
                    self._changed.wait()
                    data = self._lanes.take(time.monotonic())
                if not data:
                    return
                self._changed.notify_all()
            try:
                while data:
                    data = data[os.write(self._fd, data) :]
            except OSError:
                with self._changed:
                    self._closing = True
                    self._changed.notify_all()
                self._broken()
                return
