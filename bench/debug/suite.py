"""`python -m bench debug`."""

from __future__ import annotations

from pathlib import Path

from bench.debug import aims, start, step
from bench.links import LINES
from bench.publish import Pages
from bench.run.scene import scene
from bench.suite import Suite, within

SUITE = Suite(
    "debug",
    {
        "start": (within(scene, start.start), tuple(LINES)),
        "step": (within(scene, step.step), tuple(LINES)),
    },
    aims.verdicts,
    Pages("debug", Path(__file__).parent, "Times of debugging, by link and program"),
    rounds=8,
    quick=3,
)
