"""Finds Python's tracebacks in a program's output, fed as it comes.

Known forms: the plain one, with messages of many lines and notes; chained ones; exception groups
with what is inside them; syntax errors, which come without a header; "Original Traceback" of a
worker; pytest's reports (pytest_report.py). Each also behind a prefix that a launcher puts before
every line ("[rank0]: ", "[1,0]<stderr>:", "(train pid=7) "), those of several ranks mixed; with the
colours of newer Pythons; and behind a progress bar on the same line.

A line ends with a newline or a carriage return. What is found does not depend on where the output
was cut into pieces, and what is kept is bounded: MAX_FOUND tracebacks of MAX_CALLS calls.
"""

import collections
import re
from typing import Callable, Deque, Dict, List, NamedTuple, Optional, Tuple

from sidecar.core.pytest_report import CHAINED, PytestReport

MAX_LINE = 8192
"""Bytes of a line that are looked at; a traceback's lines are shorter."""

MAX_CALLS = 200
"""Calls that are kept of one traceback: the outer half and the inner half of them."""

MAX_STRANGE = 5
"""Lines of others (threads, loggers) within a traceback, before it is given up."""

MAX_MESSAGE = 40
"""Lines that may follow the one that names the exception, and are taken for its message. A program
that goes on printing behind a traceback has more, and then the first one is all of it."""

MAX_SILENT = 500
"""Lines within a traceback that say nothing, before it is given up: source and carets are some.
What follows is looked through the quick way again."""

MAX_FOUND = 64
"""Tracebacks that are kept: the last ones."""

MAX_PREFIXES = 64
"""Ranks whose tracebacks may be open at the same time."""

_COLOUR = re.compile(r"\x1b(?:\[[0-9;:?]*[A-Za-z]|\][^\x07\x1b]*(?:\x07|\x1b\\))")
_HEADER = re.compile(r"(?:(?:Exception Group|Original) )?Traceback \(most recent call last\):\s*$")
_CALL = re.compile(r' +File "(.+)", line (\d+)(?:, in (.+))?\s*$')
_PLACE = re.compile(r'(.*?) {2}File "([^"]+)", line (\d+)\s*$')
"""Of a syntax error, which may stand behind a prefix."""

_ERROR = re.compile(r"[^\W\d][\w.<>]*(?::.*)?$")
_SYNTAX_ERROR = re.compile(r"(?:\w+\.)*(?:SyntaxError|IndentationError|TabError)\b")
_GROUP = re.compile(r" *\+ $")
_MARGIN = re.compile(r" *\|(?: (.*)|)$")
_SEPARATOR = re.compile(r" *\+-[+-]-{4,}(?P<end>-*$)?")
_LAUNCHER = re.compile(r"\s*(?:\[[^\]\s]+\](?:<\w+>)?:?|\([^)]*\)|\d+:|[\w.-]+ +\|) ?$")
"""What stands before every line. Before a header alone may be anything: a bar, "Original "."""
_RULE = re.compile(r"[=_-]{8,}")
"""Of a report around tracebacks: nothing of theirs."""

_NO_MODULE = re.compile(r"\S*python[\d.]*: (No module named .+|can't open file .+)$")
"""What an interpreter says of itself, without a traceback."""

_MARKS = (
    b"Traceback (most",
    b'File "',
    b"= FAILURES =",
    b"= ERRORS =",
    b"Exception ignored",
    b": No module named ",
    b": can't open file ",
)


class Call(NamedTuple):
    """One frame: `function` is "" for the place of a syntax error."""

    file: str
    line: int
    function: str


class Traceback(NamedTuple):
    """`calls`: outermost first. `error`: the line that names the exception.

    `message`: all of what it says, notes too. `kind`: "" for one that ended the program, or a test;
    "chained" where another one followed from it; "inside" for a part of an exception group;
    "ignored" where Python said so. `test`: pytest's name of the failed test.
    """

    calls: List[Call]
    error: str
    message: str = ""
    kind: str = ""
    test: str = ""


