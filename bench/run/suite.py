"""`python -m bench run`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench.links import LINES, Link, Terms
from bench.publish import Pages
from bench.results import Result
from bench.run import aims, busy, cut, echo, output, start, status
from bench.run.scene import Scene, scene
from bench.suite import Suite, Workload


def _in_a_scene(measure: Callable[[Scene], list[Result]]) -> Workload:
    def measured(link: Link, terms: Terms) -> list[Result]:
        with scene(link, terms) as made:
            return measure(made)

    return measured


SUITE = Suite(
    "run",
    {
        "echo": (_in_a_scene(echo.echo), tuple(LINES)),
        "start": (_in_a_scene(start.start), tuple(LINES)),
        "status": (_in_a_scene(status.status), ("lan",)),
        "output": (_in_a_scene(output.output), tuple(LINES)),
        "cut": (_in_a_scene(cut.cut), tuple(LINES)),
        "busy": (_in_a_scene(busy.busy), tuple(LINES)),
    },
    aims.verdicts,
    Pages(
        "run",
        Path(__file__).parent,
        "Times of runs, by workload, link and program",
        (start.INTERPRETER, status.PYTHON),
    ),
    rounds=5,
    quick=2,
)
