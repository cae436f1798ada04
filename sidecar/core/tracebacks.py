"""Finds Python's tracebacks in a program's output, fed as it comes.

Known forms: the plain one; chained ones (the last is the one that ended the program); exception
groups (the group's own frames and message; what is inside it is left aside); syntax errors, which
come without a header; each also behind a prefix that some launchers put before every line
("[rank0]: "), with the colours of newer Pythons, and behind a progress bar on the same line. A
message of many lines is known by its first one.

A line ends with a newline or a carriage return. What is found does not depend on where the
output was cut into pieces.
"""

import re
from typing import List, NamedTuple, Optional

MAX_LINE = 8192
"""Bytes of a line that are looked at; a traceback's lines are shorter."""

MAX_CALLS = 200
"""Calls that are kept of one traceback: the outer half and the inner half of them."""

MAX_STRANGE = 5
"""Lines of others (threads, loggers) within a traceback, before it is given up."""

_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_HEADER = re.compile(r"(?:Exception Group )?Traceback \(most recent call last\):\s*$")
_CALL = re.compile(r' +File "(.+)", line (\d+)(?:, in (.+))?\s*$')
_ERROR = re.compile(r"[A-Za-z_][\w.<>]*(?::.*)?$")
_SYNTAX_ERROR = re.compile(r"(?:\w+\.)*(?:SyntaxError|IndentationError|TabError)\b")
_INNER = re.compile(r" {4,}[|+]")
"""Margin of what is inside an exception group; the group itself has two spaces."""


_MARKS = (b"Traceback (most", b'File "', b"\x1b")


class Call(NamedTuple):
    """One frame: `function` is "" for the place of a syntax error."""

    file: str
    line: int
    function: str


class Traceback(NamedTuple):
    """`calls`: outermost first. `error`: the line that names the exception."""

    calls: List[Call]
    error: str


class TracebackParser:
    """Fed with output in pieces of any size; knows the last whole traceback in it."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._last: Optional[Traceback] = None
        self._open = False
        self._headless = False
        self._group = False
        self._prefix = ""
        self._strange = 0
        self._calls: List[Call] = []

    def feed(self, data: bytes) -> None:
        """Takes the next bytes of the output."""
        lines = data.replace(b"\r", b"\n").split(b"\n")
        for piece in lines[:-1]:
            if self._line:
                self._extend(piece)
                self._take(bytes(self._line))
                self._line.clear()
            else:
                self._take(piece[:MAX_LINE])
        self._extend(lines[-1])

    def result(self) -> Optional[Traceback]:
        """The last traceback, its last line taken as whole; None where there is none. Called when
        the output is over."""
        if self._line:
            self._take(bytes(self._line))
            self._line.clear()
        return self._last

    def _extend(self, piece: bytes) -> None:
        self._line += piece[: max(0, MAX_LINE - len(self._line))]

    def _take(self, raw: bytes) -> None:
        # Nearly all lines of nearly all programs end here.
        if not self._open and not any(mark in raw for mark in _MARKS):
            return
        line = _COLOUR.sub("", raw.decode("utf-8", "replace"))
        header = _HEADER.search(line)
        if header is not None:
            self._begin(line[: header.start()])
        elif self._open:
            self._inside(self._without_prefix(line))
        else:
            self._outside(line)

    def _begin(self, prefix: str) -> None:
        if self._group and _INNER.match(prefix):
            return
        self._open, self._headless = True, False
        self._group = prefix.endswith("+ ")
        self._prefix = prefix[:-2] + "| " if self._group else prefix
        self._calls, self._strange = [], 0

    def _without_prefix(self, line: str) -> str:
        # A progress bar stands before the header only, a launcher's prefix before every line.
        return line[len(self._prefix) :] if line.startswith(self._prefix) else line

    def _inside(self, line: str) -> None:
        call = _CALL.match(line)
        if call is not None:
            self._call(call.group(1), call.group(2), call.group(3) or "")
        elif line[:1] in ("", " "):
            pass  # source, carets, "[Previous line repeated …]"
        elif self._headless and not _SYNTAX_ERROR.match(line):
            self._open = False
        elif _ERROR.match(line):
            self._last = Traceback(self._calls, line.rstrip())
            self._open = False
        else:
            self._strange += 1
            self._open = self._strange < MAX_STRANGE

    def _outside(self, line: str) -> None:
        """A syntax error in the program's own file has no header: it begins with its place."""
        call = _CALL.match(line)
        if call is not None and call.group(3) is None:
            self._begin("")
            self._headless = True
            self._call(call.group(1), call.group(2), "")

    def _call(self, file: str, line: str, function: str) -> None:
        if len(line) > 9:
            return  # no file has so many lines
        if len(self._calls) == MAX_CALLS:
            del self._calls[MAX_CALLS // 2]
        self._calls.append(Call(file, int(line), function))
