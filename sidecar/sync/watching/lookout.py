"""The lookout: what somebody else changes on the remote, seen over one connection.

Where the agent can notice changes (inotify), it tells of them within moments, and sweeps are for
what it may have missed: rarer and rarer while they find nothing. Where it cannot (file systems of
the network, other systems, too many folders), the sweeps are all there is, and stay closer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection

from sidecar.core import identity, messages, paths
from sidecar.core.identity import DIRECTORY, Entry
from sidecar.errors import Disconnected, RemoteError, SidecarError
from sidecar.sync.trees.base import Base
from sidecar.sync.trees.there import There
from sidecar.sync.watching.explore import Explorer

log = logging.getLogger(__name__)

SWEEP_EVERY, SWEEP_EVERY_BLIND = 60.0, 30.0
"""Seconds between looks at the managed files there to begin with, where changes are noticed, and
where they are not. A sweep costs the agent 3 µs a file: of 20,000, at 30 s, it was all but a few of
the 130 ms that an idle agent had in its first minute. Runs and syncs look at once, whatever this
says."""

GROWS = 1.5
"""By this the pause grows after each sweep that found nothing."""

GONE = 0.5
"""Seconds without another one after which files that are gone there are put back."""

SLOWEST, SLOWEST_BLIND = 300.0, 120.0
"""Seconds that it grows to where changes are noticed, and where they are not."""


class Lookout:
    """Ends with the connection.

    Args:
        touch: given each path at which something differs newly.
        again: tries again what failed; whether there was anything.
        check: raises SyncError where what was found says that all is gone.
        failed: told why no look can be taken any more, while the connection stands.
    """

    def __init__(
        self,
        there: There,
        base: Base,
        explorer: Explorer,
        touch: Callable[[str], None],
        again: Callable[[], bool],
        check: Callable[[There], None],
        failed: Callable[[SidecarError], None],
    ) -> None:
        self._there, self._base, self._explorer = there, base, explorer
        self._touch, self._again = touch, again
        self._check, self._failed = check, failed
        self._gone: set[str] = set()
        self._quiet: asyncio.TimerHandle | None = None
        self.missing = "not asked yet"
        """Why changes there are not noticed by themselves; "" where they are."""
        self.looked = asyncio.Event()
        """The watch stands, and what changed before it did was looked for."""
        self._soon = asyncio.Event()
        self._stop = there.agent.listen(messages.Noticed, there.number, self._noticed)
        self._folders: set[str] = set()
        self._new = asyncio.Event()
        self._tasks = [
            asyncio.create_task(self._look(), name="lookout"),
            asyncio.create_task(self._explore(), name="explore"),
        ]

    def close(self) -> None:
        self._stop()
        if self._quiet is not None:
            self._quiet.cancel()
        for task in self._tasks:
            task.cancel()

    async def _look(self) -> None:
        with contextlib.suppress(Disconnected):  # which others tell
            try:
                await self._look_on()
            except SidecarError as error:
                self._failed(error)

    async def _look_on(self) -> None:
        await self._ask_to_be_told()
        pause = 0.0  # once at once: what changed before the watch stood
        while True:
            called = await self._called(pause)
            gone = set[str]()
            if self._quiet is None:
                gone, self._gone = self._gone, gone
            found = await self._there.sweep()
            self._check(self._there)
            found |= await self._explorer.look()
            self.looked.set()
            for path in gone & self._there.differing.keys():
                self._touch(path)
            self._take(found - gone)
            failed = self._again()
            slowest = SLOWEST_BLIND if self.missing else SLOWEST
            if found or called or failed or not pause:
                pause = SWEEP_EVERY_BLIND if self.missing else SWEEP_EVERY
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
        self._take(self._there.noticed(self._that_matter(entries)))

    def _that_matter(self, entries: list[Entry]) -> list[Entry]:
        """Without what nobody wants of folders that were explored. New ones are explored, too."""
        agreed, wants = self._base.entries, self._there.wants
        kept = []
        for path, there in entries:
            if path.startswith(".git/"):
                continue  # for who follows the repository
            is_folder = there is not None and there.kind == DIRECTORY
            if path in agreed or path in self._there.differing or wants(path, is_folder):
                kept.append((path, there))
            if is_folder and self._explorer.enters(path):
                self._folders.add(path)
                self._new.set()
        return kept

    async def _explore(self) -> None:
        """Looks into folders that appeared, which may have been filled since."""
        with contextlib.suppress(SidecarError):
            while True:
                await self._new.wait()
                self._new.clear()
                folders, self._folders = self._folders, set()
                for path in await self._explorer.look(sorted(folders)):
                    self._touch(path)

    def _take(self, changed: Collection[str]) -> None:
        """What is gone may be the first of all: nothing is put back into the middle of an `rm -r`,
        nor before another look says that the rest is still there."""
        gone = {path for path in changed if self._there.differing.get(path, path) is None}
        for path in changed:
            if path not in gone:
                self._touch(path)
        if gone:
            self._gone |= gone
            if self._quiet is not None:
                self._quiet.cancel()
            self._quiet = asyncio.get_running_loop().call_later(GONE, self._all_are_gone)

    def _all_are_gone(self) -> None:
        self._quiet = None
        self._soon.set()
