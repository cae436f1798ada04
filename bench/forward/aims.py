"""What we aim at, beside what was measured: pure, from a report to verdicts."""

from __future__ import annotations

from bench.forward.carry import CARRIED, PEER
from bench.results import OURS, Report
from bench.verdict import Verdict

SHARE = 0.8
"""Of the rate of `ssh -L` in the same run."""


def verdicts(report: Report) -> list[Verdict]:
    """Those for which everything was measured. Rates are held against each other as times."""
    found = []
    begin = CARRIED.partition("{}")[2]
    for one in report.results:
        theirs = report.find(one.workload, one.link, PEER)
        if one.peer == OURS and one.workload.endswith(begin) and theirs:
            aim = f"{one.workload}: at least {SHARE} × `ssh -L`, seconds for a GB"
            limit = 1000 / (SHARE * theirs.median)
            found.append(Verdict(aim, one.link, 1000 / one.median, limit, "s"))
    return found
