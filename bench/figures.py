"""Figures: what was measured, as a median and its spread, and how they are shown."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import NamedTuple


class Figure(NamedTuple):
    """`p95` is the 95th percentile; with few samples the largest."""

    name: str
    unit: str
    median: float
    p95: float
    samples: int


def spread(name: str, samples: Sequence[float], unit: str) -> Figure:
    ordered = sorted(samples)
    p95 = ordered[min(len(ordered) - 1, round(0.95 * len(ordered)))]
    return Figure(name, unit, statistics.median(ordered), p95, len(ordered))


def single(name: str, value: float, unit: str) -> Figure:
    return Figure(name, unit, value, value, 1)


def table(figures: Sequence[Figure]) -> str:
    width = max(len(figure.name) for figure in figures)
    lines = [f"{'':<{width}}  {'median':>12}  {'p95':>12}  {'n':>4}"]
    for one in figures:
        median, p95 = _shown(one.median, one.unit), _shown(one.p95, one.unit)
        lines.append(f"{one.name:<{width}}  {median:>12}  {p95:>12}  {one.samples:>4}")
    return "\n".join(lines)


def _shown(value: float, unit: str) -> str:
    if unit == "bytes":
        return f"{value:,.0f} B"
    return f"{value:,.1f} {unit}"
