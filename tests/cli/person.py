"""A command on a terminal of its own, as a person has it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time

from tests.hub.laptop import COMMAND, PATIENCE, Laptop


class TerminalSession:
    """`text`: what is on the screen behind the last that was expected; `seen`: what stood before
    it."""

    def __init__(self, laptop: Laptop, *arguments: str) -> None:
        ours, theirs = pty.openpty()
        self._terminal = ours
        self.resize(30, 100)
        self.text = self.seen = ""
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=laptop.project,
            start_new_session=True,
            # What setsid made ours becomes the controlling terminal by opening it.
            preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)),
        )
        os.close(theirs)

    def expect(self, text: str, answer: str = "") -> None:
        """Waits for `text` behind all that was expected before, then types."""
        end = time.monotonic() + PATIENCE
        while text not in self.text:
            ready, _, _ = select.select([self._terminal], [], [], end - time.monotonic())
            assert ready, f"no {text!r} in {self.text!r}"
            try:
                self.text += os.read(self._terminal, 4096).decode()
            except OSError:
                raise AssertionError(f"it ended without {text!r}: {self.text!r}") from None
        before, _, self.text = self.text.partition(text)
        self.seen += before + text
        if answer:
            self.type(answer)

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def resize(self, rows: int, columns: int) -> None:
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, size)

    @property
    def echoes(self) -> bool:
        """The terminal is as a shell leaves it."""
        return bool(termios.tcgetattr(self._terminal)[3] & termios.ECHO)

    def close(self) -> None:
        """Closes the window; returns when the command has ended by it."""
        os.close(self._terminal)
        self.process.wait(PATIENCE)

    def wait(self) -> int:
        end = time.monotonic() + PATIENCE
        while True:
            ready, _, _ = select.select([self._terminal], [], [], end - time.monotonic())
            assert ready, self.text
            try:
                self.text += os.read(self._terminal, 4096).decode()
            except OSError:  # the last one who had it open has gone
                break
        os.close(self._terminal)
        return self.process.wait(PATIENCE)
