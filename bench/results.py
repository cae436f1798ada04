"""What was measured, and its form as JSON."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

VERSION = 1
"""Of the JSON's form."""

OURS = "sidecar"

NOT_TOLD = "sidecar, not told"
"""Where the change was found by our own watcher, no editor told of it."""

RATE = "MB/s"
"""The one unit of which more is better."""

LINKS = ("lan", "20 ms", "80 ms")
"""In the order in which they are shown; round trips."""


class Result(NamedTuple):
    """One workload, by one peer, on one link.

    Attributes:
        samples: in `unit`, one for each round.
        up, down: bytes on the wire, the median of all rounds; -1 where they were not counted.
    """

    workload: str
    link: str
    peer: str
    unit: str
    samples: tuple[float, ...]
    up: int = -1
    down: int = -1

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def p95(self) -> float:
        return percentile(self.samples, 0.95)

    @property
    def bytes(self) -> int:
        return self.up + self.down if self.up >= 0 else -1


class Report(NamedTuple):
    """A run. `machine`: versions of all that took part, and the machine. `left_out`: what was not
    measured, and why."""

    when: str
    machine: dict[str, str]
    results: list[Result]
    left_out: list[str]

    def find(self, workload: str, link: str, peer: str) -> Result | None:
        for one in self.results:
            if (one.workload, one.link, one.peer) == (workload, link, peer):
                return one
        return None

    def ours(self, workload: str, link: str) -> Result | None:
        """Ours of a workload: the editor's, or the command's where only that took part."""
        found = [self.find(workload, link, peer) for peer in self.peers(workload)]
        return next((one for one in found if one and one.peer.startswith(OURS)), None)

    def workloads(self) -> list[str]:
        return list(dict.fromkeys(one.workload for one in self.results))

    def links(self) -> list[str]:
        """Known ones first, in their order."""
        seen = dict.fromkeys(one.link for one in self.results)
        return [*(one for one in LINKS if one in seen), *(one for one in seen if one not in LINKS)]

    def peers(self, workload: str) -> list[str]:
        """Ours first."""
        seen = dict.fromkeys(one.peer for one in self.results if one.workload == workload)
        return sorted(seen, key=lambda peer: not peer.startswith(OURS))


def percentile(samples: Sequence[float], share: float) -> float:
    """By nearest rank: the smallest sample that so large a share of them does not exceed. With
    fewer than 20, the 95th is the largest."""
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def to_json(report: Report) -> str:
    results = [
        {**one._asdict(), "samples": [round(sample, 3) for sample in one.samples]}
        for one in report.results
    ]
    document = {"version": VERSION, **report._asdict(), "results": results}
    return json.dumps(document, indent=1) + "\n"


def from_json(text: str) -> Report:
    """Raises ValueError: it is of another version."""
    document: dict[str, Any] = json.loads(text)
    if document.pop("version") != VERSION:
        raise ValueError(f"these results are not of version {VERSION}")
    results = [Result(**{**one, "samples": tuple(one["samples"])}) for one in document["results"]]
    return Report(**{**document, "results": results})
