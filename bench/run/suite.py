"""`python -m bench run`."""

from __future__ import annotations

from pathlib import Path

from bench.links import LINES
from bench.publish import Pages
from bench.run import aims, busy, cut, echo, output, start, status
from bench.run.scene import scene
from bench.suite import Suite, within

SUITE = Suite(
    "run",
    {
        "echo": (within(scene, echo.echo), tuple(LINES)),
        "start": (within(scene, start.start), tuple(LINES)),
        "status": (within(scene, status.status), ("lan",)),
        "output": (within(scene, output.output), tuple(LINES)),
        "cut": (within(scene, cut.cut), tuple(LINES)),
        "busy": (within(scene, busy.busy), tuple(LINES)),
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
