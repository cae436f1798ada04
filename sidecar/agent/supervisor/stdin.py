"""A job's stdin: bytes at offsets in, each of them typed once, however often it is sent."""

import os
import selectors
from typing import Callable

from sidecar.agent.supervisor import process

MOST_WAITING = 1 << 20
"""Bytes that the job has not read yet. The other side keeps far below; over it, it is broken."""

_PIECE = 1 << 16


class TooMuch(Exception):
    """The sender does not keep to what it was told."""


class Stdin:
    """The writing end of a job's stdin.

    Args:
        descriptor: non-blocking; the master side of a terminal where `terminal` says so.
        on_taken: called when `taken` may have grown.
    """

    def __init__(
        self,
        selector: selectors.BaseSelector,
        descriptor: int,
        terminal: bool,
        on_taken: Callable[[], None],
    ) -> None:
        self._selector, self.descriptor = selector, descriptor
        self._terminal, self._on_taken = terminal, on_taken
        self._waiting = bytearray()
        self._ends = self._ended = False
        self.open = True
        self.taken = 0
        """Bytes that the job got, or that were dropped since it takes none any more."""

    @property
    def offset(self) -> int:
        """What is to be sent next."""
        return self.taken + len(self._waiting)

    @property
    def waits(self) -> bool:
        """The job has yet to read something."""
        return bool(self._waiting)

    def take(self, offset: int, eof: bool, data: bytes) -> None:
        """Takes what comes at that offset. What was here before is left out; what begins behind
        a gap is left aside, and is sent again by whoever hears `taken`.

        Raises:
            TooMuch: nothing can be taken from this sender any more.
        """
        known = self.offset
        if offset <= known:
            self._waiting += data[known - offset :] if self.open else b""
            if eof and not self._ended:
                self._ends = self._ended = True
            if not self.open:
                self.taken = max(known, offset + len(data))
                self._waiting.clear()
        if len(self._waiting) > MOST_WAITING:
            raise TooMuch
        self._write()

    def end(self) -> None:
        """The job reads no more."""
        if self.open:
            self._want_to_write(False)
            self.open = False
            os.close(self.descriptor)

    def _write(self) -> None:
        """Gives the job what it takes now; the selector says when it takes more."""
        while self.open and self._waiting:
            try:
                written = os.write(self.descriptor, self._waiting[:_PIECE])
            except BlockingIOError:
                break
            except OSError:
                # It closed its stdin, or is gone: what comes is taken and dropped, as a shell
                # would have it.
                self.taken += len(self._waiting)
                self._waiting.clear()
                self.end()
                break
            del self._waiting[:written]
            self.taken += written
        if self.open and self._ends and not self._waiting:
            if self._terminal:
                self._ends = False
                self._waiting += process.end_of_input(self.descriptor)
                self.taken -= len(self._waiting)  # ours, not the sender's
                self._write()
                return
            self.end()
        self._want_to_write(bool(self._waiting))
        self._on_taken()

    def _want_to_write(self, wanted: bool) -> None:
        registered = self.open and self.descriptor in self._selector.get_map()
        if wanted and self.open and not registered:
            self._selector.register(self.descriptor, selectors.EVENT_WRITE, self._write)
        elif registered and not wanted:
            self._selector.unregister(self.descriptor)
