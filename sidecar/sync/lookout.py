"""The lookout: what somebody else changes on the remote, seen over one connection.

Where the agent can notice changes (inotify), it tells of them within moments, and sweeps are for
what it may have missed: rarer and rarer while they find nothing. Where it cannot (file systems of
the network, other systems, too many folders), the sweeps are all there is, and stay closer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from sidecar.core import identity, messages, paths
from sidecar.errors import RemoteError, SidecarError
from sidecar.sync.there import There

log = logging.getLogger(__name__)

SWEEP_EVERY = 30.0
"""Seconds between looks at the managed files there to begin with. A sweep costs the agent 2 µs a
file; runs and syncs look at once, whatever this says."""

GROWS = 1.5
"""By this the pause grows after each sweep that found nothing."""

SLOWEST, SLOWEST_BLIND = 300.0, 120.0
"""Seconds that it grows to where changes are noticed, and where they are not."""


class Lookout:
    """Ends with the connection.

    Args:
        touch: given each path at which something differs newly.
        again: tries again what failed; whether there was anything.
    """

    def __init__(
        self, there: There, touch: Callable[[str], None], again: Callable[[], bool]
    ) -> None:
        self._there, self._touch, self._again = there, touch, again
        self.missing = "not asked yet"
        """Why changes there are not noticed by themselves; "" where they are."""
        self.looked = asyncio.Event()
        """The watch stands, and what changed before it did was looked for."""
        self._soon = asyncio.Event()
        self._stop = there.agent.listen(messages.Noticed, there.number, self._noticed)
        self._task = asyncio.create_task(self._look(), name="lookout")

    def close(self) -> None:
        self._stop()
        self._task.cancel()

    async def _look(self) -> None:
        with contextlib.suppress(SidecarError):  # the connection is over, which others tell
            await self._ask_to_be_told()
            pause = 0.0  # once at once: what changed before the watch stood
            while True:
                called = await self._called(pause)
                found = await self._there.sweep()
                self.looked.set()
                for path in found:
                    self._touch(path)
                failed = self._again()
                slowest = SLOWEST_BLIND if self.missing else SLOWEST
                if found or called or failed or not pause:
                    pause = SWEEP_EVERY
                else:
                    pause = min(pause * GROWS, slowest)

    async def _called(self, pause: float) -> bool:
        """Waits that long, or until a look is due; whether it is."""
        # Not asyncio.wait_for, which before Python 3.12 may forget that it was cancelled.
        soon = asyncio.create_task(self._soon.wait())
        try:
            await asyncio.wait({soon}, timeout=pause)
        finally:
            soon.cancel()
        called = self._soon.is_set()
        self._soon.clear()
        return called

    async def _ask_to_be_told(self) -> None:
        try:
            self.missing = (await self._there.watch([])).missing
        except RemoteError as error:
            self.missing = str(error)
        if self.missing:
            log.info("changes there are looked for at a beat: %s", self.missing)

    def _noticed(self, message: messages.Message) -> None:
        assert isinstance(message, messages.Noticed)
        try:
            entries = identity.unpack(message.body)
            for path, _ in entries:
                paths.check(path)
        except (identity.PackError, paths.PathError) as error:
            log.warning("the remote told of changes that cannot be: %s", error)
            return
        if message.lost:
            self._soon.set()
        for path in self._there.noticed(entries):
            self._touch(path)
