"""The agent's end of one supervisor's socket.

A thread of its own reads what the supervisor says; whoever waits for the log to grow waits here,
woken by the supervisor, not by a clock. Words to the supervisor are written by whoever has them:
there are never more than fit the socket's buffer (messages.INPUT_WINDOW), so that this does not
wait.
"""

import socket
import threading
from typing import Any, Callable, Optional

from sidecar.agent.supervisor import control, records
from sidecar.core import frames

CONNECT = 5.0
"""Seconds; a supervisor that does not accept for so long is stuck on a dead disk."""

GREW = "grew"
ENDED = "ended"
GONE = "gone"
"""The connection ended: the supervisor is gone, or this end was closed."""


class Attachment:
    """May be used by any thread. It begins to listen with `start`.

    Args:
        record: the job, in state RUNNING.
        on_taken: called with the offset below which stdin needs no resending.
        on_signalled: called with a `signal`'s tag, and why it was not sent, or "".
        on_stuck: called with why the log's disk takes nothing, "" when it does again.
        on_gone: called once, when the connection has ended.
    Raises:
        OSError, control.ControlError: the supervisor cannot be reached.
    """

    def __init__(
        self,
        record: records.Record,
        on_taken: Callable[[int], None],
        on_signalled: Callable[[int, str], None],
        on_stuck: Callable[[str], None],
        on_gone: Callable[["Attachment"], None],
    ) -> None:
        self._on_taken, self._on_signalled = on_taken, on_signalled
        self._on_stuck, self._on_gone = on_stuck, on_gone
        self._changed = threading.Condition()
        self.taken: Optional[int] = None
        """Below this offset of stdin nothing needs resending; None until the supervisor said."""
        self._size = 0
        self._ended = False
        self._gone = False
        self._socket = control.connect(record.socket, CONNECT)
        self._socket.settimeout(None)
        self._thread = threading.Thread(target=self._read, name="job %s" % record.id, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wait(self, offset: int, stopped: Callable[[], bool]) -> str:
        """Returns GREW when the log is longer than `offset`, ENDED when the job has ended and it
        is not, GONE when nobody can tell any more, or when `stopped` says so after `wake`."""
        if self._size <= offset:
            self.say("watch", offset)
        with self._changed:
            self._changed.wait_for(
                lambda: self._size > offset or self._ended or self._gone or stopped()
            )
            if self._size > offset:
                return GREW
            return ENDED if self._ended else GONE

    def wake(self) -> None:
        """Lets those who wait look whether they were stopped."""
        with self._changed:
            self._changed.notify_all()

    def say(self, name: str, *values: Any, body: bytes = b"") -> bool:
        """Tells the supervisor something; False where it cannot be told any more."""
        try:
            self._socket.sendall(control.encode(name, *values, body=body))
        except OSError:
            return False  # the reading thread finds out by itself
        return True

    def close(self) -> None:
        """Ends the connection; the job runs on."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it had ended already
        if not self._thread.is_alive():
            self._socket.close()

    def _read(self) -> None:
        decoder = frames.FrameDecoder()
        try:
            while True:
                data = self._socket.recv(65536)
                if not data:
                    break
                for frame in decoder.feed(data):
                    self._take(control.decode(frame))
        except (OSError, frames.FrameError, control.ControlError, TypeError, ValueError):
            pass  # whatever it was, nothing can be believed that comes behind it
        with self._changed:
            self._gone = True
            self._changed.notify_all()
        self._socket.close()
        self._on_gone(self)

    def _take(self, word: control.Word) -> None:
        if word.name == "grew":
            with self._changed:
                self._size = max(self._size, int(word.values[0]))
                self._changed.notify_all()
        elif word.name == "ended":
            with self._changed:
                self._ended = True
                self._changed.notify_all()
        elif word.name in ("took", "hello"):
            self.taken = int(word.values[-1])
            self._on_taken(self.taken)
        elif word.name == "stuck":
            self._on_stuck(str(word.values[0]))
        elif word.name == "signalled":
            self._on_signalled(int(word.values[0]), str(word.values[1]))
