"""`sidecar doctor`: the whole way to a Python there, step by step, and what to do where it ends."""

from __future__ import annotations

import argparse
import sys

import msgspec

from sidecar import api
from sidecar.cli import place, terminal

_MARKS = {
    "ok": ("ok", terminal.GREEN),
    "note": ("note", terminal.YELLOW),
    "failed": ("FAILED", terminal.RED),
}

WIDTHS = (6, 13)
"""Of the mark and the step: lines are printed as they come, so no later one can widen a column."""


def doctor(options: argparse.Namespace) -> int:
    """Each step is printed as soon as it is known. 1 where one failed."""
    if options.name:
        options.host = options.name
    with place.connect(options) as hub:
        if not options.json:
            hub.on("sidecar/finding", api.Finding, _print)
        params = api.DoctorParams(**place.where(options))
        found = hub.call("sidecar/doctor", params, api.DoctorResult)
    if options.json:
        print(msgspec.json.encode(found.findings).decode())
    return int(any(one.state == "failed" for one in found.findings))


def _print(finding: api.Finding) -> None:
    word, colour = _MARKS[finding.state]
    mark = terminal.painted(f"{word:<{WIDTHS[0]}}", colour, sys.stdout)
    print(f"{mark}  {finding.step:<{WIDTHS[1]}}  {terminal.one_line(finding.text)}", flush=True)
    if finding.fix:
        print(f"{'':{sum(WIDTHS) + 4}}{terminal.one_line(finding.fix)}", flush=True)
