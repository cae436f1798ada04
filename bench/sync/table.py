"""What was measured, as text and as the tables of a README."""

from __future__ import annotations

from bench.sync.results import Report, Result


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


def markdown(report: Report, workloads: list[str]) -> str:
    """Medians, and the bytes of the slowest link beside them."""
    links = report.links()
    last = links[-1]
    head = ["", *links, f"bytes, {last}"]
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    for workload in workloads:
        lines.append(f"| **{workload}** |" + " |" * (len(links) + 1))
        for peer in report.peers(workload):
            found = [report.find(workload, link, peer) for link in links]
            cells = [amount(one.median, one.unit) if one else "" for one in found]
            wire = found[-1]
            cells.append(size(wire.bytes) if wire and wire.bytes >= 0 else "")
            lines.append(f"| {peer} | {' | '.join(cells)} |")
    return "\n".join(lines)


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
