"""`sidecar undo`: what a sync overwrote or removed, and back with it."""

from __future__ import annotations

import argparse
import os
import re
import sys

import msgspec

from sidecar import api
from sidecar.cli import place, terminal
from sidecar.core.amount import size
from sidecar.hub.moments import when

_ID = re.compile(r"[0-9a-f]{4,8}\Z")

MOST_SHOWN = 50
"""Copies that a listing shows on a terminal, where --all is not given."""


def undo(options: argparse.Namespace) -> int:
    """Without arguments, or with -l, lists; else brings back."""
    if options.list or not options.items:
        return _list(options)
    ids, paths = _sorted(options.items)
    with place.connect(options) as hub:
        params = api.UndoParams(
            **place.where(options),
            ids=ids,
            paths=paths,
            side=options.side,
            dry_run=options.dry_run,
        )
        result = hub.call("sidecar/undo", params, api.UndoResult)
    if options.json:
        print(msgspec.json.encode(result).decode())
        return 0
    would = "would be " if options.dry_run else ""
    for copy in result.restored:
        where = "here" if copy.side == "local" else "there"
        print(f"{terminal.one_line(copy.path)}: {would}back {where}, as of {when(copy.when)}")
    for note in result.notes:
        kind = terminal.painted(note.kind, terminal.YELLOW)
        print(f"{kind}: {terminal.one_line(f'{note.path}: {note.text}')}", file=sys.stderr)
    if result.unreachable:
        terminal.say(f"it goes there with the next connection: {result.unreachable}")
    if options.dry_run:
        terminal.say("nothing was done")
    elif any(copy.side == "remote" for copy in result.restored):
        terminal.say(
            "what came back there stays theirs until `sidecar resolve PATH… --keep local|remote`"
        )
    return 0


def _list(options: argparse.Namespace) -> int:
    with place.connect(options) as hub:
        params = api.TrashParams(
            **place.where(options),
            paths=[os.path.abspath(path) for path in options.items],
            side=options.side,
        )
        found = hub.call("sidecar/trash", params, api.TrashResult)
    copies = found.copies
    if options.json:
        print(msgspec.json.encode(copies).decode())
        return 0
    if found.unreachable:
        terminal.say(f"only what lies here is listed: {found.unreachable}")
    if not copies:
        terminal.say("Nothing was overwritten or removed.")
        return 0
    shown = copies if options.all else copies[:MOST_SHOWN]
    rows = [
        (one.id, when(one.when), _side(one), size(one.size), one.path, one.why) for one in shown
    ]
    head = ("ID", "WHEN", "SIDE", "SIZE", "PATH", "WHY")
    lines = terminal.table(head, rows, right=(3,))
    first, _, rest = lines.partition("\n")
    print(terminal.painted(first, terminal.DIM, sys.stdout))
    print(rest)
    if len(shown) < len(copies) or found.more:
        terminal.say("there are more: `sidecar undo --all`, or with a path")
    terminal.say("bring one back with `sidecar undo ID`, the newest of a file with its path")
    return 0


def _side(copy: api.Copy) -> str:
    return "here" if copy.side == "local" else "there"


def _sorted(items: list[str]) -> tuple[list[str], list[str]]:
    """What is an id, and what is a path: an absolute one, then. A file of that name comes first."""
    ids = [one for one in items if _ID.match(one) and not os.path.lexists(one)]
    return ids, [os.path.abspath(one) for one in items if one not in ids]