class _Found:
    """A traceback whose message may still go on."""

    def __init__(self, calls: List[Call], error: str, kind: str) -> None:
        self._calls, self._error, self.kind = calls, error, kind
        self.more: List[str] = []

    def value(self) -> Traceback:
        message = "\n".join([self._error, *self.more])
        return Traceback(self._calls, self._error, message, self.kind)


class TracebackParser:
    """Fed with output in pieces of any size."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._found: Deque[_Found] = collections.deque(maxlen=MAX_FOUND)
        self._readers: Dict[str, _Reader] = {}
        """By the prefix of their lines; those that are within a traceback, or right behind one."""
        self._report = PytestReport()
        self._ignored = False

    def feed(self, data: bytes) -> None:
        """Takes the next bytes of the output."""
        data = data.replace(b"\r", b"\n")
        if self._line:
            rest, newline, data = data.partition(b"\n")
            self._extend(rest)
            if not newline:
                return
            self._take(bytes(self._line))
            self._line.clear()
        whole, _, rest = data.rpartition(b"\n")
        # Nearly all output of nearly all programs ends here, at 200 MB a second.
        if not self._idle or any(mark in whole for mark in _MARKS):
            for line in whole.split(b"\n"):
                self._take(line[:MAX_LINE])
        self._extend(rest)

    @property
    def _idle(self) -> bool:
        return not self._readers and not self._report.active

    def results(self) -> List[Traceback]:
        """All that was found, pytest's first, else in its order; the last line taken as whole.
        Called when the output is over."""
        if self._line:
            self._take(bytes(self._line))
            self._line.clear()
        tests = [
            Traceback([Call(*call) for call in one.calls], one.error, one.message, "", one.test)
            for one in self._report.results()
        ]
        return tests + [one.value() for one in self._found]

    def result(self) -> Optional[Traceback]:
        """The last one that ended something; None where there is none."""
        found = self.results()
        return next((one for one in reversed(found) if not one.kind), found[-1] if found else None)

    def _extend(self, piece: bytes) -> None:
        self._line += piece[: max(0, MAX_LINE - len(self._line))]

    def _take(self, raw: bytes) -> None:
        if self._idle and not any(mark in raw for mark in _MARKS):
            return
        line = _COLOUR.sub("", raw.decode("utf-8", "replace"))
        self._report.take(line)
        if self._report.captured:
            return  # what a test printed, which may be a traceback, is no failure of its own
        header = _HEADER.search(line)
        if header is not None:
            self._begin(line, line[: header.start()])
            return
        prefix, reader = self._reader_of(line)
        if reader is None:
            self._outside(line)
            return
        reader.take(line[len(prefix) :])
        if reader.over:
            del self._readers[prefix]

    def _begin(self, line: str, prefix: str) -> None:
        outer, reader = self._reader_of(line)
        if reader is not None and reader.has_margin(prefix[len(outer) :]):
            reader.begin_part()
            return
        group = _GROUP.search(prefix)
        reader = self._reader(prefix[: group.start()] if group else prefix)
        reader.begin(group=group is not None, ignored=self._ignored)
        self._ignored = False

    def _outside(self, line: str) -> None:
        """A syntax error in the program's own file has no header: it begins with its place. What an
        interpreter says of itself has not even that."""
        place, own = _PLACE.match(line), _NO_MODULE.match(line)
        if place is not None:
            reader = self._reader(place.group(1))
            reader.begin(headless=True)
            reader.take(line[len(place.group(1)) :])
        elif own is not None:
            self._found.append(_Found([], own.group(1), ""))
        self._ignored = line.startswith("Exception ignored in")

    def _reader(self, prefix: str) -> "_Reader":
        reader = self._readers.pop(prefix, None)
        if reader is None:
            if len(self._readers) == MAX_PREFIXES:
                del self._readers[next(iter(self._readers))]
            reader = _Reader(self._found.append, not prefix or bool(_LAUNCHER.match(prefix)))
        self._readers[prefix] = reader
        return reader

    def _reader_of(self, line: str) -> "Tuple[str, Optional[_Reader]]":
        """The reader that a line is for, and the prefix that it has before what is the reader's."""
        mine = [prefix for prefix in self._readers if prefix and line.startswith(prefix)]
        if mine:
            prefix = max(mine, key=len)
            self._readers[prefix].sure = True
            return prefix, self._readers[prefix]
        for prefix, reader in self._readers.items():
            if not reader.sure:  # a bar, which stood before the header alone
                del self._readers[prefix]
                reader.sure = True
                self._readers[""] = reader
                break
        return "", self._readers.get("")


