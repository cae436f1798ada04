"""Answers: what the remote says to each change that was sent, and what follows from it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timezone

from sidecar import api
from sidecar.core import messages, reconcile
from sidecar.core.identity import DIRECTORY, Identity
from sidecar.errors import SidecarError
from sidecar.sync.guarding import guards
from sidecar.sync.pushing.change import Change
from sidecar.sync.pushing.upload import CANCELLED
from sidecar.sync.steps.step import Project
from sidecar.sync.trees.there import There

LOOK_AGAIN = ("differs", "follows", "aborted", "damaged")
"""Refusals that say: the plan was made for another state than was found."""

PATIENCE = 5
"""Times in a row that a path is looked at again before the refusal is shown; and rounds of those
after which a sync is over, for files that somebody writes without an end."""

REMEDIES = {
    "disk": "nothing was changed there; see to its disk, then `sidecar sync`",
    "path": "nothing was changed there; see to that path there, then `sidecar sync`",
    "large": "nothing was changed there; `sidecar resolve --keep local` asks about it",
}
OTHER_REMEDY = "nothing was changed there; `sidecar sync` tries again"
"""What next, by the code of a refusal that looking again does not settle."""

TELL_EVERY = 0.2
"""Seconds between two tellings of how far an upload is."""


class Answers:
    """To the changes of one project, over whichever connection.

    Args:
        called_off: takes the files whose upload a person called off, as they were then.
        lose: told why one folder as a whole is not what it was.
        on_synced: told when something that an editor saved is visible there.
        on_change: told when public state has changed.
    """

    def __init__(
        self,
        project: Project,
        called_off: dict[str, Identity | None],
        *,
        lose: Callable[[SidecarError], None],
        on_synced: Callable[[api.Synced], None],
        on_change: Callable[[], None],
    ) -> None:
        self._project, self._called_off, self._lose = project, called_off, lose
        self._on_synced, self._on_change = on_synced, on_change
        self._told_at = 0.0
        self.last = ""
        """When a change was last visible there, in ISO 8601."""

    def agreed(self, there: There, change: Change) -> None:
        """It is visible there."""
        project, path = self._project, change.path
        self.last = datetime.now(timezone.utc).isoformat(timespec="seconds")
        project.refusals.pop(path, None)
        project.allowance.arrived(path)
        if there.answered(path):
            project.touch(path)
        if project.pulls or project.base.theirs:
            is_folder = change.node is not None and change.node.kind == DIRECTORY
            there.pushed(path, bool(project.pulls.of(path, is_folder) & reconcile.THEIRS))
        if not there.on_its_way(path):
            self.synced(path, change.bytes_sent)
        self._on_change()

    def synced(self, path: str, bytes_sent: int = 0) -> None:
        """Tells of a save that it is visible there, if an editor told of it."""
        milliseconds = self._project.saves.visible(path)
        if milliseconds is not None:
            self._on_synced(
                api.Synced(
                    project=self._project.name,
                    host=self._project.host,
                    paths=[path],
                    bytes_sent=bytes_sent,
                    milliseconds=milliseconds,
                )
            )

    def refused(self, there: There, change: Change, refused: messages.Refused) -> None:
        """Nothing was done there."""
        path, have, notes = change.path, refused.have, self._project.notes
        refusals, host = self._project.refusals, self._project.host
        if refused.code == "root":
            self._project.touch(path)
            self._lose(guards.remote_lost(host, refused.why))
            return
        ours = change.taken_back or change.called_off
        if not ours and refused.code != "follows":  # those come of another change
            refusals[path] = refusals.get(path, 0) + 1
        if refused.code == "differs":
            there.differs(path, have)
        if refused.code == "large":
            there.too_large.add(path)
        if change.node is None and have is not None and have.kind == DIRECTORY:
            # It holds something that only the remote has: theirs from now on.
            there.forget(path)
            text = "deleted here; the remote has files of its own in it"
            notes.say(path, reconcile.KEPT, text)
        elif change.called_off:
            self._called_off[path] = change.local
            notes.say(path, "held", f"{CANCELLED}; `sidecar sync` goes on with it")
        elif refused.code in LOOK_AGAIN and refusals.get(path, 0) < PATIENCE:
            if not there.on_its_way(path):  # else a newer change has an answer of its own
                self._project.touch(path)
        else:
            remedy = REMEDIES.get(refused.code, OTHER_REMEDY)
            notes.say(path, "refused", f"{host} said: {refused.why}; {remedy}")
        self._on_change()

    def moved(self) -> None:
        """A large content got further; told now and then, for people."""
        now = time.monotonic()
        if now - self._told_at > TELL_EVERY:
            self._told_at = now
            self._on_change()
