"""`sidecar why`: which rule decides about a path, and what the next sync would do."""

from __future__ import annotations

import argparse
import os
import sys

import msgspec

from sidecar import api
from sidecar.cli import place, terminal
from sidecar.core.amount import size
from sidecar.hub.moments import when


def why(options: argparse.Namespace) -> int:
    """Exit status 0, whatever the answer is."""
    found = []
    with place.connect(options) as hub:
        for path in options.paths:
            absolute = os.path.abspath(path) + ("/" if path.endswith("/") else "")
            params = api.WhyParams(**place.where(options), path=absolute)
            found.append(hub.call("sidecar/why", params, api.WhyResult))
    if options.json:
        print(msgspec.json.encode(found).decode())
        return 0
    for number, result in enumerate(found):
        if number:
            print()
        _print(result)
    return 0


def _print(result: api.WhyResult) -> None:
    verdict = "synced" if result.synced else "not synced"
    colour = terminal.GREEN if result.synced else terminal.YELLOW
    print(f"{terminal.one_line(result.path)}: {terminal.painted(verdict, colour, sys.stdout)}")
    managed = "both sides agreed on it" if result.managed else "never agreed on"
    note = f"{result.note.kind}: {result.note.text}" if result.note else ""
    rows = [
        ("rule", _rule(result)),
        ("pulled", f"{result.pulled}  (sync.pull)" if result.pulled else ""),
        ("here", _here(result.here)),
        ("managed", managed),
        ("to decide", note),
        ("next sync", result.next),
    ]
    for name, text in rows:
        if text:
            print(f"  {name:<10} {terminal.one_line(text)}")


def _rule(result: api.WhyResult) -> str:
    if not result.rule:
        return "none: what no rule keeps out is synced"
    return f"{result.rule}  ({result.source})"


def _here(version: api.Version) -> str:
    if version.kind == "nothing":
        return "not there"
    if version.kind == "file":
        return f"a file of {size(version.size)}, changed {when(version.changed)}"
    return {"folder": "a folder", "link": "a link"}.get(version.kind, "something else")
