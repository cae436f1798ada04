"""What we aim at, beside what was measured: pure, from a report to verdicts."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bench.results import NOT_TOLD, OURS, Report
from bench.sync import busy, edits, idle, whole
from bench.verdict import Verdict

ONE_WAY = {"lan": 0.0, "20 ms": 10.0, "80 ms": 40.0}
"""Milliseconds, by link."""

SENT = {"lan": 0.0, "20 ms": 0.5, "80 ms": 1.0}
"""Milliseconds that the 5 or 6 KB of a compressed save of 12 KB take to go out."""

DELAYED = ("20 ms", "80 ms")
RSYNCS = ("rsync", "rsync -z")


def verdicts(report: Report) -> list[Verdict]:
    """Those for which everything was measured."""
    return [one for link in report.links() for one in _on(report, link)]


def _on(report: Report, link: str) -> Iterator[Verdict]:
    def median(workload: str, peer: str = OURS) -> float | None:
        found = report.find(workload, link, peer)
        return found.median if found else None

    def p95(workload: str, peer: str = OURS) -> float | None:
        found = report.find(workload, link, peer)
        return found.p95 if found else None

    def moved(workload: str, peer: str = OURS) -> float | None:
        found = report.find(workload, link, peer)
        return found.bytes if found and found.bytes >= 0 else None

    def at_most(
        aim: str, measured: float | None, limit: float | None, unit: str = "ms"
    ) -> Iterator[Verdict]:
        if measured is not None and limit is not None:
            yield Verdict(aim, link, measured, limit, unit)

    def times(factor: float, value: float | None) -> float | None:
        return None if value is None else factor * value

    def best(of: Callable[[str, str], float | None], workload: str, *peers: str) -> float | None:
        values = [value for peer in peers if (value := of(workload, peer)) is not None]
        return min(values, default=None)

    if link in ONE_WAY:
        bound = ONE_WAY[link] + SENT[link]
        yield from at_most("save, median: one way + 3 ms", median(edits.SAVE), bound + 3)
        yield from at_most("save, p95: one way + 10 ms", p95(edits.SAVE), bound + 10)
        yield from at_most(
            "save nobody told of, median: told + 15 ms",
            median(edits.SAVE, NOT_TOLD),
            None if (told := median(edits.SAVE)) is None else told + 15,
        )
        yield from at_most("notebook: one way + 40 ms", median(edits.NOTEBOOK), ONE_WAY[link] + 40)
    delayed = link in DELAYED
    put = median(edits.SAVE, "live sftp put")
    yield from at_most(
        "save: against a live sftp put", median(edits.SAVE), times(0.25 if delayed else 1, put)
    )
    if delayed:
        rsync = median(edits.SAVE, "rsync")
        yield from at_most("save: a tenth of rsync", median(edits.SAVE), times(0.1, rsync))
    yield from at_most(
        "notebook: bytes of rsync -z",
        moved(edits.NOTEBOOK),
        moved(edits.NOTEBOOK, "rsync -z"),
        "bytes",
    )
    for workload in edits.LARGE:
        scattered = workload == list(edits.LARGE)[-1]
        share = (1.0 if scattered else 0.5) if delayed else 1.0
        if delayed or not scattered:
            limit = times(share, best(median, workload, *RSYNCS))
            yield from at_most(f"{workload}: {share:g} of rsync", median(workload), limit)
        if not scattered:
            limit = moved(workload, "rsync -z")
            yield from at_most(f"{workload}: bytes of rsync -z", moved(workload), limit, "bytes")
    yield from at_most(
        "branch switch: against rsync -z",
        median(whole.SWITCH),
        times(1 / 3 if link == "80 ms" else 1, median(whole.SWITCH, "rsync -z")),
    )
    yield from at_most(
        "nothing changed: against rsync",
        median(whole.NOTHING),
        times(1 / 3 if link == "80 ms" else 1, median(whole.NOTHING, "rsync")),
    )
    yield from at_most(
        "nothing changed, after a cut: against cold rsync",
        median(whole.AGAIN),
        times(1 / 3 if link == "80 ms" else 1, median(whole.AGAIN, "cold rsync")),
    )
    first = best(median, whole.FIRST, "rsync -z", "tar | zstd")
    yield from at_most(
        "first sync: against the better of rsync -z and tar",
        median(whole.FIRST),
        times(1 if delayed else 1.3, first),
    )
    alone = p95(busy.IDLE)
    for workload in (busy.UPLOAD, busy.PRINTING):
        limit = None if alone is None else 1.5 * alone + 30
        yield from at_most(f"{workload}, p95: 1.5 × idle + 30 ms", p95(workload), limit)
    rate = median(busy.RATE_TOGETHER)
    if rate:
        # A rate is to be high: its inverse is at most.
        yield from at_most(
            "upload with saves: 90 % of its rate alone, in s a MB",
            1 / rate,
            times(1 / 0.9, 1 / (median(busy.RATE_ALONE) or rate)),
            "s",
        )
    for workload, limit, unit in (
        (idle.HUB_CPU, 0.5, "%"),
        (idle.HUB_MEMORY, 100.0, "MB"),
        (idle.AGENT_CPU, 0.2, "%"),
        (idle.AGENT_MEMORY, 30.0, "MB"),
    ):
        yield from at_most(workload, median(workload), limit, unit)
