"""Finds the failed tests in what pytest prints, fed line by line, without colours.

    ________________________________ test_fit ________________________________

        def test_fit():
    >       assert fit(1) == 2
    E       assert 1 == 2
    E        +  where 1 = fit(1)

    tests/test_model.py:5: AssertionError

is its long style; in the short one each call is a line "tests/test_model.py:5: in test_fit" before
the lines with an E. Paths are relative to where pytest was started.
"""

import collections
import re
from typing import Deque, List, NamedTuple, Tuple

MAX_TESTS = 64
"""Failed tests that are kept: the last ones."""

MAX_CALLS = 100
MAX_MESSAGE = 40
"""Lines of a message that are kept: the first ones."""

CHAINED = (
    "The above exception was the direct cause of the following exception:",
    "During handling of the above exception, another exception occurred:",
)
"""What stands between two exceptions, in a traceback too."""

MAX_SILENT = 20_000
"""Lines without a place or a message, before a report is given up: the source of a long test, and
what it printed. What follows is looked through the quick way again."""

_BEGIN = re.compile(r"={3,} (?:FAILURES|ERRORS) ={3,}\s*$")
_OTHER = re.compile(r"={3,}(?: .* )?={3,}\s*$")
_TEST = re.compile(r"_{2,} (.+?) _{2,}\s*$")
_CAPTURED = re.compile(r"-{3,} Captured .* -{3,}\s*$")
_PLACE = re.compile(r"([^\s:>][^:]*):(\d{1,9}): ?(?:in (.+)|([A-Za-z_][\w.]*))?\s*$")
_ERROR = re.compile(r"E {3,}(.*)$")


class Failed(NamedTuple):
    """One failed test, or an error around it. `calls`: file, line and function, outermost first."""

    test: str
    calls: List[Tuple[str, int, str]]
    error: str
    message: str


class PytestReport:
    """`active`: within the part of the output that tells of failures. `captured`: within what a
    test printed."""

    def __init__(self) -> None:
        self.active = self.captured = False
        self._found: Deque[Failed] = collections.deque(maxlen=MAX_TESTS)
        self._test = ""
        self._reading = False
        self._silent = 0
        self._clear()

    def take(self, line: str) -> None:
        """The next line."""
        if _BEGIN.match(line):
            self._flush()
            self.active, self._silent = True, 0
        elif self.active:
            self._silent += 1
            self._inside(line)
            if self._silent > MAX_SILENT:
                self._flush()
                self.active = False

    def results(self) -> List[Failed]:
        """In the order of the output. Called when that is over."""
        self._flush()
        return list(self._found)

    def _inside(self, line: str) -> None:
        test = _TEST.match(line)
        if test is not None:
            self._flush()
            self._test, self._reading, self._silent = test.group(1), True, 0
        elif _OTHER.match(line):
            self._flush()
            self.active = False
        elif _CAPTURED.match(line):
            self._flush()
            self.captured = True
        elif self._reading:
            self._read(line)

    def _read(self, line: str) -> None:
        error, place = _ERROR.match(line), _PLACE.match(line)
        if line.rstrip() in CHAINED:
            self._clear()  # what was told so far led to what comes
        elif error is not None:
            self._silent = 0
            if len(self._errors) < MAX_MESSAGE:
                self._errors.append(error.group(1).rstrip())
        elif place is not None:
            self._silent = 0
            if len(self._calls) < MAX_CALLS:
                self._calls.append((place.group(1), int(place.group(2)), place.group(3) or ""))
            self._named = place.group(4) or ""

    def _flush(self) -> None:
        if self._reading and self._errors:
            lines = _dedented(self._errors)
            error = lines[0]
            if self._named and not error.startswith(self._named.rpartition(".")[2]):
                error = "%s: %s" % (self._named, error)
            message = "\n".join([error, *lines[1:]])
            self._found.append(Failed(self._test, self._calls, error, message))
        self._reading = self.captured = False
        self._clear()

    def _clear(self) -> None:
        self._calls: List[Tuple[str, int, str]] = []
        self._errors: List[str] = []
        self._named = ""
        """The exception's type, which stands behind the last place in the long style."""


def _dedented(lines: List[str]) -> List[str]:
    """As pytest indents what it tells, by where the code stands."""
    margin = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return [line[margin:] for line in lines]
