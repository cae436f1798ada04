"""What the editor underlines: the tracebacks of the last failed run, and paths in conflict.

Two sources publish for the same files, and LSP replaces all diagnostics of a file at once; so both
are kept here and told together.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from lsprotocol import types
from pygls import uris

from sidecar import api
from sidecar.hub.moments import when
from sidecar.lsp import decisions

Source = Literal["traceback", "notes"]
LineEnd = Callable[[str, int], int]
"""Of a local path and a line from 0: the line's length in the client's position encoding."""

MAX_PATHS = 100
"""Files with a note that are told; more would bury the rest, and `status` counts them all."""


MAX_FAILURES = 50
"""Tracebacks of one run that are told, the last ones."""

_SEVERITY = {"chained": types.DiagnosticSeverity.Information}

LARGEST_SOURCE = 16 << 20
"""Bytes of a file in which the end of a line is looked for."""


def is_source(path: str) -> bool:
    """Whether a file that a traceback names may be read for it. The program there wrote that, and
    a project may hold a link of that name to a device, which has no end."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size <= LARGEST_SOURCE


class Board:
    """The diagnostics of one client."""

    def __init__(
        self, publish: Callable[[types.PublishDiagnosticsParams], None], line_end: LineEnd
    ) -> None:
        self._publish, self._line_end = publish, line_end
        self._open: dict[tuple[str, str], dict[str, str]] = {}
        self._held: dict[tuple[Source, str], dict[str, list[types.Diagnostic]]] = {}
        self._ended: api.Exited | None = None

    def traceback(self, end: api.Exited | None) -> None:
        """Shows where what went wrong in a run came from; None takes it away. What the person ended
        by Ctrl-C did not go wrong."""
        found: dict[str, list[types.Diagnostic]] = {}
        self._ended = end
        for failure in _to_show(end) if end else []:
            assert end is not None
            local = [frame for frame in failure.frames if frame.local]
            place = local[-1]
            at = found.setdefault(_uri(place.path), [])
            one = types.Diagnostic(
                self._line(place.path, place.line),
                _message(failure, end),
                severity=_SEVERITY.get(failure.kind, types.DiagnosticSeverity.Error),
                source=f"sidecar: {end.host}",
                related_information=[
                    types.DiagnosticRelatedInformation(
                        types.Location(_uri(one.path), self._line(one.path, one.line)),
                        f"called in {one.name}" if one.name else "called here",
                    )
                    for one in reversed(local[:-1])
                ],
            )
            if one not in at:  # many ranks fail in the same way
                at.append(one)
        self._replace(("traceback", ""), found)

    def failed_in(self, uri: str) -> tuple[str, str]:
        """The job and the host of the run whose traceback is shown in a file; "" for others."""
        if self._ended is None or uri not in self._held.get(("traceback", ""), {}):
            return "", ""
        return self._ended.job, self._ended.host

    def notes(self, root: str, host: str, notes: Sequence[api.PathNote]) -> None:
        """Shows what needs the person in a project on a host, at the top of each file."""
        found: dict[str, list[types.Diagnostic]] = {}
        open_: dict[str, str] = {}
        for note in notes[:MAX_PATHS]:
            warns = note.kind in ("conflict", "refused")
            severity = types.DiagnosticSeverity.Warning if warns else None
            uri = _uri(f"{root}/{note.path}")
            if note.kind in decisions.DECIDED:
                open_[uri] = f"{root}/{note.path}"
            found.setdefault(uri, []).append(
                types.Diagnostic(
                    types.Range(types.Position(0, 0), types.Position(0, 0)),
                    _said(note, host),
                    severity=severity or types.DiagnosticSeverity.Information,
                    source="sidecar",
                    code=note.kind,
                )
            )
        self._open[root, host] = open_
        self._replace(("notes", f"{root}\0{host}"), found)

    def to_decide(self, uri: str) -> tuple[str, str]:
        """The local path and the host of a file about which there is something to decide; "" for
        others."""
        for (_, host), open_ in self._open.items():
            for other, path in open_.items():
                if other == uri:
                    return path, host
        return "", ""

    def _replace(
        self, key: tuple[Source, str], found: Mapping[str, list[types.Diagnostic]]
    ) -> None:
        before = self._held.get(key, {})
        self._held[key] = dict(found)
        for uri in {uri for uri in {*before, *found} if before.get(uri) != found.get(uri)}:
            whole = [one for held in self._held.values() for one in held.get(uri, [])]
            self._publish(types.PublishDiagnosticsParams(uri, whole))

    def _line(self, path: str, line: int) -> types.Range:
        """Lines of tracebacks count from 1."""
        number = max(line - 1, 0)
        end = self._line_end(path, number)
        return types.Range(types.Position(number, 0), types.Position(number, end))


def _to_show(end: api.Exited) -> list[api.Failure]:
    failures = end.failures or [api.Failure(error=end.error, frames=end.frames)]
    return [
        one
        for one in failures[-MAX_FAILURES:]
        if any(frame.local for frame in one.frames)
        and one.kind != "ignored"
        and one.error != "KeyboardInterrupt"
    ]


def _message(failure: api.Failure, end: api.Exited) -> str:
    text = failure.message or failure.error or f"the run on {end.host} failed here"
    if failure.kind == "chained":
        text += "\n(another exception followed from it)"
    if failure.test:
        text = f"{failure.test}: {text}"
    if end.advice and (failure.error, failure.frames) == (end.error, end.frames):
        text += f"\n{end.advice}"
    return text


def _said(note: api.PathNote, host: str) -> str:
    """What happened, who did it and when: "conflict with gpu1: changed both here and on the remote;
    here 14:01:12, there 14:02:40 by bob"."""
    sides = []
    if note.kind in decisions.DECIDED:
        for name, version in (("here", note.here), ("there", note.there)):
            if version is not None and version.kind == "nothing":
                sides.append(f"nothing {name}")
            elif version is not None and version.changed:
                by = f" by {version.by}" if version.by else ""
                sides.append(f"{name} {when(version.changed)}{by}")
    return f"{note.kind} with {host}: {note.text}" + (f"; {', '.join(sides)}" if sides else "")


def _uri(path: str) -> str:
    return uris.from_fs_path(path) or path
