"""A project's folders under watchfiles: for systems without inotify, and where ours fails.

It watches the whole tree, ignored folders too (events there are dropped), and it misses things
(measured on Linux: a fifth of the files in folders that appear and fill at once were never told,
and nothing of a folder that is moved in; a name that is no UTF-8 ends it; that the system's queue
ran over it keeps to itself). So:

- A folder that appears is listed at once, and again after each of LOOKS: what came into it behind
  watchfiles' back is told LOOKS[-1] seconds after the folder at the latest.
- After more than FLOOD paths in one turn a scan is asked for, LOOKS[-1] seconds later; and when a
  file of several names (hard links) changes, since only one of them may be told.
- When it ends, it is started again, with a scan (watch.py).

What it loses beyond that is found by the scan that comes at every beat.

It looks for events in turns, and each takes the processor. Measured, of one core and until a
replaced file is told: every 1 ms 2.3 % and 2 ms; 5 ms 0.7 % and 8 ms; 10 ms 0.4 % and 16 ms;
25 ms 0.2 % and 37 ms; 50 ms 0.15 % and 80 ms. Hence BUSY while somebody works, and IDLE after.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from sidecar.core import tree
from sidecar.core.identity import Identity
from sidecar.sync.rules.ignore import Rules
from sidecar.sync.trees.scan import scan
from sidecar.sync.watching.seen import RootGone, Seen, has_other_names

LOOKS = (0.4, 3.0)
"""Seconds after which a folder that appeared is listed again. The first is enough on a machine
with time to spare, the second where watchfiles' thread waits long for its turn."""

FLOOD = 100
"""Paths told in one turn from which on some may have been lost: Windows' buffer holds about as
many."""

BUSY, IDLE = 5, 25
"""Milliseconds of a turn while something changes and ACTIVE seconds after that, and else."""

ACTIVE = 60.0

DEBOUNCE = 50
"""Milliseconds after which events are told although more of them come."""

TURN = 5.0
"""Seconds that one `look` takes at most."""


class _Again(NamedTuple):
    """A folder that is to be listed again; "" stands for a scan of everything."""

    path: str
    due: tuple[float, ...]
    known: Mapping[str, Identity]
    """What was told of it."""


class PortableTree:
    """The watch on one project by watchfiles. `look` blocks; `stop` ends it from another thread."""

    missing = ""

    def __init__(self, root: Path, rules: Rules) -> None:
        """Raises:
        OSError: there is no root.
        RuntimeError: watchfiles fails.
        """
        from watchfiles._rust_notify import RustNotify

        self._root, self._rules = root, rules
        self._generation = rules.generation
        self._is = os.stat(root)
        self._real = os.path.realpath(root)
        self._stop = threading.Event()
        self._again: list[_Again] = []
        self._active = 0.0
        self._notify = RustNotify([self._real], False, False, 0, True, True)

    def stop(self) -> None:
        """Has a `look` that waits return soon."""
        self._stop.set()

    def close(self) -> None:
        self._notify.close()

    def look(self) -> Seen:
        """Waits for changes, TURN seconds at most.

        Raises:
            RootGone: all is to be begun anew.
            RuntimeError: watchfiles has ended.
        """
        now = time.monotonic()
        wait = max(0.0, min([TURN, *(one.due[0] - now for one in self._again)]))
        step = BUSY if now - self._active < ACTIVE else IDLE
        told = self._notify.watch(DEBOUNCE, step, int(wait * 1000) + 1, self._stop)
        self._check_root()
        seen: set[str] = set()
        if isinstance(told, set):
            self._active = time.monotonic()
            self._sort({self._relative(path) for _, path in told}, seen)
        lost = self._look_again(seen)
        if self._generation != self._rules.generation:
            self._generation, lost = self._rules.generation, True
        return Seen(seen, lost)

    def _relative(self, path: str) -> str:
        relative = os.path.relpath(path, self._real).replace(os.sep, "/")
        if relative == ".":
            raise RootGone("it was moved or removed")
        return relative

    def _check_root(self) -> None:
        try:
            there = os.stat(self._root)
        except OSError as error:
            raise RootGone(str(error)) from None
        if not os.path.samestat(self._is, there):
            raise RootGone("another folder stands in its place")

    def _sort(self, told: set[str], seen: set[str]) -> None:
        """Adds what counts of these paths, with all that is in the folders among them."""
        folders = set()
        for path in told:
            full = f"{self._root}/{path}"
            is_folder = os.path.isdir(full) and not os.path.islink(full)
            if is_folder:
                self._rules.forget(path)
            if not self._rules.decide(path, is_folder).ignored:
                seen.add(path)
                if is_folder:
                    folders.add(path)
        now = time.monotonic()
        flood = len(told) > FLOOD
        linked = any(has_other_names(f"{self._root}/{path}") for path in seen)
        if (flood or linked) and all(one.path for one in self._again):
            self._again.append(_Again("", (now + LOOKS[-1],), {}))
        for path in folders:
            if not folders.intersection(tree.ancestors(path)):
                due = () if flood else tuple(now + after for after in LOOKS)
                self._list(_Again(path, due, {}), seen)

    def _list(self, again: _Again, seen: set[str]) -> None:
        """Adds what is in a folder and is not as it was told."""
        found = scan(self._root, self._rules, again.path).entries
        seen.update(path for path, here in found.items() if again.known.get(path) != here)
        seen.update(again.known.keys() - found.keys())
        if again.due:
            self._again.append(again._replace(known=found))

    def _look_again(self, seen: set[str]) -> bool:
        """Lists what is due; whether a scan is."""
        now = time.monotonic()
        due = [one for one in self._again if one.due[0] <= now]
        self._again = [one for one in self._again if one.due[0] > now]
        for one in due:
            if one.path:
                self._list(one._replace(due=one.due[1:]), seen)
        return any(one.path == "" for one in due)
