"""An aim, held against what was measured."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from bench.table import amount, size


class Verdict(NamedTuple):
    """`measured` should be at most `limit`, both in `unit`."""

    aim: str
    link: str
    measured: float
    limit: float
    unit: str

    @property
    def met(self) -> bool:
        return self.measured <= self.limit


def text(verdicts: Iterable[Verdict]) -> str:
    lines = []
    for one in sorted(verdicts, key=lambda one: one.aim):
        mark = "met   " if one.met else "MISSED"
        measured, limit = (_shown(value, one.unit) for value in (one.measured, one.limit))
        lines.append(f"{mark}  {one.link:>8}  {measured:>10} of {limit:>10}  {one.aim}")
    return "\n".join(lines)


def _shown(value: float, unit: str) -> str:
    return size(round(value)) if unit == "bytes" else amount(value, unit)
