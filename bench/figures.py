"""What a measurement yields, and how it is printed."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import NamedTuple


class Figure(NamedTuple):
    """One line of the table. `unit`: "ms", "s" or "bytes"."""

    name: str
    value: float
    unit: str


def spread(name: str, seconds: Sequence[float]) -> list[Figure]:
    """Median, 95th percentile and worst of many times."""
    ordered = sorted(seconds)
    worst = ordered[-1]
    high = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
    return [
        Figure(f"{name}, median", statistics.median(ordered) * 1000, "ms"),
        Figure(f"{name}, 95 %", high * 1000, "ms"),
        Figure(f"{name}, worst of {len(ordered)}", worst * 1000, "ms"),
    ]


def table(figures: Sequence[Figure]) -> str:
    width = max(len(figure.name) for figure in figures)
    return "\n".join(f"  {one.name:<{width}}  {_shown(one)}" for one in figures)


def _shown(figure: Figure) -> str:
    if figure.unit == "bytes":
        return f"{figure.value:>12,.0f} bytes"
    return f"{figure.value:>12.1f} {figure.unit}"
