"""`sidecar conflicts`, `diff` and `resolve`: what differs on both sides, and the way out."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

import msgspec

from sidecar import api
from sidecar.cli import place, terminal
from sidecar.core.amount import size
from sidecar.errors import UsageError
from sidecar.hub.moments import when

_COLOURS = {
    "conflict": terminal.RED,
    "refused": terminal.RED,
    "unreadable": terminal.RED,
    "newer-there": terminal.YELLOW,
    "kept": terminal.YELLOW,
    "held": terminal.YELLOW,
    "waiting": terminal.YELLOW,
}

_TO_DECIDE = ("conflict", "newer-there", "kept", "held", "refused")


def conflicts(options: argparse.Namespace) -> int:
    """Exit status 1 where there is something to decide, as `diff` has it."""
    with place.connect(options) as hub:
        params = api.ConflictsParams(**place.where(options))
        notes = hub.call("sidecar/conflicts", params, api.ConflictsResult).notes
    open_ = [note for note in notes if note.kind in _TO_DECIDE]
    if options.json:
        print(msgspec.json.encode(notes).decode())
    elif notes:
        _print(notes)
        if open_:
            terminal.say(
                "look with `sidecar diff PATH`, decide with "
                "`sidecar resolve PATH… --keep local|remote|both`"
            )
    else:
        terminal.say("No conflicts.")
    return 1 if open_ else 0


def diff(options: argparse.Namespace) -> int:
    """Exit status 1 where both sides differ."""
    color = terminal.has_colours(sys.stdout)
    differs = False
    found = []
    with place.connect(options) as hub:
        for path in options.paths:
            params = api.DiffParams(
                **place.where(options), path=os.path.abspath(path), color=color and not options.json
            )
            result = hub.call("sidecar/diff", params, api.DiffResult)
            found.append(result)
            differs |= bool(result.text or result.binary or result.why)
            if not options.json:
                _print_diff(result)
    if options.json:
        print(msgspec.json.encode(found).decode())
    return 1 if differs else 0


def resolve(options: argparse.Namespace) -> int:
    """Exit status 1 where something is still to be decided."""
    if not options.paths and not options.all:
        raise UsageError("Nothing says which conflicts are meant", "", "name them, or say --all")
    with place.connect(options) as hub:
        params = api.ResolveParams(
            **place.where(options),
            keep=options.keep,
            paths=[os.path.abspath(path) for path in options.paths],
            all=options.all,
            dry_run=options.dry_run,
        )
        result = hub.call("sidecar/resolve", params, api.ResolveResult)
    if options.json:
        print(msgspec.json.encode(result).decode())
        return 1 if result.left else 0
    for note in result.done:
        print(f"{terminal.one_line(note.path)}: {terminal.one_line(note.text)}")
    for note in result.left:
        kind = terminal.painted(note.kind, _COLOURS.get(note.kind, terminal.YELLOW))
        print(f"{kind}: {terminal.one_line(f'{note.path}: {note.text}')}", file=sys.stderr)
    if options.dry_run:
        terminal.say(f"{_counted(len(result.done))} would be settled; nothing was done")
    elif result.done:
        terminal.say(f"{_counted(len(result.done))} settled; `sidecar undo` has what made way")
    elif not result.left:
        terminal.say("There was nothing to decide.")
    return 1 if result.left else 0


def _print(notes: Sequence[api.PathNote]) -> None:
    rows = [
        (note.kind, note.path, _side(note.here), _side(note.there), _by(note), note.text)
        for note in sorted(notes, key=lambda note: (note.kind not in _TO_DECIDE, note.path))
    ]
    head = ("WHAT", "PATH", "HERE", "THERE", "BY", "")
    lines = terminal.table(head, rows).splitlines()
    print(terminal.painted(lines[0], terminal.DIM, sys.stdout))
    for row, line in zip(rows, lines[1:], strict=True):
        kind = terminal.painted(row[0], _COLOURS.get(row[0], terminal.DIM), sys.stdout)
        print(kind + line[len(row[0]) :])


def _side(version: api.Version | None) -> str:
    if version is None:
        return "-"
    if version.kind == "nothing":
        return "nothing"
    if version.kind == "file":
        return f"{when(version.changed)} {size(version.size)}"
    return version.kind


def _by(note: api.PathNote) -> str:
    return (note.there.by if note.there else "") or "-"


def _print_diff(result: api.DiffResult) -> None:
    path = terminal.one_line(result.path)
    if result.why:
        terminal.say(
            f"{path}: {result.why} (here {_side(result.here)}, there {_side(result.there)})"
        )
    elif result.binary:
        terminal.say(
            f"{path}: no text, and not the same (here {_side(result.here)}, "
            f"there {_side(result.there)})"
        )
    elif not result.text:
        terminal.say(f"{path}: the same on both sides")
    else:
        by = f" by {result.there.by}" if result.there.by else ""
        terminal.say(f"{path}: here {_side(result.here)}, there {_side(result.there)}{by}")
        print(terminal.only_colours(result.text), end="", flush=True)


def _counted(number: int) -> str:
    return f"{number} path{'' if number == 1 else 's'}"