class _Reader:
    """The lines behind one prefix, from a header on until the exception's message is over."""

    def __init__(self, found: Callable[[_Found], None], sure: bool) -> None:
        self.sure = sure
        """Whether the prefix stands before each line."""
        self._found = found
        self._calls: Optional[List[Call]] = None
        """Of the traceback that is being read."""
        self._said: Optional[_Found] = None
        """The one whose message is being read, and"""
        self._left = 0
        """how many lines of it may follow."""
        self._headless = self._ignored = False
        self._group = self._inside = self._parted = self._closed = False
        """Within an exception group; within one of its parts; right behind a line that parts; and
        that ends. (A message's further lines had no margin before Python 3.13.)"""
        self._outer: Optional[_Found] = None
        """The group itself."""
        self._strange = self._silent = 0

    @property
    def over(self) -> bool:
        return self._calls is None and self._said is None and not self._group

    def has_margin(self, text: str) -> bool:
        """Whether what stands before a header is the margin of the group that is being read."""
        return self._group and _MARGIN.match(text) is not None

    def begin(self, *, group: bool = False, headless: bool = False, ignored: bool = False) -> None:
        """A header came."""
        self._group, self._inside, self._closed = group, False, False
        self._headless, self._ignored = headless, ignored
        self.begin_part()

    def begin_part(self) -> None:
        """A header came within the margin of the group."""
        self._silent = 0
        self._calls, self._said, self._strange, self._parted = [], None, 0, False

    def take(self, line: str) -> None:
        self._silent += 1
        if self._silent > MAX_SILENT:
            self._group, self._calls, self._said = False, None, None
            return
        if self._group:
            separator, margin = _SEPARATOR.match(line), _MARGIN.match(line)
            if separator is not None:
                self._silent = 0
                self._calls = self._said = None
                self._inside = self._parted = True
                self._closed = separator.group("end") is not None
                return
            if margin is not None:
                line = margin.group(1) or ""
            elif self._closed and line.strip():  # a terminal's lines have an empty one behind them
                self._group = self._inside = self._parted = False
                self._said, self._left = self._outer, 0
        if self._calls is not None:
            self._frame(self._calls, line)
        elif self._parted and _ERROR.match(line):
            self._end([], line)  # it was never raised, so nobody called
        elif self._said is not None:
            self._message(self._said, line)

    def _frame(self, calls: List[Call], line: str) -> None:
        call = _CALL.match(line)
        if call is not None:
            self._silent = 0
            if len(call.group(2)) > 9:
                return  # no file has so many lines
            if len(calls) == MAX_CALLS:
                del calls[MAX_CALLS // 2]
            calls.append(Call(call.group(1), int(call.group(2)), call.group(3) or ""))
        elif line[:1] in ("", " "):
            pass  # source, carets, "[Previous line repeated …]"
        elif self._headless and not _SYNTAX_ERROR.match(line):
            self._calls = None
        elif _ERROR.match(line):
            self._end(calls, line)
        else:
            self._strange += 1
            if self._strange == MAX_STRANGE:
                self._calls = None

    def _end(self, calls: List[Call], line: str) -> None:
        kind = "ignored" if self._ignored else "inside" if self._inside else ""
        self._said = _Found(calls, line.rstrip(), kind)
        self._calls, self._left, self._parted = None, MAX_MESSAGE, False
        if self._group and not self._inside:
            self._outer = self._said
        self._found(self._said)

    def _message(self, said: _Found, line: str) -> None:
        if line.strip() in CHAINED:
            said.kind = "chained"
            self._said = None
        elif _RULE.match(line):
            self._said = None
        elif line.strip(' "'):  # what another process said stands in quotes
            self._left -= 1
            if self._left >= 0:
                said.more.append(line.rstrip())
            else:
                self._said = None
                if said is not self._outer:
                    said.more.clear()
