"""What a sync has to say of single paths: conflicts, refusals, what is newer on the other side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Literal

import msgspec

from sidecar import api
from sidecar.core.identity import DIRECTORY, FILE, OTHER, SYMLINK, Identity
from sidecar.core.reconcile import DELETED_THERE

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

    def take(self, note: api.PathNote) -> None:
        self._by_path[note.path] = note

    def get(self, path: str) -> api.PathNote | None:
        return self._by_path.get(path)

    def clear(self, paths: Iterable[str]) -> None:
        for path in paths:
            self._by_path.pop(path, None)

    def said_once(self) -> list[str]:
        """Paths of notes of something that is settled: a look at the path may come at once, and
        says nothing new. They are to be read until the next sync."""
        return [path for path, note in self._by_path.items() if note.kind == DELETED_THERE]

    def name_owners(self, owners: Mapping[str, str]) -> None:
        """Whose the files there are, for those notes that tell of them."""
        for path, owner in owners.items():
            note = self._by_path.get(path)
            if note is not None and note.there is not None and owner:
                there = msgspec.structs.replace(note.there, by=owner)
                self._by_path[path] = msgspec.structs.replace(note, there=there)

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


DECIDED = ("conflict", "newer-there", "kept", "held", "refused")
"""Kinds that a person decides about."""

_KINDS: dict[str, Literal["file", "folder", "link", "other"]] = {
    FILE: "file",
    DIRECTORY: "folder",
    SYMLINK: "link",
    OTHER: "other",
}


def version(found: Identity | None, offset_ns: int = 0, by: str = "") -> api.Version:
    """What is at a path, for people. `offset_ns`: by how much the clock it was told by is ahead."""
    if found is None:
        return api.Version(kind="nothing")
    changed = ""
    if found.mtime_ns:
        seconds = (found.mtime_ns - offset_ns) // 1_000_000_000
        try:
            changed = datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")
        except (ValueError, OverflowError, OSError):
            pass  # a time that no calendar has
    size = found.size if found.kind == FILE else 0
    return api.Version(kind=_KINDS[found.kind], size=size, changed=changed, by=by)
