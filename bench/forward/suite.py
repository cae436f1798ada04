"""`python -m bench forward`."""

from __future__ import annotations

from pathlib import Path

from bench.forward import aims, carry
from bench.links import LINES
from bench.publish import Pages
from bench.run.scene import scene
from bench.suite import Suite, within

SUITE = Suite(
    "forward",
    {"carry": (within(scene, carry.carry), tuple(LINES))},
    aims.verdicts,
    Pages("forward", Path(__file__).parent, "Rates of forwards, by link and program"),
    rounds=3,
    quick=1,
)
