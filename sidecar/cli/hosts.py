"""`sidecar hosts`: how each host of the project is, and which one is used."""

from __future__ import annotations

import argparse
from datetime import datetime

import msgspec

from sidecar import api
from sidecar.cli import place, terminal
from sidecar.errors import UsageError


def hosts(options: argparse.Namespace) -> int:
    if options.words:
        return _use(options)
    with place.connect(options) as hub:
        found = hub.call("sidecar/hosts", api.HostsParams(**place.where(options)), api.HostsResult)
    if options.json:
        print(msgspec.json.encode([msgspec.structs.asdict(one) for one in found.hosts]).decode())
        return 0
    if not found.hosts:
        terminal.say("No host is configured; `sidecar init HOST` adds one.")
        return 0
    rows = [
        (
            "*" if one.in_use else "",
            one.name,
            one.state,
            f"{one.round_trip_ms:.0f} ms" if one.round_trip_ms else "-",
            str(one.files) if one.state != "idle" else "-",
            _when(one.last_sync),
            one.path,
            one.text + (f"; {one.fix}" if one.fix and one.state != "ready" else ""),
        )
        for one in found.hosts
    ]
    head = ("", "HOST", "STATE", "RTT", "FILES", "LAST SYNC", "PATH", "")
    print(terminal.table(head, rows))
    return 0


def _use(options: argparse.Namespace) -> int:
    verb, *names = options.words
    if verb != "use" or len(names) > 1:
        raise UsageError(
            f"`sidecar hosts {' '.join(options.words)}` is nothing", "", "write `hosts use NAME`"
        )
    where = place.where(options)
    where["host"] = names[0] if names else ""
    with place.connect(options) as hub:
        params = api.SelectHostParams(**where)
        used = hub.call("sidecar/selectHost", params, api.SelectHostResult)
    if options.json:
        print(msgspec.json.encode(used).decode())
    else:
        terminal.say(f"Saves and runs go to {used.host}.")
    return 0


def _when(text: str) -> str:
    try:
        return f"{datetime.fromisoformat(text).astimezone():%H:%M:%S}" if text else "-"
    except ValueError:
        return text
