"""Guards: the moments at which going on might lose something, so nothing is done.

Each has a sentence for a name; none has an effect on files.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from sidecar.core import reconcile
from sidecar.core.messages import Opened
from sidecar.errors import SyncError

MANY = 50
"""Removals at once above which they wait for a word, if they are also a quarter of all."""

AT_ONCE = 10.0
"""Seconds in which removals count together: a large tree is deleted, and seen to be, in parts."""


def refuse_a_folder_that_is_no_project(opened: Opened, host: str, user: str) -> None:
    """Raises SyncError for a home, `/`, or a folder that the user cannot write to."""
    place = f"{host}:{opened.path}"
    if opened.refused:
        raise SyncError(
            f"{place} cannot be a project's folder",
            opened.refused,
            f"set hosts.{host}.path to a folder of the project's own",
            code="root-refused",
        )
    if not opened.writable:
        raise SyncError(
            f"{place} is not writable for {user}",
            "nothing was sent",
            f"choose another hosts.{host}.path, or ask for the rights there",
            code="not-writable",
        )


def refuse_a_side_that_was_emptied(
    known: int, here: int, root: str, opened: Opened, marker: str, host: str
) -> None:
    """An empty folder where there was a full one is never read as "everything was deleted".

    Args:
        known: paths that both sides agreed on.
        here: entries found in `root` now.
        marker: that of the folder there in which they agreed.
    """
    if not known:
        return
    if not here:
        raise SyncError(
            f"{root} is empty, but {known} files of it are known",
            "it may be unmounted, or another folder in its place; nothing was removed there",
            "bring the folder back, or say `sidecar sync --prefer local` to remove them there",
            code="root-emptied",
        )
    if opened.marker != marker and not opened.entries:
        raise SyncError(
            f"{host}:{opened.path} is gone or empty, but held {known} files of ours",
            "it may be unmounted, or another machine answers to the name",
            "say `sidecar sync --prefer local` to push everything again",
            code="remote-emptied",
        )


def refuse_a_root_that_is_gone(root: str, exists: bool) -> None:
    """A folder that is not there is not a folder in which all was deleted."""
    if not exists:
        raise SyncError(
            f"{root} is gone",
            "it may be unmounted or renamed; nothing was removed on the other side",
            "bring the folder back, or open the project where it is now",
            code="root-gone",
        )


class Removals:
    """Counts what is removed there, to notice when it is unusually much at once. What was let
    through a moment ago counts, since a mass deletion may be seen in parts."""

    def __init__(self) -> None:
        self._made: deque[float] = deque()

    def that_must_wait(
        self, actions: Sequence[reconcile.Action], known: int, now: float
    ) -> set[str]:
        """The paths of an unusual number of removals, or of all there was; else none, and these
        removals are counted as made.

        Args:
            known: paths that both sides agree on.
            now: the monotonic clock, in seconds.
        """
        while self._made and self._made[0] < now - AT_ONCE:
            self._made.popleft()
        removed = [action.path for action in actions if isinstance(action, reconcile.Remove)]
        together = len(self._made) + len(removed)
        unusual = together > MANY and 4 * together > len(self._made) + known
        everything = known > 1 and len(removed) >= known
        if unusual or everything:
            return set(removed)
        self._made.extend(now for _ in removed)
        return set()
