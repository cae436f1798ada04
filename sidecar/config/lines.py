"""Where in a TOML text a key stands, for messages and for `sidecar config`.

The parser keeps no lines. This is a reader of headers and first lines of assignments, good for
files as people write them; where it is not sure it says nothing (0), and nothing depends on it
but the number in a message.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

_PART = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_KEY = rf"{_PART}(?:\s*\.\s*{_PART})*"
_HEADER = re.compile(rf"\s*\[\s*({_KEY})\s*\]\s*(?:#.*)?")
_ARRAY_HEADER = re.compile(rf"\s*\[\[\s*({_KEY})\s*\]\]\s*(?:#.*)?")
_ASSIGNMENT = re.compile(rf"\s*({_KEY})\s*=(.*)")
_FENCES = ('"""', "'''")


def line_of(text: str, key: Sequence[str]) -> int:
    """The 1-based line where `key` is set, or the one of the nearest table around it; else 0."""
    wanted, places = tuple(key), _places(text)
    depths = range(len(wanted), 0, -1)
    return next((places[wanted[:depth]] for depth in depths if wanted[:depth] in places), 0)


@lru_cache(maxsize=8)
def _places(text: str) -> dict[tuple[str, ...], int]:
    """The first line of each key. Kept, since it is asked for key by key."""
    places: dict[tuple[str, ...], int] = {}
    for number, found, _ in assignments(text):
        places.setdefault(found, number)
    return places


def assignments(text: str) -> list[tuple[int, tuple[str, ...], bool]]:
    """Lines that begin a table (True) or an assignment (False), with the whole key of each."""
    found = []
    table: tuple[str, ...] = ()
    fence = ""
    depth = 0  # of brackets that an array opened on an earlier line
    for number, line in enumerate(text.splitlines(), 1):
        if fence:
            fence = "" if fence in line else fence
            continue
        if depth > 0:
            depth += _nesting(line)
            continue
        if header := _HEADER.fullmatch(line):
            table = _parts(header[1])
            found.append((number, table, True))
        elif array := _ARRAY_HEADER.fullmatch(line):
            table = (*_parts(array[1]), "[]")  # no setting of ours lives in one
        elif assignment := _ASSIGNMENT.fullmatch(line):
            found.append((number, table + _parts(assignment[1]), False))
            value = assignment[2]
            fence = next((mark for mark in _FENCES if value.count(mark) == 1), "")
            depth = 0 if fence else max(0, _nesting(value))
    return found


def _parts(key: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in re.findall(_PART, key))


def _nesting(text: str) -> int:
    """Brackets opened less brackets closed, outside of strings and comments."""
    bare = re.sub(r""""(?:\\.|[^"\\])*"?|'[^']*'?|#.*""", "", text)
    return bare.count("[") + bare.count("{") - bare.count("]") - bare.count("}")
