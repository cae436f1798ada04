"""Logs that grow there: added to here by what is new of them.

That one still begins as it did is seen by its inode and the end that was known (incoming.py); when
it has been quiet for QUIET seconds its digest is compared, and it comes anew by blocks should it
differ.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from sidecar.core import delta
from sidecar.core.identity import Identity
from sidecar.errors import SidecarError
from sidecar.sync.disk import local_files
from sidecar.sync.pulling.incoming import READ, is_log
from sidecar.sync.pulling.wanted import Wanted
from sidecar.sync.trees.base import Agreed, Base
from sidecar.sync.trees.there import There

QUIET = 5.0

MOST_DIGESTS = 256
"""Logs whose digest is kept half-way, so that a new line costs hashing one line."""

ADDED = "added:"
"""Before the digest of an intent (Base.intend): it is what a log here is about to become, not what
is about to be sent."""


class Logs:
    """Of one root over one connection.

    Args:
        anew: has one come, not by its tail.
    """

    def __init__(
        self, root: Path, base: Base, there: There, anew: Callable[[str, Wanted], None]
    ) -> None:
        self._root, self._base, self._there, self._anew = root, base, there, anew
        self._digests: dict[str, tuple[Identity, delta.ContentDigest]] = {}
        self._quiet: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        for timer in self._quiet.values():
            timer.cancel()
        for task in self._tasks:
            task.cancel()

    def grown(self, path: str, wanted: Wanted) -> Agreed | None:
        """What both sides agreed on where what is wanted may be just that and more; else None."""
        agreed, here = self._base.entries.get(path), wanted.here
        if wanted.anew or wanted.decided or agreed is None or here is None or not is_log(path):
            return None
        if (
            (wanted.node, here.size) != (agreed.node, agreed.remote.size)
            or wanted.there.inode != agreed.remote.inode
            or wanted.there.size <= agreed.remote.size
        ):
            return None
        return agreed

    async def digest_before(self, path: str, here: Identity) -> delta.ContentDigest:
        """Of what is here, to be gone on with."""
        known, digest = self._digests.pop(path, (None, delta.ContentDigest()))
        if known == here:
            return digest
        return await asyncio.to_thread(self._digest_of, path, here)

    def intend(self, path: str, digest: delta.ContentDigest) -> None:
        """What the log here is about to become: should we be killed between the write and base,
        then this is known as no edit of somebody's."""
        self._base.intend(path, ADDED + digest.hexdigest())

    def added_to(self, path: str, landed: Identity, digest: delta.ContentDigest) -> None:
        """It is here now; it is compared when it has been quiet for a while."""
        self._digests[path] = landed, digest
        while len(self._digests) > MOST_DIGESTS:
            del self._digests[next(iter(self._digests))]
        if path in self._quiet:
            self._quiet[path].cancel()
        loop = asyncio.get_running_loop()
        self._quiet[path] = loop.call_later(QUIET, self._begin_to_check, path)

    def _digest_of(self, path: str, here: Identity) -> delta.ContentDigest:
        digest = delta.ContentDigest()
        with local_files.open_source(self._root, path, here) as source:
            for at in range(0, source.size, READ):
                digest.update(source.read_at(at, READ))
            source.check_unchanged()
        return digest

    def _begin_to_check(self, path: str) -> None:
        task = asyncio.create_task(self._check(path), name="check a log")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _check(self, path: str) -> None:
        """Compares a log's digest, since only its end was."""
        self._quiet.pop(path, None)
        agreed = self._base.entries.get(path)
        if agreed is None or path in self._there.differing:
            return
        try:
            digest = (await self._there.digests([path]))[path]
            found = (await self._there.lookup([path])).get(path)
        except SidecarError:
            return  # another connection looks again
        if found == agreed.remote and digest not in ("", agreed.node.digest):
            self._anew(path, Wanted(found, agreed.local, agreed.node, anew=True))
