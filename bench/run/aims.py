"""What we aim at, beside what was measured: pure, from a report to verdicts."""

from __future__ import annotations

from collections.abc import Iterator

from bench.links import ROUND_TRIP
from bench.results import Report
from bench.run import busy, cut, echo, output, start, status
from bench.run.scene import EDITOR, SHELL
from bench.verdict import Verdict

OWN = 10.0
"""Milliseconds that a run may take beside the round trip and the interpreter's own start."""

A_FILE = 0.002
"""Milliseconds more for each managed file: both sides look at all of them."""

MEMORY = 150.0
"""MB that a process of ours may have while a job prints what nobody could hold: what the hub has at
rest, and half as much again. No byte may be missing, which the workload itself holds."""

BACK = 1000.0
"""Milliseconds behind a new connection of ssh's own until a job's output goes on after a cut."""


def verdicts(report: Report) -> list[Verdict]:
    """Those for which everything was measured."""
    return [one for link in report.links() for one in _on(report, link)]


def _on(report: Report, link: str) -> Iterator[Verdict]:
    if link not in ROUND_TRIP:
        return
    round_trip = ROUND_TRIP[link]
    for peer in (EDITOR, SHELL):
        if found := report.find(echo.ECHO, link, peer):
            aim = f"a key's echo, {peer}: round trip + 5 ms"
            yield Verdict(aim, link, found.median, round_trip + 5, "ms")
    for files in (start.SMALL, start.LARGE):
        workload = start.workload(files)
        own = report.find(workload, link, start.INTERPRETER)
        here = report.find(workload, link, start.COMMAND)
        for peer, before in ((EDITOR, 0.0), (SHELL, here.median if here else 0.0)):
            if own and (found := report.find(workload, link, peer)):
                limit = round_trip + before + own.median + OWN + A_FILE * files
                aim = f"{workload}, {peer}: round trip + Python's start + 10 ms + 2 µs a file"
                aim += " + the command's own start" if before else ""
                yield Verdict(aim, link, found.median, limit, "ms")
    if found := report.find(status.STATUS, link, EDITOR):
        yield Verdict("status answers within 150 ms", link, found.median, 150, "ms")
    for one in report.results:
        if one.link == link and one.workload.startswith(output.MEMORY_OF):
            yield Verdict(f"{one.workload}: bounded", link, max(one.samples), MEMORY, "MB")
    again = report.find(cut.CUT, link, SHELL)
    cold = report.find(cut.CUT, link, cut.COLD)
    if again and cold:
        aim = f"{cut.CUT}: a new connection of ssh's + 1 s"
        yield Verdict(aim, link, again.median, cold.median + BACK, "ms")
    for what in (busy.SAVE, busy.KEY):
        idle = report.find(busy.IDLE.format(what), link, SHELL)
        beside = report.find(busy.PRINTING.format(what), link, SHELL)
        if idle and beside:
            aim = f"{what} while a job prints, p95: 1.5 × idle + 30 ms"
            yield Verdict(aim, link, beside.p95, 1.5 * idle.p95 + 30, "ms")
