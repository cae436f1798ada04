"""This terminal, lent to a job: every key goes there as it is typed, what comes is shown as it is,
and the terminal is given back on every way out."""

from __future__ import annotations

import contextlib
import os
import signal
import termios
import tty
from collections.abc import Iterator


def is_ours() -> bool:
    """Whether a person sits at this command: stdin and stdout are a terminal, and we are in its
    foreground."""
    try:
        return os.isatty(0) and os.isatty(1) and os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False


def size() -> tuple[int, int]:
    """Rows and columns; the usual ones where the terminal does not know its own."""
    try:
        columns, rows = os.get_terminal_size(0)
    except OSError:
        columns = rows = 0
    return rows or 24, columns or 80


@contextlib.contextmanager
def lent() -> Iterator[Screen]:
    """The terminal of stdin, raw until the end of the block."""
    screen = Screen()
    screen.take()
    try:
        yield screen
    finally:
        screen.give_back()


class Screen:
    def __init__(self) -> None:
        self._before = termios.tcgetattr(0)

    def take(self) -> None:
        tty.setraw(0, termios.TCSADRAIN)

    def give_back(self) -> None:
        """As it was. A terminal that has gone (its window was closed) needs nothing."""
        with contextlib.suppress(termios.error, OSError):
            termios.tcsetattr(0, termios.TCSADRAIN, self._before)

    def suspend(self) -> None:
        """Stops this command as Ctrl-Z does; returns when the shell goes on with it."""
        self.give_back()
        os.kill(os.getpid(), signal.SIGSTOP)
        self.take()
