"""`sidecar status` and `sidecar conflicts`: what the hub holds, without dialling anything."""

from __future__ import annotations

import argparse
import os

import msgspec

from sidecar import api
from sidecar.cli import place, terminal
from sidecar.hub.process import HubError

_COLOURS = {"ready": terminal.GREEN, "question": terminal.YELLOW, "disconnected": terminal.RED}


def status(options: argparse.Namespace) -> int:
    """Asks a running hub only: one started for this could only say that it does nothing."""
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
        found = hub.call("sidecar/status", api.StatusParams(host=options.host), api.StatusResult)
    if options.json:
        print(msgspec.json.encode(found).decode())
        return 0
    if not found.sessions:
        print("No project is open. The next `sidecar sync`, `sidecar run` or editor opens one.")
        return 0
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
    return 0


def conflicts(options: argparse.Namespace) -> int:
    """Exit status 1 where there are some, as `diff` has it."""
    with place.connect(options) as hub:
        params = api.StatusParams(**place.where(options))
        found = hub.call("sidecar/status", params, api.StatusResult)
    if options.json:
        print(msgspec.json.encode(found.notes).decode())
    elif found.notes:
        rows = [(note.kind, note.path, note.text) for note in found.notes]
        print(terminal.table(("WHAT", "PATH", ""), rows))
        terminal.say("decide with `sidecar sync --prefer local|remote|newer PATH…`")
    elif not found.sessions:
        terminal.say("This project is not open; `sidecar sync` compares both sides.")
    return 1 if found.notes else 0


def _shown(path: str) -> str:
    home = os.path.expanduser("~")
    return "~" + path[len(home) :] if path.startswith(home + os.sep) else path
