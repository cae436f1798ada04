"""Links from the places that a traceback names to the files here, for terminals that know OSC 8.

    File "/home/me/digits/train.py", line 31, in <module>
          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

of a program there is shown as it was printed, and leads to the project's file on this machine; so
does `tests/test_x.py:5: AssertionError` of pytest. Nothing but the link's escapes is added, and
nothing is taken away. None are made in the alternate screen (editors, pagers, htop draw there), nor
inside a link that the program made itself.

What may become a link is held back until its line number is there, or until `flush`: whoever feeds
this calls it soon where nothing follows, so that nobody waits for a program that waits for them.
"""

from __future__ import annotations

import os
import posixpath
import re
import socket
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import quote

MAX_PATH = 1024
"""Bytes of a path that is linked; longer ones are none."""

CONTEXT = 256
"""Bytes before the ones that come, in which a place may have begun."""

SOON = 0.05
"""Seconds after which what is held is shown, where nothing follows."""

_SGR = rb"(?:\x1b\[[0-9;:]*m)*"
_PATH = rb'(?P<file>[^"\x00-\x1f]{1,%d})' % MAX_PATH
_REPORTED = rb"(?P<report>[^\s:\x00-\x1f]{1,%d}\.py)" % MAX_PATH
_TOKENS = re.compile((
    rb"\x1b\[\?(?:1049|1047|47)(?P<alternate>[hl])"
    rb"|\x1b\]8;[^;\x07\x1b]*;(?P<link>[^\x07\x1b]*)(?:\x07|\x1b\\)"
    rb'|File SGR"SGR' + _PATH + rb'SGR"SGR, line SGR(?P<line>\d{1,9})(?=\D)'
    rb"|(?<=[\r\n])SGR" + _REPORTED + rb"SGR:(?P<at>\d{1,9})(?=:)"
).replace(b"SGR", _SGR))  # fmt: skip
_BEGUN = re.compile(
    rb"File " + _SGR + rb'(?P<from>")(?:[^"\r\n]{0,%d}(?:"[^\r\n]{0,64})?)?\Z' % (MAX_PATH + 64)
)
"""A place whose end is still to come."""

_MARKS = (b"File ", b".py", b"\x1b[?", b"\x1b]8;")
"""One of these is in whatever changes anything here."""

_END = b"\x1b]8;;\x1b\\"


class Folder(NamedTuple):
    """The same folder on both sides."""

    here: str
    there: str


def may_be_shown(descriptor: int) -> bool:
    """Whether it is a terminal whose person wants more than plain text."""
    plain = os.environ.get("TERM", "dumb") == "dumb" or bool(os.environ.get("NO_COLOR"))
    return not plain and os.isatty(descriptor)


class Linker:
    """One terminal's output, on its way there.

    Args:
        folders: the project's, the first one that holds a path counts.
        cwd: where the program runs, there: what relative names are relative to.
        is_file: whether there is something here to lead to.
    """

    patience = SOON

    def __init__(
        self,
        folders: list[Folder],
        cwd: str = "",
        is_file: Callable[[str], bool] = os.path.isfile,
    ) -> None:
        self._folders, self._cwd, self._is_file = folders, cwd, is_file
        self._machine = quote(socket.gethostname())
        self._context = b"\n"
        self._held = b""
        self._alternate = self._linked = False

    @property
    def holds(self) -> bool:
        return bool(self._held)

    def feed(self, data: bytes) -> bytes:
        """What to show of what was held and of `data`."""
        text = self._context + self._held + data
        shown = len(self._context)
        if not self._held and not any(mark in text for mark in _MARKS):
            self._context = text[-CONTEXT:]
            return data
        parts = []
        for token in _TOKENS.finditer(text):
            if token.end() <= len(self._context):
                continue
            if token["alternate"]:
                self._alternate = token["alternate"] == b"h"
            elif token["link"] is not None:
                self._linked = token["link"] != b""
            elif not (self._alternate or self._linked):
                path, line = ("file", "line") if token["file"] else ("report", "at")
                uri = self._uri(token[path], token[line])
                if uri and token.start(path) >= shown:
                    parts.append(text[shown : token.start(path)])
                    parts.append(b"\x1b]8;;%s\x1b\\" % uri.encode("ascii"))
                    parts.append(text[token.start(path) : token.end(line)] + _END)
                    shown = token.end(line)
        begun = self._begun(text, shown)
        until = begun.start("from") if begun else len(text)
        parts.append(text[shown:until])
        self._held = text[until:]
        self._context = text[max(0, until - CONTEXT) : until]
        return b"".join(parts)

    def _begun(self, text: bytes, shown: int) -> re.Match[bytes] | None:
        """A place whose path and line number are still to come, at least in part."""
        if self._alternate or self._linked:
            return None
        found = _BEGUN.search(text, max(0, text.rfind(b"\n", 0, shown)))
        return found if found and found.start("from") >= shown else None

    def flush(self) -> bytes:
        """What was held, as it is."""
        held, self._held = self._held, b""
        self._context = (self._context + held)[-CONTEXT:]
        return held

    def _uri(self, name: bytes, line: bytes) -> str:
        """Of the file here; "" where there is none."""
        try:
            path = name.decode("utf-8")
        except UnicodeDecodeError:
            return ""
        path = posixpath.normpath(posixpath.join(self._cwd or "/", path))
        for folder in self._folders:
            if path.startswith(folder.there.rstrip("/") + "/"):
                below = path[len(folder.there.rstrip("/")) + 1 :]
                here = os.path.join(folder.here, *below.split("/"))
                if self._is_file(here):
                    return f"file://{self._machine}{quote(here)}#{int(line)}"
        return ""
