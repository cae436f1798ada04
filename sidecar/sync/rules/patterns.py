"""Patterns of ignore files, as git reads and matches them.

A list answers for one path at a time and never for what is below it: ignore.py walks a path from
the top component down, as git does, so that `data/` with `!data/mini/` leaves `data/mini` out.
Libraries that answer for a whole path at once get such cases wrong, and cost 10 µs a path with 40
patterns, where a list here takes about 1 µs, since most patterns are names or endings that need
no regular expression.

git matches bytes, and so does this: names that are not ASCII are looked at as the characters of
their bytes (`as_bytes`), which also holds for names that are no UTF-8.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

MAX_FILE = 1 << 20
"""Of an ignore file only so many bytes are read; 20,000 patterns fit."""

_SPECIAL = frozenset("*?[\\")
_CLASSES = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "blank": " \\t",
    "cntrl": "\\x00-\\x1f\\x7f",
    "digit": "0-9",
    "graph": "\\x21-\\x7e",
    "lower": "a-z",
    "print": "\\x20-\\x7e",
    "punct": "\\x21-\\x2f\\x3a-\\x40\\x5b-\\x60\\x7b-\\x7e",
    "space": " \\t-\\r",
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}
_NEVER = "(?!)"

_DEEP, _ALL, _SOME = "(?:.*/)?", ".*", "[^/]*"
"""Wildcards: any folders, anything, anything but a slash."""
_LAZY = {_DEEP: "(?:.*?/)??", _ALL: ".*?", _SOME: "[^/]*?"}
_steps = itertools.count()


def as_bytes(path: str) -> str:
    """A path with each byte of its file-system form as one character."""
    if path.isascii():
        return path
    return path.encode("utf-8", "surrogateescape").decode("latin-1")


class Pattern(NamedTuple):
    """One line of an ignore file.

    `text` is the line as written, `source` says where it stands. `in_path`: matched against the
    path from the ignore file's folder, not against the name alone.
    """

    text: str
    source: str
    negated: bool
    folders_only: bool
    in_path: bool
    glob: str


def parse(line: str, source: str) -> Pattern | None:
    """The pattern in a line (its bytes as characters, see `as_bytes`), None where there is none."""
    if line.startswith("#"):
        return None
    glob = _without_trailing_spaces(line.partition("\0")[0])
    text = glob
    negated = glob.startswith("!")
    if negated:
        glob = glob[1:]
    folders_only = glob.endswith("/")
    if folders_only:
        glob = glob[:-1]
    if not glob:
        return None
    in_path = "/" in glob
    return Pattern(text, source, negated, folders_only, in_path, glob.removeprefix("/"))


def parse_file(content: bytes, source: str) -> list[Pattern]:
    """The patterns of an ignore file; `source` gets the line's number behind it."""
    content = content[:MAX_FILE].removeprefix(b"\xef\xbb\xbf")
    found = []
    for number, line in enumerate(content.decode("latin-1").split("\n"), 1):
        pattern = parse(line.removesuffix("\r"), f"{source}:{number}")
        if pattern is not None:
            found.append(pattern)
    return found


def parse_lines(lines: Iterable[str], source: str) -> list[Pattern]:
    """The patterns among lines of a configuration."""
    found = (parse(as_bytes(line), source) for line in lines)
    return [pattern for pattern in found if pattern is not None]


def _without_trailing_spaces(line: str) -> str:
    """Without the spaces at the end that no backslash protects."""
    end = at = 0
    while at < len(line):
        if line[at] == "\\":
            at += 1
            end = min(at + 1, len(line))
        elif line[at] != " ":
            end = at + 1
        at += 1
    return line[:end]


class PatternList:
    """The patterns of one source, of which the last that matches decides."""

    def __init__(self, patterns: Iterable[Pattern], *, fold: bool = False) -> None:
        """`fold`: upper and lower case are one (git's core.ignorecase)."""
        self.patterns = tuple(patterns)
        self._flags = _flags(fold)
        self._any = {True: _Any(self.patterns, fold), False: _Any(self._of_files(), fold)}
        self._compiled: dict[Pattern, re.Pattern[str]] = {}

    def _of_files(self) -> list[Pattern]:
        return [pattern for pattern in self.patterns if not pattern.folders_only]

    def __bool__(self) -> bool:
        return bool(self.patterns)

    def match(self, path: str, name: str, is_directory: bool) -> Pattern | None:
        """The last pattern that matches, if any does.

        Args:
            path: from the folder in which the list holds, `as_bytes`.
            name: the path's last component.
            is_directory: whether it is one; a link never is.
        """
        if not self._any[is_directory].matches(path, name):
            return None
        for pattern in reversed(self.patterns):
            if pattern.folders_only and not is_directory:
                continue
            if self._regex(pattern).fullmatch(path if pattern.in_path else name):
                return pattern
        return None

    def _regex(self, pattern: Pattern) -> re.Pattern[str]:
        found = self._compiled.get(pattern)
        if found is None:
            text = translate(pattern.glob, in_path=pattern.in_path)
            found = self._compiled[pattern] = re.compile(text, self._flags)
        return found


class _Any:
    """Whether any of some patterns matches: the question that nearly every path answers with no."""

    def __init__(self, patterns: Iterable[Pattern], fold: bool) -> None:
        self._names: set[str] = set()
        endings: list[str] = []
        by_name: list[str] = []
        by_path: list[str] = []
        for pattern in patterns:
            glob, tail = pattern.glob, pattern.glob[1:]
            if pattern.in_path:
                by_path.append(translate(glob, in_path=True))
            elif not fold and not _SPECIAL & set(glob):
                self._names.add(glob)
            elif not fold and glob.startswith("*") and not _SPECIAL & set(tail):
                endings.append(tail)
            else:
                by_name.append(translate(glob, in_path=False))
        self._endings = tuple(endings)
        self._by_name, self._by_path = _one_of(by_name, fold), _one_of(by_path, fold)

    def matches(self, path: str, name: str) -> bool:
        return (
            name in self._names
            or name.endswith(self._endings)
            or (self._by_name is not None and self._by_name.fullmatch(name) is not None)
            or (self._by_path is not None and self._by_path.fullmatch(path) is not None)
        )


