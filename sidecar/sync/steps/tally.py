"""A tally: what both sides brought each other since a moment, for who asked for it."""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec

from sidecar import api
from sidecar.sync.steps.attachment import Attachment
from sidecar.sync.steps.step import Project


class Tally:
    """Counts from when it is made."""

    def __init__(self, project: Project, attachment: Attachment) -> None:
        self._project, self._attachment = project, attachment
        pusher = attachment.pusher
        self._began = time.monotonic()
        self._seq, self._sent, self._came = pusher.seq, pusher.bytes_sent, attachment.came
        self._removed = project.removed

    @classmethod
    def of_all(cls, project: Project, attachment: Attachment, began: float, removed: int) -> Tally:
        """Of all that went over this connection.

        Args:
            began: by the monotonic clock.
            removed: removals that had been sent before.
        """
        tally = cls(project, attachment)
        tally._seq = tally._sent = tally._came = 0
        tally._began, tally._removed = began, removed
        return tally

    def result(self, notes: list[api.PathNote], plan: Sequence[str] = ()) -> api.SyncResult:
        gone = self._project.removed - self._removed
        return api.SyncResult(
            sent=self._attachment.pusher.seq - self._seq - gone,
            removed=gone,
            taken=self._attachment.came - self._came,
            bytes_sent=self._attachment.pusher.bytes_sent - self._sent,
            seconds=time.monotonic() - self._began,
            notes=notes,
            plan=list(plan),
        )

    def added_to(self, before: api.SyncResult, notes: list[api.PathNote]) -> api.SyncResult:
        """With what came here since, which another result did not count."""
        return msgspec.structs.replace(
            before,
            taken=before.taken + self._attachment.came - self._came,
            seconds=before.seconds + time.monotonic() - self._began,
            notes=notes,
        )
