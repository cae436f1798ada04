"""What a command says to a person, and how it asks: plain lines, aligned tables, /dev/tty.

Questions go to the terminal itself, so that redirected input and output stay the program's. Where
there is no terminal nothing is asked; the command then fails and names the option.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import termios
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import TextIO

from sidecar import api
from sidecar.errors import SidecarError

RED, GREEN, YELLOW, DIM = "31", "32", "33", "2"


def complain(error: SidecarError | str) -> None:
    """`sidecar: what: why. Fix.` on stderr."""
    print(f"{painted('sidecar:', RED)} {printable(str(error))}", file=sys.stderr, flush=True)


def say(text: str) -> None:
    """A line for the person, beside what a script would read."""
    # While a job has the terminal (screen.py), a line feed alone does not return.
    end = "\r\n" if _is_raw() else "\n"
    print(printable(text).replace("\n", end), file=sys.stderr, flush=True, end=end)


def _is_raw() -> bool:
    try:
        return not termios.tcgetattr(2)[1] & termios.OPOST
    except (termios.error, OSError):
        return False


def printable(text: str) -> str:
    """Without what could steer a terminal: much of what we print was said by a server."""
    return "".join(
        char if char.isprintable() or char in "\n\t" else f"\\x{ord(char):02x}" for char in text
    )


def one_line(text: str) -> str:
    """The same for a name, or what else is a part of a line: it cannot begin one of its own, which
    a person would take for ours."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def only_colours(text: str) -> str:
    """Lines of several that may be coloured, without what else could steer a terminal."""
    parts = _COLOUR.split(text)
    return "".join(part if number % 2 else printable(part) for number, part in enumerate(parts))


_COLOUR = re.compile(r"(\033\[[0-9;]*m|\033\[K)")


def has_colours(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def painted(text: str, colour: str, stream: TextIO | None = None) -> str:
    coloured = has_colours(stream or sys.stderr)
    return f"\033[{colour}m{text}\033[0m" if coloured else text


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, right: Collection[int] = ()
) -> str:
    """Columns as wide as their widest entry; the last one runs free. `right`: columns of numbers,
    which end under one another."""
    lines = [tuple(head), *(tuple(one_line(cell) for cell in row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    widths = [-width if column in right else width for column, width in enumerate(widths)]
    if len(head) - 1 not in right:
        widths[-1] = 0
    return "\n".join(
        "  ".join(
            f"{cell:>{-width}}" if width < 0 else f"{cell:<{width}}"
            for cell, width in zip(line, widths, strict=True)
        ).rstrip()
        for line in lines
    )


class Terminal:
    """The person at this terminal, if there is one."""

    def __init__(self, *, asks: bool = True, quiet: bool = False) -> None:
        self._asks, self._quiet = asks, quiet

    def secret(self, params: api.AskSecretParams) -> str | None:
        """The prompt in the server's words, the answer unseen."""
        with self._tty() as tty:
            if tty is None:
                return None
            if params.problem:
                tty.write(f"{printable(params.problem)}\n")
            prompt = printable(params.prompt)
            if not prompt.endswith(" "):
                prompt += " "
            try:
                if params.echo:
                    return _line(tty, prompt)
                import getpass

                return getpass.getpass(prompt, stream=tty)
            except EOFError:
                return None

    def choose(
        self, message: str, options: list[str], typed: Callable[[int], bool] = lambda tty: True
    ) -> str | None:
        """A numbered question. Anything but a number of it leaves it unanswered.

        Args:
            typed: waits until there is something to read; False where nobody asks any more.
        """
        with self._tty() as tty:
            if tty is None:
                return None
            tty.write(f"\r\x1b[K{printable(message)}\n")
            for number, option in enumerate(options, 1):
                tty.write(f"  {number}  {printable(option)}\n")
            try:
                tty.write(f"Choose 1-{len(options)} (Enter: {len(options)}): ")
                if not typed(tty.fileno()):
                    tty.write("not needed any more\n")
                    return None
                answer = _line(tty, "").strip()
            except EOFError:
                return None
            if not answer:
                return options[-1]
            if answer.isdigit() and 1 <= int(answer) <= len(options):
                return options[int(answer) - 1]
            return None

    def show(self, message: str, kind: int) -> None:
        """`kind` as in LSP: 1 error, 2 warning, 3 information, 4 log."""
        if kind <= 2 or (kind == 3 and not self._quiet):
            say(message)

    @contextlib.contextmanager
    def _tty(self) -> Iterator[TextIO | None]:
        if not self._asks:
            yield None
            return
        try:
            file = io.FileIO(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC), "r+")
        except OSError:
            yield None
            return
        tty = io.TextIOWrapper(file, encoding="utf-8", errors="replace", write_through=True)
        with tty:
            yield tty


def _line(tty: TextIO, prompt: str) -> str:
    tty.write(prompt)
    tty.flush()
    line = tty.readline()
    if not line:
        raise EOFError
    return line.rstrip("\n")
