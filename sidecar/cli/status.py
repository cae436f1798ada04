"""`sidecar status`: what the hub holds, without dialling anything."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TextIO

import msgspec

from sidecar import api
from sidecar.cli import place, terminal
from sidecar.core.amount import size
from sidecar.hub.process import HubError

_COLOURS = {"ready": terminal.GREEN, "question": terminal.YELLOW, "disconnected": terminal.RED}


MOST_RULES = 20
"""Rules that are told; `--json` has all."""


def status(options: argparse.Namespace) -> int:
    """Asks a running hub only: one started for this could only say that it does nothing. With -v
    it looks at this project's rules, which needs one."""
    if options.verbose:
        return _verbose(options)
    try:
        hub = place.connect(options, start=False)
    except HubError as error:
        if error.what != "No hub is running":
            raise
        if options.json:
            print('{"hubPid":0,"sessions":[]}')
        else:
            print("Nothing runs. The next `sidecar sync`, `sidecar run` or editor starts it.")
        return 0
    with hub:
        # The project decides which notes come along; the sessions told are all.
        found = hub.call(
            "sidecar/status", api.StatusParams(host=options.host, load=True), api.StatusResult
        )
    if options.json:
        print(msgspec.json.encode(found).decode())
        return 0
    _print(found)
    return 0


def _verbose(options: argparse.Namespace) -> int:
    """This project alone, its notes, and what is not synced."""
    with place.connect(options) as hub:
        params = api.StatusParams(**place.where(options), skipped=True, load=True)
        found = hub.call("sidecar/status", params, api.StatusResult)
    if options.json:
        print(msgspec.json.encode(found).decode())
        return 0
    _print(found)
    if found.notes:
        rows = [(note.kind, note.path, note.text) for note in found.notes]
        print(f"\n{terminal.table(('WHAT', 'PATH', ''), rows)}")
    if found.skipped:
        print()
        print_skipped(found.skipped, sys.stdout)
    return 0


def _print(found: api.StatusResult) -> None:
    if not found.sessions:
        print("No project is open. The next `sidecar sync`, `sidecar run` or editor opens one.")
        return
    rows = [
        (
            one.host,
            one.state,
            f"{one.round_trip_ms:.0f} ms" if one.round_trip_ms else "-",
            str(one.queued),
            str(one.files),
            str(one.conflicts),
            _shown(one.project),
            one.text + (f"; {one.fix}" if one.fix and one.state != "ready" else ""),
        )
        for one in found.sessions
    ]
    head = ("HOST", "STATE", "RTT", "QUEUED", "FILES", "CONFLICTS", "PROJECT", "")
    lines = terminal.table(head, rows).splitlines()
    print(terminal.painted(lines[0], terminal.DIM))
    for one, line in zip(found.sessions, lines[1:], strict=True):
        colour = _COLOURS.get(one.state, "")
        print(line.replace(one.state, terminal.painted(one.state, colour), 1) if colour else line)
    for one in found.sessions:
        if one.load:
            print(f"{one.host}: {terminal.one_line(one.load)}")


def print_skipped(rules: Sequence[api.Skipped], stream: TextIO) -> None:
    """What is not synced, by rule, the largest first."""
    rows = [
        (one.rule, one.source, f"{'over ' if one.more else ''}{one.entries}", _bytes(one))
        for one in rules[:MOST_RULES]
    ]
    head = ("NOT SYNCED", "BY", "ENTRIES", "SIZE")
    first, _, rest = terminal.table(head, rows, right=(2, 3)).partition("\n")
    print(terminal.painted(first, terminal.DIM, stream), file=stream)
    print(rest, file=stream)
    if len(rules) > MOST_RULES:
        print(f"and {len(rules) - MOST_RULES} rules more", file=stream)


def _bytes(one: api.Skipped) -> str:
    return f"{'over ' if one.more else ''}{size(one.bytes)}"


def _shown(path: str) -> str:
    home = os.path.expanduser("~")
    return "~" + path[len(home) :] if path.startswith(home + os.sep) else path
