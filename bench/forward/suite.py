"""`python -m bench forward`."""

from __future__ import annotations

from pathlib import Path

from bench.forward import aims, carry
from bench.links import LINES, Link, Terms
from bench.publish import Pages
from bench.results import Result
from bench.run.scene import scene
from bench.suite import Suite


def _carry(link: Link, terms: Terms) -> list[Result]:
    with scene(link, terms) as made:
        return carry.carry(made)


SUITE = Suite(
    "forward",
    {"carry": (_carry, tuple(LINES))},
    aims.verdicts,
    Pages("forward", Path(__file__).parent, "Rates of forwards, by link and program"),
    rounds=3,
    quick=1,
)
