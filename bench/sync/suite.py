"""`python -m bench sync`."""

from __future__ import annotations

from pathlib import Path

from bench.links import LINES
from bench.publish import Pages
from bench.suite import Suite, within
from bench.sync import aims, busy, edits, idle, whole
from bench.sync.scene import OPTIONAL, scene

SUITE = Suite(
    "sync",
    {
        "save": (within(scene, edits.save), tuple(LINES)),
        "notebook": (within(scene, edits.notebook), tuple(LINES)),
        "large": (within(scene, edits.large), tuple(LINES)),
        "switch": (within(scene, whole.switch), tuple(LINES)),
        "nothing": (within(scene, whole.nothing), tuple(LINES)),
        "first": (within(scene, whole.first), tuple(LINES)),
        "busy": (within(scene, busy.busy), tuple(LINES)),
        "idle": (within(scene, idle.idle), ("lan",)),
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
