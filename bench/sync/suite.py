"""`python -m bench sync`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench.links import LINES, Link, Terms
from bench.publish import Pages
from bench.results import Result
from bench.suite import Suite, Workload
from bench.sync import aims, busy, edits, idle, whole
from bench.sync.scene import OPTIONAL, Scene, scene


def _in_a_scene(measure: Callable[[Scene], list[Result]]) -> Workload:
    def measured(link: Link, terms: Terms) -> list[Result]:
        with scene(link, terms) as made:
            return measure(made)

    return measured


SUITE = Suite(
    "sync",
    {
        "save": (_in_a_scene(edits.save), tuple(LINES)),
        "notebook": (_in_a_scene(edits.notebook), tuple(LINES)),
        "large": (_in_a_scene(edits.large), tuple(LINES)),
        "switch": (_in_a_scene(whole.switch), tuple(LINES)),
        "nothing": (_in_a_scene(whole.nothing), tuple(LINES)),
        "first": (_in_a_scene(whole.first), tuple(LINES)),
        "busy": (_in_a_scene(busy.busy), tuple(LINES)),
        "idle": (_in_a_scene(idle.idle), ("lan",)),
    },
    aims.verdicts,
    Pages(
        "sync",
        Path(__file__).parent,
        "Times until a change is there, by workload, link and program",
    ),
    rounds=5,
    quick=2,
    optional=OPTIONAL,
)
