"""What we aim at, beside what was measured: pure, from a report to verdicts."""

from __future__ import annotations

from collections.abc import Iterator

from bench.debug.peers import LOCAL, PORT, PROMPT, STDIO
from bench.debug.start import START
from bench.debug.step import STEP
from bench.links import ROUND_TRIP
from bench.results import Report
from bench.verdict import Verdict

TIMES, TRIPS = 1.3, 3
"""A start may take so many times debugpy's own, and so many round trips more."""

OWN = 3.0
"""Milliseconds that a step may take beside the debugger's own and the round trip."""


def verdicts(report: Report) -> list[Verdict]:
    """Those for which everything was measured."""
    return [one for link in report.links() for one in _on(report, link)]


def _on(report: Report, link: str) -> Iterator[Verdict]:
    if link not in ROUND_TRIP:
        return
    round_trip = ROUND_TRIP[link]
    for peer in (STDIO, PORT):
        own, found = (report.find(START, link, one) for one in (LOCAL, peer))
        if own and found:
            aim = f"{START}, {peer}: {TIMES} × debugpy's own time + {TRIPS} round trips"
            limit = TIMES * own.median + TRIPS * round_trip
            yield Verdict(aim, link, found.median, limit, "ms")
        own, found = (report.find(STEP, link, one) for one in (PROMPT, peer))
        if own and found:
            aim = f"{STEP}, {peer}: the debugger's own + round trip + {OWN:.0f} ms"
            yield Verdict(aim, link, found.median, own.median + round_trip + OWN, "ms")