def _one_of(expressions: list[str], fold: bool) -> re.Pattern[str] | None:
    if not expressions:
        return None
    return re.compile("|".join(f"(?:{one})" for one in expressions), _flags(fold))


def _flags(fold: bool) -> re.RegexFlag:
    return re.DOTALL | re.IGNORECASE | re.ASCII if fold else re.DOTALL


def translate(glob: str, *, in_path: bool) -> str:
    """A regular expression that matches what git's wildmatch does.

    As there, what stands before the first special character is compared first and the rest taken
    by itself, so that `**` right behind it counts as if it stood behind a slash.
    """
    start = next((at for at, char in enumerate(glob) if char in _SPECIAL), len(glob))
    out = [re.escape(glob[:start])]
    glob, at = glob[start:], 0
    not_slash = "[^/]" if in_path else "."
    while at < len(glob):
        char = glob[at]
        if char == "*":
            first = at
            while at < len(glob) and glob[at] == "*":
                at += 1
            out.append(_stars(glob, first, at, in_path))
            if out[-1] == _DEEP:
                at += 1
        elif char == "?":
            out.append(not_slash)
            at += 1
        elif char == "[":
            text, at = _bracket(glob, at, in_path)
            out.append(text)
        elif char == "\\":
            if at + 1 == len(glob):
                return _NEVER
            out.append(re.escape(glob[at + 1]))
            at += 2
        else:
            out.append(re.escape(char))
            at += 1
    if not in_path:
        return _stepwise(out, {_ALL: _LAZY[_ALL]})
    blocks = _split(out, (_DEEP, _ALL))
    parts = [part for block in blocks for part in _block(block)]
    return _stepwise(parts, {wild: _LAZY[wild] for wild in (_DEEP, _ALL)})


def _block(pieces: Sequence[str]) -> list[str]:
    """What lies between two `**`, with the first one, if there is one, as a piece of its own."""
    behind = pieces[:1] if pieces[0] in (_DEEP, _ALL) else []
    return [*behind, _stepwise(pieces[len(behind) :], {_SOME: _LAZY[_SOME]})]


def _stepwise(pieces: Sequence[str], lazy: Mapping[str, str]) -> str:
    """The pieces as one expression that takes, for each wildcard but the last, the first place
    where what follows it matches, and never another: the next wildcard takes up whatever a later
    place would have skipped. Python's engine would try them all, and a line of ten stars in a
    cloned .gitignore would keep it busy for hours (as `fnmatch` does, for the same reason)."""
    first, *others = _split(pieces, lazy)
    out = list(first)
    for block in others[:-1]:
        name = f"step{next(_steps)}"
        out.append(f"(?=(?P<{name}>{lazy[block[0]]}{''.join(block[1:])}))(?P={name})")
    return "".join([*out, *(others[-1] if others else ())])


def _split(pieces: Sequence[str], wildcards: Iterable[str]) -> list[list[str]]:
    """The pieces before the first of these wildcards, then each with what is behind it."""
    blocks: list[list[str]] = [[]]
    for piece in pieces:
        if piece in wildcards:
            blocks.append([])
        blocks[-1].append(piece)
    return blocks


def _stars(glob: str, first: int, behind: int, in_path: bool) -> str:
    """One or more stars, which stand in [first, behind)."""
    if not in_path:
        return _ALL
    rest = glob[behind:]
    if behind - first > 1 and (first == 0 or glob[first - 1] == "/"):
        if rest.startswith("/"):
            return _DEEP
        if not rest or rest.startswith("\\/"):
            return _ALL
    return _SOME


def _bracket(glob: str, at: int, in_path: bool) -> tuple[str, int]:
    """A set of characters that begins at `at`, and the place behind it."""
    at += 1
    negated = glob[at : at + 1] in ("!", "^")
    at += negated
    parts: list[str] = []
    previous = ""
    first = True
    while True:
        if at >= len(glob):
            return _NEVER, len(glob)
        char = glob[at]
        if char == "]" and not first:
            break
        first = False
        if char == "-" and previous and glob[at + 1 : at + 2] not in ("", "]"):
            at += 1
            high = glob[at]
            if high == "\\":
                at += 1
                high = glob[at : at + 1]
                if not high:
                    return _NEVER, len(glob)
            if previous <= high:
                parts.append(f"{re.escape(previous)}-{re.escape(high)}")
            previous = ""
            at += 1
        elif char == "[" and glob[at + 1 : at + 2] == ":":
            end = glob.find("]", at + 2)
            if end < 0:
                return _NEVER, len(glob)
            if end == at + 2 or glob[end - 1] != ":":
                # Not a class after all: the bracket stands for itself.
                parts.append("\\[")
                previous = "["
                at += 1
                continue
            known = _CLASSES.get(glob[at + 2 : end - 1])
            if known is None:
                return _NEVER, len(glob)
            parts.append(known)
            previous = ""
            at = end + 1
        else:
            if char == "\\":
                at += 1
                char = glob[at : at + 1]
                if not char:
                    return _NEVER, len(glob)
            parts.append(re.escape(char))
            previous = char
            at += 1
    at += 1
    slash = "(?!/)" if in_path else ""
    if not parts:
        return (slash + "." if negated else _NEVER), at
    return f"{slash}[{'^' if negated else ''}{''.join(parts)}]", at
