"""What changed since a run: which of the managed files are not what they were at its start.

A job that is not frozen meets today's files in its spawned workers and late imports, and whoever
repeats a run wants to know how its code differs from today's. So the start of each run is marked,
and behind the marks stands what each path held before it changed: a save costs one line, whatever
the size of the tree, and a job that outlives this process is still told of.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from sidecar.core.tree import Node

log = logging.getLogger(__name__)

MOST_RUNS = 300
"""Starts that are remembered; the oldest go first, with what changed before the next one."""

MOST_CHANGES = 50_000
"""Lines of changes that are remembered, 100 bytes each: two branch switches in a large project."""

Line = list[Any]
"""["run", job, {path: node}]: a start, and what was still on its way then; or
["was", path, node or None]: what the path held until it changed."""


class History:
    """Of one project on one host. What cannot be written or read is forgotten, never guessed at:
    nothing depends on it but what people are told."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: list[Line] = []
        self._runs = 0
        self._file: BinaryIO | None = None
        try:
            for line in path.read_text(encoding="ascii").splitlines():
                self._remember(_read(line))
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            log.warning("%s is begun anew: %s", path, error)
            self._lines, self._runs = [], 0
        self._write_anew()

    def begins(self, job: str, on_their_way: Mapping[str, Node | None]) -> None:
        """A run starts now, on what is agreed and on what is on its way."""
        self._append(["run", job, dict(on_their_way)])

    @property
    def marked(self) -> bool:
        """A start is remembered: what changes is of interest."""
        return self._runs > 0

    def changes(self, path: str, was: Node | None, now: Node | None) -> None:
        """What is at the path is another thing from now on."""
        if self.marked and was != now:
            self._append(["was", path, was])

    def since(self, jobs: Iterable[str], now: Mapping[str, Node]) -> dict[str, list[str]]:
        """By job, the paths that hold something else than at its start; jobs that are not
        remembered are left out. `now`: what is agreed."""
        wanted, found = set(jobs), {}
        then: dict[str, Node | None] = {}
        for kind, name, value in reversed(self._lines):
            if kind == "was":
                then[name] = value
            elif name in wanted:
                wanted.discard(name)
                at_start = {**then, **value}
                found[name] = sorted(p for p, node in at_start.items() if now.get(p) != node)
            if not wanted:
                break
        return found

    def clear(self) -> None:
        """The two sides are met anew: nothing is known of what changed."""
        self._lines, self._runs = [], 0
        self._write_anew()

    def _append(self, line: Line) -> None:
        self._remember(line)
        if self._runs > MOST_RUNS or len(self._lines) > MOST_CHANGES:
            self._shorten()
            self._write_anew()
        else:
            self._write(line)

    def _remember(self, line: Line) -> None:
        self._lines.append(line)
        self._runs += line[0] == "run"

    def _shorten(self) -> None:
        """Down to three quarters of either limit, from a run's start on."""
        keep: list[Line] = []
        runs = 0
        for line in reversed(self._lines):
            runs += line[0] == "run"
            if runs > MOST_RUNS * 3 // 4 or len(keep) >= MOST_CHANGES * 3 // 4:
                break
            keep.append(line)
        while keep and keep[-1][0] != "run":
            keep.pop()
        self._lines = keep[::-1]
        self._runs = sum(line[0] == "run" for line in keep)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write_anew(self) -> None:
        """The file as it should be, opened for what comes. Without one all goes on, in memory."""
        self.close()
        fresh = self._path.with_name(self._path.name + ".new")
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.writelines(map(_line, self._lines))
            os.replace(fresh, self._path)
            self._file = self._path.open("ab", buffering=0)
        except OSError as error:
            log.warning("%s cannot be written: %s", self._path, error)

    def _write(self, line: Line) -> None:
        if self._file is not None:
            try:
                self._file.write(_line(line))
            except OSError as error:
                log.warning("%s cannot be written: %s", self._path, error)
                self.close()


def _line(line: Line) -> bytes:
    return json.dumps(line, separators=(",", ":")).encode("ascii") + b"\n"


def _read(line: str) -> Line:
    """Raises ValueError where it is none of ours; a crash may have torn the last one."""
    match json.loads(line):
        case ["run", str(job), dict(coming)]:
            return ["run", job, {path: _node(value) for path, value in coming.items()}]
        case ["was", str(path), value]:
            return ["was", path, _node(value)]
        case _:
            raise ValueError(f"a line says {line[:80]!r}")


def _node(value: Any) -> Node | None:
    match value:
        case None:
            return None
        case [str(kind), bool(executable), str(digest)]:
            return Node(kind, executable, digest)
        case _:
            raise ValueError(f"no node: {value!r}")
