"""The loop: steps, one at a time, over whichever connection there is, until one folder as a whole
is not what it was."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

from sidecar.errors import Disconnected, SidecarError
from sidecar.sync.guarding import guards
from sidecar.sync.guarding.first_contact import Prefer
from sidecar.sync.guarding.notes import WHOLE
from sidecar.sync.steps.answers import PATIENCE
from sidecar.sync.steps.attachment import Attachment
from sidecar.sync.steps.local_news import LocalNews
from sidecar.sync.steps.pending import Pending
from sidecar.sync.steps.step import Project, Step, disconnected
from sidecar.sync.trees.scan import Scan
from sidecar.sync.trees.there import There

log = logging.getLogger(__name__)

LOSSES = ("root-gone", "root-replaced", "remote-emptied")
"""Codes of what ends an attachment over a connection that stands."""


class Loop:
    """Of one project and host.

    Attributes:
        lock: held by whoever changes anything on either side.
        lost: why both sides are apart although the connection stands; another attach is needed.
        place: the folder there, for people.
    """

    def __init__(
        self, project: Project, pending: Pending, news: LocalNews, on_change: Callable[[], None]
    ) -> None:
        self._project, self._pending, self._news = project, pending, news
        self._on_change = on_change
        self.lock = asyncio.Lock()
        self.lost: SidecarError | None = None
        self.attachment: Attachment | None = None
        self.place = project.host
        self._there: There | None = None

    # --- the connection

    def meet(self, there: There) -> None:
        """Both sides are about to meet over another connection."""
        self.detach()
        self.lost, self._there = None, there

    def detach(self) -> None:
        """The connection is gone. Changes on their way are open again."""
        attachment, self.attachment = self.attachment, None
        if attachment is not None:
            self._pending.paths |= attachment.close()
        if self._there is not None:
            self._there.close()
        self._there = None
        self._on_change()

    def attached(self) -> Attachment:
        """Raises Disconnected where there is no connection, or both sides never met over it."""
        if self.attachment is None:
            raise disconnected(self._project.host)
        return self.attachment

    # --- steps

    async def run(self) -> None:
        """Takes a step whenever something may differ and there is a connection."""
        pending, notes = self._pending, self._project.notes
        while True:
            await pending.due.wait()
            pending.due.clear()
            try:
                async with self.lock, self.noticing_a_loss():
                    if self.attachment is not None:
                        async with self.taken() as dirty:
                            await self.bring(dirty, patient=True)
            except Disconnected:
                pending.rescan = True  # detach follows, and the next attach looks at everything
            except SidecarError as error:
                pending.rescan = True
                if self.lost is None:
                    notes.say(WHOLE, "refused", str(error))
            except Exception as error:  # a mistake of ours must not end syncing in silence
                log.exception("a step of %s failed", self._project.name)
                pending.rescan = True
                notes.say(WHOLE, "refused", f"an error of the sidecar's own: {error!r}")
            self._on_change()

    def taken(self, *, rescan: bool = False) -> AbstractAsyncContextManager[set[str]]:
        """What may differ, for a step."""
        return self._pending.taken(self._news.scanned, rescan=rescan)

    async def bring(
        self,
        dirty: set[str],
        prefer: Prefer = "",
        *,
        patient: bool = False,
        found: Scan | None = None,
    ) -> None:
        """One step over these paths; see Step.bring. The lock is held."""
        now = self.attached()
        step = Step(self._project, now.there, now.pusher, prefer, now.puller)
        await step.bring(dirty, patient=patient, found=found)

    async def settle(self, *, pulled: bool = False) -> None:
        """Waits until all that is known of now was sent and answered, and sent again where the
        answer was to look again."""
        for _ in range(PATIENCE):
            await self.attached().settled(pulled=pulled)
            async with self.lock:
                self.attached()
                if not self._pending.paths:
                    return
                async with self.taken() as dirty:
                    await self.bring(dirty)

    # --- losses

    @contextlib.asynccontextmanager
    async def noticing_a_loss(self) -> AsyncIterator[None]:
        """A folder that as a whole is not what it was ends the attachment; `lost` says why, in
        place of the error that shows it."""
        try:
            yield
        except Disconnected:
            if self.lost is not None:
                raise self.lost from None
            raise
        except SidecarError as error:
            self.failed(error)
            if self.lost is not None:
                raise self.lost from None
            raise

    def lose(self, error: SidecarError) -> None:
        """Ends the attachment."""
        if self.lost is None and self.attachment is not None:
            log.warning("%s and %s are apart: %s", self._project.name, self._project.host, error)
            self.lost = error
            self.detach()

    def failed(self, error: SidecarError) -> None:
        """Ends the attachment where the error says that a folder as a whole is not what it was."""
        if error.code in LOSSES:
            self.lose(error)
        elif error.code == "root":
            self.lose(guards.remote_lost(self._project.host, error.what))

    def refuse_an_emptied_side(self, there: There) -> None:
        base = self._project.base
        if guards.is_emptied(base.entries, len(base.entries), there.differing):
            raise guards.remote_emptied(len(base.entries), self.place)
