"""What a sync has to say of single paths: conflicts, refusals, what is newer on the other side."""

from __future__ import annotations

from collections.abc import Iterable

from sidecar import api

WHOLE = "."
"""The path of a note that concerns the project as a whole."""

UNSENT = ("refused", "conflict", "held", "waiting", "unreadable")
"""Kinds that mean: something here is not there, so a run would see other code."""


class Notes:
    """One note a path; a newer one replaces it, a step that looks at the path again clears it."""

    def __init__(self) -> None:
        self._by_path: dict[str, api.PathNote] = {}

    def say(self, path: str, kind: str, text: str) -> None:
        self._by_path[path] = api.PathNote(path=path, kind=kind, text=text)

    def clear(self, paths: Iterable[str]) -> None:
        for path in paths:
            self._by_path.pop(path, None)

    @property
    def all(self) -> list[api.PathNote]:
        return list(self._by_path.values())

    @property
    def paths(self) -> set[str]:
        """Of single files and folders."""
        return self._by_path.keys() - {WHOLE}

    @property
    def conflicts(self) -> int:
        return sum(note.kind == "conflict" for note in self._by_path.values())


def unsent(notes: Iterable[api.PathNote]) -> list[api.PathNote]:
    """Those that stand in the way of a run."""
    return [note for note in notes if note.kind in UNSENT]
