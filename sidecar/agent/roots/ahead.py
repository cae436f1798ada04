"""Sweeps that are made ahead of a run.

A run waits for a look at all files on both sides. The laptop says that it is about to ask for one
before it looks at its own side, so that the two looks go on at once: of 20,000 files each takes
some 60 ms.

What is seen of edits made here is all that were made before the run was asked for, as without. One
made later is seen if the sweep is; so an old one does not count, and one that began before paths
came into the set unseen does not either.
"""

import time
from functools import partial
from typing import Any, Dict, List, NamedTuple, Optional

from sidecar.agent.failure import Failure, Refusal
from sidecar.agent.roots.managed import Managed
from sidecar.agent.roots.root import Root
from sidecar.core import messages as m
from sidecar.core.identity import Entry

VALID = 1.0
"""Seconds from a sweep's end to the run that it was made for: a save or two go in between."""


class _Swept(NamedTuple):
    """What a sweep of that set found different. `adopted`: the set's, when it began. `at`: its
    end, by the monotonic clock."""

    managed: Managed
    adopted: int
    at: float
    differing: List[str]


class Ahead:
    """Handles LookAhead, for all roots of a link.

    Args:
        files: the agent's Files, which asks `swept` before it sweeps for a run.
    """

    TYPES = (m.LookAhead,)

    def __init__(self, files: Any) -> None:
        self._files = files
        self._swept: Dict[int, _Swept] = {}
        files.swept_ahead = self.swept

    def handle(self, message: m.LookAhead) -> None:
        """Begins; not answered, whatever becomes of it."""
        try:
            root, managed = self._files.place(message.root)
        except Failure:
            return  # closed meanwhile
        # On the thread of all sweeps: the run's own decision comes behind it.
        self._files.sweeps.submit(partial(self._look, root, managed))

    def swept(self, root: Root, managed: Managed) -> Optional[List[Entry]]:
        """What of that which a sweep found is different still; None where the run must sweep
        itself. Used once."""
        found = self._swept.pop(root.number, None)
        if (
            found is None
            or found.managed is not managed
            or found.adopted != managed.adopted
            or time.monotonic() - found.at > VALID
        ):
            return None
        return managed.look_again(root, found.differing)

    def _look(self, root: Root, managed: Managed) -> None:
        self._swept.pop(root.number, None)
        adopted = managed.adopted
        try:
            differing = [path for path, _ in managed.sweep(root)]
        except (OSError, Refusal, Failure):
            return  # the run's own sweep finds it, and says so
        self._swept[root.number] = _Swept(managed, adopted, time.monotonic(), differing)
