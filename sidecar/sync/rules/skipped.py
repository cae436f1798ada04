"""What the rules keep out of a project, by rule, and how much it is.

The folders that are synced are listed; each thing in them that a rule keeps out is then counted
with what is below it, all rules in turn, so that one enormous folder does not keep the others from
being counted. Bounded in time and entries: what is over is said to be more.
"""

from __future__ import annotations

import os
import stat
import time
from collections import deque
from pathlib import Path

from sidecar import api
from sidecar.sync.rules.ignore import Decision, Rules

SECONDS = 2.0
"""For all of it. 100,000 entries take about a second."""

ENTRIES = 300_000

MOST_RULES = 200


class _Count:
    """One rule's."""

    def __init__(self) -> None:
        self.entries = self.bytes = 0
        self.left: deque[str] = deque()
        """Folders that are still to be counted."""


def skipped(root: Path, rules: Rules, *, seconds: float = SECONDS) -> list[api.Skipped]:
    """The rules that keep something out, the largest first. Blocking: for a thread."""
    end = time.monotonic() + seconds
    counts: dict[Decision, _Count] = {}
    folders, seen, whole = [""], 0, True
    while folders:
        if time.monotonic() > end or seen > ENTRIES:
            whole = False
            break
        path = folders.pop()
        folder = rules.folder(path)
        prefix = f"{path}/" if path else ""
        try:
            entries = list(os.scandir(f"{root}/{path}"))
        except OSError:
            continue  # it could not be looked at, which the scan says
        for entry in entries:
            seen += 1
            is_folder = entry.is_dir(follow_symlinks=False)
            decision = folder.decide(entry.name, is_folder)
            if not decision.ignored:
                if is_folder:
                    folders.append(prefix + entry.name)
                continue
            count = counts.setdefault(decision, _Count())
            _add(count, entry, is_folder)
    _count_below(counts, end, ENTRIES - seen)
    told = [
        api.Skipped(
            rule=decision.rule,
            source=decision.source,
            entries=count.entries,
            bytes=count.bytes,
            more=bool(count.left) or not whole,
        )
        for decision, count in counts.items()
    ]
    return sorted(told, key=lambda one: (-one.bytes, -one.entries, one.rule))[:MOST_RULES]


def _count_below(counts: dict[Decision, _Count], end: float, left: int) -> None:
    """A folder of each rule in turn, as long as there is time."""
    turn = deque(count for count in counts.values() if count.left)
    while turn and time.monotonic() < end and left > 0:
        count = turn.popleft()
        try:
            with os.scandir(count.left.popleft()) as entries:
                for entry in entries:
                    left -= 1
                    _add(count, entry, entry.is_dir(follow_symlinks=False))
        except OSError:
            pass  # not ours to read, or gone: it counts as the one entry that it is
        if count.left:
            turn.append(count)


def _add(count: _Count, entry: os.DirEntry[str], is_folder: bool) -> None:
    count.entries += 1
    if is_folder:
        count.left.append(entry.path)
        return
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError:
        return  # gone since it was listed
    if stat.S_ISREG(status.st_mode):
        count.bytes += status.st_size
