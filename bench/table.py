"""What was measured, as text and as the tables of a README."""

from __future__ import annotations

from collections.abc import Collection

from bench.results import OURS, RATE, Report, Result

_BAR = r"\|"


def text(report: Report) -> str:
    """For a terminal: for each workload its peers by link, medians, 95th percentiles, bytes."""
    links = report.links()
    parts: list[str] = []
    for workload in report.workloads():
        peers = report.peers(workload)
        width = max(len(peer) for peer in [*peers, workload])
        parts.append(f"{workload:<{width}}" + "".join(f"  {link:>30}" for link in links))
        for peer in peers:
            found = [report.find(workload, link, peer) for link in links]
            parts.append(f"{peer:<{width}}" + "".join(f"  {_cell(one):>30}" for one in found))
        parts.append("")
    return "\n".join(parts)


def _cell(one: Result | None) -> str:
    if one is None:
        return "·"
    said = amount(one.median, one.unit)
    if len(one.samples) > 1:
        said += f" (p95 {amount(one.p95, one.unit)})"
    if one.bytes >= 0:
        said += f" {size(one.bytes):>7}"
    return said


def markdown(report: Report) -> str:
    """All that was timed for more than one: medians, and the bytes on the last link."""
    links = report.links()
    counted = any(one.bytes >= 0 for one in report.results)
    head = ["", *links, *([f"on the wire, {links[-1]}"] if counted else [])]
    lines = [_row(head), _row(["---"] * len(head))]
    for workload in _compared(report):
        lines.append(_row([f"**{workload}**"] + [""] * (len(head) - 1)))
        for peer in report.peers(workload):
            found = [report.find(workload, link, peer) for link in links]
            wire = found[-1]
            moved = size(wire.bytes) if wire and wire.bytes >= 0 else ""
            lines.append(_row([peer, *map(_median, found), moved][: len(head)]))
    return "\n".join(lines)


def beside_the_best(report: Report, baselines: Collection[str] = ()) -> str:
    """For each workload ours, and whichever other was the fastest on that link. `baselines`: peers
    that do a part of the work only, which no other can be quicker than."""
    links = report.links()
    lines = [_row(["", *links]), _row(["---"] * (len(links) + 1))]
    for workload in _compared(report):
        cells = []
        for link in links:
            ours = report.ours(workload, link)
            others = [
                one
                for peer in report.peers(workload)
                if not peer.startswith(OURS)
                and peer not in baselines
                and (one := report.find(workload, link, peer))
            ]
            better = max if ours and ours.unit == RATE else min
            best = better(others, key=lambda one: one.median, default=None)
            other = f" ({best.peer} {_median(best)})" if best else ""
            cells.append(f"**{_median(ours)}**{other}" if ours else "")
        lines.append(_row([workload, *cells]))
    return "\n".join(lines)


def ours_alone(report: Report) -> str:
    """What has no peer: busy lines, and what runs while nothing happens."""
    links = report.links()
    lines = [_row(["sidecar alone", *links]), _row(["---"] * (len(links) + 1))]
    for workload in report.workloads():
        if workload not in _compared(report):
            found = [report.ours(workload, link) for link in links]
            lines.append(_row([workload, *map(_spread, found)]))
    return "\n".join(lines)


def _compared(report: Report) -> list[str]:
    return [name for name in report.workloads() if len(report.peers(name)) > 1]


def _row(cells: list[str]) -> str:
    # A bar in a cell would begin another one.
    return f"| {' | '.join(cell.replace('|', _BAR) for cell in cells)} |"


def _median(one: Result | None) -> str:
    return amount(one.median, one.unit) if one else ""


def _spread(one: Result | None) -> str:
    if one is None or len(one.samples) == 1:
        return _median(one)
    return f"{_median(one)}, p95 {amount(one.p95, one.unit)}"


def amount(value: float, unit: str) -> str:
    """Three digits: 3.61 ms, 457 ms, 2.55 s."""
    if unit == "ms" and value >= 999.5:
        return f"{_digits(value / 1000)} s"
    return f"{_digits(value)} {unit}"


def _digits(value: float) -> str:
    return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f}"


def size(count: int) -> str:
    """Decimal: 950 B, 12.3 KB."""
    if count < 1000:
        return f"{count} B"
    value, unit = count / 1000, "KB"
    for larger in ("MB", "GB"):
        if value >= 999.5:
            value, unit = value / 1000, larger
    return f"{_digits(value)} {unit}"
