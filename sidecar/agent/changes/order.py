"""The order of one root's changes: which are answered, which wait for one before them, and who
waits until they all are. Bookkeeping only; thread-safe.

Changes are numbered from 1 by the sender, but come over several lanes: a small save overtakes a
large upload. So number 7 may be answered while 3 is still arriving, and a change of the same path
that says "after 3" must wait for it without holding up anything else.
"""

import threading
from collections import OrderedDict
from typing import Callable, Dict, List, NamedTuple, Optional, Set, Tuple

from sidecar.core.identity import Identity

REMEMBERED = 1 << 16
"""Outcomes kept for changes that name them. The sender names an answered change only while the
answer is on its way."""

MOST_AHEAD = 1 << 20
"""How far a number may be ahead of the oldest that is open."""

MOST_WAITING = 10000
"""Changes, and runs, that may wait for others."""


class Outcome(NamedTuple):
    """What became of a change. `refused`: the code of its refusal, or ""; else `identity` is
    what was there after it."""

    path: str
    identity: Optional[Identity]
    refused: str = ""


Task = Callable[[], None]


class Order:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all_upto = 0
        self._beyond: Set[int] = set()
        self._outcomes: OrderedDict[int, Outcome] = OrderedDict()
        self._after: Dict[int, List[Task]] = {}
        self._upto: List[Tuple[int, Task]] = []
        self._waiting = 0

    @property
    def all_upto(self) -> int:
        """Every change up to this number was answered."""
        return self._all_upto

    def is_past(self, seq: int) -> bool:
        """Whether a change behind this one was answered."""
        return max(self._beyond, default=self._all_upto) > seq

    def acceptable(self, seq: int) -> bool:
        """Whether a change may have this number."""
        return 0 < seq <= self._all_upto + MOST_AHEAD

    def is_answered(self, seq: int) -> bool:
        with self._lock:
            return self._is_answered(seq)

    def outcome(self, seq: int) -> Optional[Outcome]:
        """What became of it; None: not answered, or too long ago."""
        with self._lock:
            return self._outcomes.get(seq)

    def after(self, seq: int, task: Task) -> bool:
        """Keeps a task until `seq` is answered. False, and not kept, where it is already.

        Raises:
            OverflowError: too many wait.
        """
        with self._lock:
            if self._is_answered(seq):
                return False
            self._wait()
            self._after.setdefault(seq, []).append(task)
            return True

    def after_all(self, upto: int, task: Task) -> bool:
        """Keeps a task until every change up to `upto` is answered. False where they are.

        Raises:
            OverflowError: too many wait.
        """
        with self._lock:
            if upto <= self._all_upto:
                return False
            self._wait()
            self._upto.append((upto, task))
            return True

    def answer(self, seq: int, outcome: Outcome) -> List[Task]:
        """Notes an answer. Returns the tasks that have waited for it, to be run by the caller."""
        with self._lock:
            self._outcomes[seq] = outcome
            if len(self._outcomes) > REMEMBERED:
                self._outcomes.popitem(last=False)
            if seq > self._all_upto:
                self._beyond.add(seq)
            while self._all_upto + 1 in self._beyond:
                self._all_upto += 1
                self._beyond.discard(self._all_upto)
            free = self._after.pop(seq, [])
            free += [task for upto, task in self._upto if upto <= self._all_upto]
            self._upto = [one for one in self._upto if one[0] > self._all_upto]
            self._waiting -= len(free)
            return free

    def abandon(self) -> List[Task]:
        """No more changes will come. Returns the tasks that wait for all up to a number; changes
        that wait for others are dropped, since nobody is left to hear of them."""
        with self._lock:
            free = [task for _, task in self._upto]
            self._upto, self._after = [], {}
            self._waiting = 0
            return free

    def _is_answered(self, seq: int) -> bool:
        return seq <= self._all_upto or seq in self._beyond

    def _wait(self) -> None:
        if self._waiting >= MOST_WAITING:
            raise OverflowError("%d changes and runs wait already" % self._waiting)
        self._waiting += 1
