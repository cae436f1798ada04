"""The links that everything is measured over."""

from __future__ import annotations

from typing import NamedTuple

from bench.line import Line

LINES = {"lan": (0.0, 0.0), "20 ms": (10.0, 100.0), "80 ms": (40.0, 50.0)}
"""By round trip, with one-way delay in ms and the rate in Mbit/s each way."""

ROUND_TRIP = {"lan": 0.06, "20 ms": 20.0, "80 ms": 80.0}
"""Milliseconds, with nothing else on the line."""


class Link(NamedTuple):
    """Its name, and the line: one-way delay in ms, rate in Mbit/s; no delay is a bare veth pair,
    and None the machine's own loopback, where nothing else can be made."""

    name: str
    line: Line | None


class Terms(NamedTuple):
    """How much is measured. `rounds`: that count. `quick`: short windows, nothing that takes a
    minute. `without`: programs that take no part though they are installed."""

    rounds: int
    quick: bool = False
    without: frozenset[str] = frozenset()
