"""Watching: which paths of a project changed, soon after they did.

On Linux by inotify (inotify_tree.py): ignored folders cost no watches, nothing runs while nothing
happens, and overflow is seen. Elsewhere, and where there is no inotify, by watchfiles
(portable_tree.py), which has none of these, and whose misses are repaired there.

Measured: a file replaced by a rename is told after 3.5 ms by inotify, with nothing used while
nothing happens. 5,000 folders with 200,000 files are under watch after a second, on a busy core.

A watcher may still miss things (memory maps, network file systems), so now and then it asks for a
scan: every BEAT seconds, every UNWATCHED seconds while some folders cannot be watched, after the
machine slept, and when anything was lost. So that is how long a change can stay unseen that no
editor tells: BEAT seconds, or UNWATCHED where `missing` says why.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from sidecar.sync.rules.ignore import Rules
from sidecar.sync.watching.inotify_tree import InotifyTree, no_watches
from sidecar.sync.watching.portable_tree import PortableTree
from sidecar.sync.watching.seen import RootGone, Seen
from sidecar.sync.watching.settling import Settling

logger = logging.getLogger(__name__)

TICK = 5.0
"""Seconds between looks at the clock, and at the tree where nothing happens in it."""

BEAT = 300.0
"""Seconds between scans as a matter of course; one of 20,000 files takes 0.2 s."""

UNWATCHED = 15.0
"""The same while some folders cannot be watched."""

SLEPT = 20.0
"""Seconds that the wall clock may run ahead of the monotonic one in a tick, before it is taken for
a sleep of the machine."""

RESTART = 1.0
"""Seconds before a watcher that ended is started again."""

MAX_PATHS = 50_000
"""Paths that wait for the reader; more become one request for a scan."""

T = TypeVar("T")


class Batch(NamedTuple):
    """Paths, relative to the root and not ignored, at which something may be different: something
    came, went or changed there. `rescan`: changes beyond these may have happened anywhere."""

    paths: frozenset[str]
    rescan: bool


class Watcher:
    """The watch on one project.

    Args:
        root: its real path.
        rules: what is ignored; when they were read anew, the watch follows within TICK seconds.
        beat: see BEAT.
        portable: whether to use watchfiles on Linux, too.
    """

    def __init__(
        self, root: Path, rules: Rules, *, beat: float = BEAT, portable: bool = False
    ) -> None:
        self.root, self.rules = root, rules
        self.missing = ""
        """Why the watch is not whole, for `status`; "" where it is."""
        self._beat, self._unwatched = beat, min(beat, UNWATCHED)
        self._portable = portable or sys.platform != "linux"
        self._paths: set[str] = set()
        self._lost = False
        self._something = asyncio.Event()

    async def batches(self) -> AsyncGenerator[Batch, None]:
        """Changes as they come, for one reader, for as long as it wants them; end it by cancelling
        the reader's task or with `contextlib.aclosing`.

        The first batch comes when the watch stands and asks for a scan: what was scanned before
        may have changed meanwhile. Batches that are not fetched grow together.
        """
        watching = asyncio.create_task(self._watch())
        try:
            last_scan = time.monotonic()
            while True:
                slept = await self._wait(watching)
                pause = self._unwatched if self.missing else self._beat
                if slept or self._lost or time.monotonic() - last_scan >= pause:
                    self._lost, last_scan = True, time.monotonic()
                if self._paths or self._lost:
                    batch = Batch(frozenset(self._paths), self._lost)
                    self._paths, self._lost = set(), False
                    yield batch
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _wait(self, watching: asyncio.Task[None]) -> bool:
        """Returns when there is something, or after a tick; whether the machine slept."""
        wall, ticks = time.time(), time.monotonic()
        something = asyncio.create_task(self._something.wait())
        try:
            await asyncio.wait(
                {something, watching},
                timeout=min(TICK, self._beat),
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            something.cancel()
        if watching.done():
            watching.result()
        self._something.clear()
        return (time.time() - wall) - (time.monotonic() - ticks) > SLEPT

    def _tell(self, seen: Seen) -> None:
        self._paths |= seen.paths
        self._lost |= seen.lost
        if len(self._paths) > MAX_PATHS:
            self._paths, self._lost = set(), True
        if self._paths or self._lost:
            self._something.set()

    async def _watch(self) -> None:
        """Watches, and begins again whenever that ends."""
        told = False
        while True:
            try:
                async for seen in self._by_watchfiles() if self._portable else self._by_inotify():
                    told = False
                    self._tell(seen)
            except (OSError, RootGone, RuntimeError) as error:
                # watchfiles says all that goes wrong in it with a RuntimeError of its own.
                if isinstance(error, OSError) and error.errno == errno.ENOSYS:
                    self._portable = True
                    continue
                self.missing = no_watches(error) or f"not watched: {error}"
                if not told:
                    logger.info("watch of %s ended and begins again: %s", self.root, error)
                    self._tell(Seen(set(), True))
                told = True
            await asyncio.sleep(RESTART)

    # --- Linux

    async def _by_inotify(self) -> AsyncIterator[Seen]:
        tree = await _in_thread(partial(InotifyTree, self.root, self.rules))
        try:
            seen, settling = Seen(set(), True), Settling()
            while True:
                self.missing = tree.missing
                yield seen
                soon = tree.soon
                if await _readable(tree.fileno(), TICK if soon is None else min(TICK, soon)):
                    await asyncio.sleep(settling.wait(time.monotonic()))
                seen = await _in_thread(tree.look)
                settling.told(len(seen.paths), time.monotonic())
        finally:
            tree.close()

    # --- elsewhere

    async def _by_watchfiles(self) -> AsyncIterator[Seen]:
        tree = await _in_thread(partial(PortableTree, self.root, self.rules))
        try:
            self.missing = ""
            yield Seen(set(), True)
            while True:
                yield await _in_thread(tree.look, tree.stop)
        finally:
            tree.close()


async def _readable(descriptor: int, timeout: float) -> bool:
    """Waits until a descriptor has something to read; whether it has."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bool] = loop.create_future()

    def tell(readable: bool) -> None:
        if not answer.done():
            answer.set_result(readable)

    # Not asyncio.wait_for: before Python 3.12 it forgets that it was cancelled where the answer
    # comes in the same moment, and then nobody ends the watch.
    loop.add_reader(descriptor, tell, True)
    late = loop.call_later(timeout, tell, False)
    try:
        return await answer
    finally:
        late.cancel()
        loop.remove_reader(descriptor)


async def _in_thread(function: Callable[[], T], stop: Callable[[], None] = lambda: None) -> T:
    """Runs a function in a thread. Who is cancelled meanwhile has it told to stop, and still waits
    for its end, so that what it uses can be closed."""
    # No task, which the end of the event loop would cancel while its thread goes on.
    running = asyncio.get_running_loop().run_in_executor(None, function)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        stop()
        while not running.done():
            with contextlib.suppress(asyncio.CancelledError):  # being told twice changes nothing
                await asyncio.wait({running})
        raise
