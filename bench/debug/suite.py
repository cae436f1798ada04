"""`python -m bench debug`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench.debug import aims, start, step
from bench.links import LINES, Link, Terms
from bench.publish import Pages
from bench.results import Result
from bench.run.scene import Scene, scene
from bench.suite import Suite, Workload


def _in_a_scene(measure: Callable[[Scene], list[Result]]) -> Workload:
    def measured(link: Link, terms: Terms) -> list[Result]:
        with scene(link, terms) as made:
            return measure(made)

    return measured


SUITE = Suite(
    "debug",
    {
        "start": (_in_a_scene(start.start), tuple(LINES)),
        "step": (_in_a_scene(step.step), tuple(LINES)),
    },
    aims.verdicts,
    Pages("debug", Path(__file__).parent, "Times of debugging, by link and program"),
    rounds=8,
    quick=3,
)
