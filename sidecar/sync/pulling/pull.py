"""Pulling: what a step decided to bring here, fetched beside the next steps, landed between them.

Small contents come many at a time and are never behind large ones. A pull lands only if both sides
still are what the plan saw; else the path is looked at again. What is replaced here goes to the
trash here (disk/landing.py), and no pull ever removes anything. Base agrees on what landed, so that
it is not pushed back; what is new from there is marked the remote's (Base.leave).

A log that grew there is added to here by what is new of it. That it still begins as it did is seen
by its inode and the end that was known; when it has been quiet for QUIET seconds its digest is
compared, and it comes anew by blocks should it differ.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import os
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sidecar.core import delta, tree
from sidecar.core.amount import size
from sidecar.core.identity import FILE, SYMLINK, Identity
from sidecar.core.reconcile import THEIRS
from sidecar.core.tree import Node
from sidecar.errors import Disconnected, RemoteError, SidecarError
from sidecar.remote.connection import AgentConnection
from sidecar.sync.delta.content import Content
from sidecar.sync.disk import local_files
from sidecar.sync.disk.landing import LocalLanding, NotTaken
from sidecar.sync.disk.local_files import Changed
from sidecar.sync.guarding.notes import Notes
from sidecar.sync.pulling.incoming import BLOCKS_FROM, READ, Arrived, Incoming, is_log
from sidecar.sync.rules.pulls import Pulls
from sidecar.sync.trees.base import Agreed, Base
from sidecar.sync.trees.there import There

log = logging.getLogger(__name__)

SMALL = 1 << 20
SMALL_AT_ONCE, LARGE_AT_ONCE = 32, 2

AGAIN, SLOWEST = 0.25, 10.0
"""Seconds until a file is tried again that changed while it was fetched, doubled up to SLOWEST."""

QUIET = 5.0

TRIES = 5

TELL_EVERY = 0.2
"""Seconds between two looks at how much has come."""

TELL_AFTER = 0.05
"""Seconds in which what landed is told to the agent together: it looks at its whole list then."""

MOST_DIGESTS = 256
"""Logs whose digest is kept half-way, so that a new line costs hashing one line."""

CLOCKS_AGREE = 1_000_000_000
"""Nanoseconds of clock difference up to which mtimes are taken as they are."""

TOO_LARGE = "too-large"
NOT_PULLED = "not-pulled"
"""Kinds of notes."""

WHY = "replaced by a pull"

ADDED = "added:"
"""Before the digest of an intent (Base.intend): it is what a log here is about to become, not what
is about to be sent."""


class Wanted(NamedTuple):
    """`there`: what is to come. `here`, `node`: what must be in its place when it lands. `asked`:
    a person asked for it, `named`: by just this path. `anew`: not as a log's tail. `tries`: how
    often it is tried again at once."""

    there: Identity
    here: Identity | None
    node: Node | None
    asked: bool = False
    named: bool = False
    anew: bool = False
    tries: int = 0


class Puller:
    """The pulls of one root over one connection. Ends with the connection.

    Args:
        largest: bytes above which a file only comes when it is asked for.
        stepping: held by steps, and here while something lands.
        touch: has a path looked at by a step.
        changed: told when public state has changed.
    """

    def __init__(
        self,
        agent: AgentConnection,
        root: Path,
        base: Base,
        there: There,
        landing: LocalLanding,
        pulls: Pulls,
        largest: int,
        notes: Notes,
        stepping: asyncio.Lock,
        *,
        touch: Callable[[str], None],
        changed: Callable[[], None],
    ) -> None:
        self._agent, self._root, self._base, self._there = agent, root, base, there
        self._landing, self._pulls, self._largest = landing, pulls, largest
        self._notes, self._stepping = notes, stepping
        self._touch, self._changed = touch, changed
        self._incoming = Incoming(agent, there.number, root, self._arrived)
        self._queues: dict[bool, dict[str, Wanted]] = {True: {}, False: {}}
        """What waits: small contents, and others."""
        self._pausing: set[str] = set()
        self._under_way: dict[str, Wanted] = {}
        self._now: dict[str, asyncio.Task[None]] = {}
        self._ends: dict[str, asyncio.Future[None]] = {}
        """Of what somebody waits for."""
        self._told = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._workers = {True: 0, False: 0}
        self._idle = asyncio.Event()
        self._idle.set()
        self._landing_turn = asyncio.Lock()
        self._failures: dict[str, int] = {}
        self._digests: dict[str, tuple[Identity, delta.ContentDigest]] = {}
        self._quiet: dict[str, asyncio.TimerHandle] = {}
        self._telling: asyncio.TimerHandle | None = None
        self.pulled = 0
        """Files and links that came."""
        self.bytes_received = 0

    @property
    def waiting(self) -> int:
        return sum(map(len, self._queues.values())) + len(self._under_way)

    def begin(self, path: str, there: Identity, read: Content | None) -> None:
        """Has a file or link come. Never blocks."""
        if there.kind == FILE and there.size > self._largest:
            text = f"{size(there.size)} there, too large to pull: `sidecar pull {path}`"
            self._notes.say(path, TOO_LARGE, text)
            return
        here, node = (read.identity, read.node) if read else (None, None)
        self._want(path, Wanted(there, here, node))

    async def fetch(self, asked: Mapping[str, Wanted]) -> None:
        """Has these come, and returns when they have, or it was said why not. Being cancelled
        calls them off.

        Raises:
            Disconnected: the connection went away meanwhile.
        """
        for path, wanted in asked.items():
            self._ends[path] = asyncio.get_running_loop().create_future()
            self._want(path, wanted._replace(asked=True, tries=TRIES))
        ends = [self._ends[path] for path in asked]
        try:
            await asyncio.gather(*ends)
        except BaseException:
            for path in asked:
                for queue in self._queues.values():
                    queue.pop(path, None)
                if path in self._now:
                    self._now[path].cancel()
            raise
        finally:
            for path in asked:
                self._ends.pop(path, None)
            self._kick()

    async def settled(self) -> None:
        """Returns when nothing waits or is under way; at once after `close`."""
        await self._idle.wait()

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        for timer in [*self._quiet.values(), *([self._telling] if self._telling else [])]:
            timer.cancel()
        for queue in self._queues.values():
            queue.clear()
        for end in self._ends.values():
            if not end.done():
                end.set_exception(_gone())
        self._idle.set()

    # --- whose turn it is

    def _want(self, path: str, wanted: Wanted) -> None:
        if self._under_way.get(path) == wanted or (path in self._pausing and not wanted.asked):
            return
        small = wanted.there.kind != FILE or wanted.there.size <= SMALL
        self._queues[not small].pop(path, None)
        self._queues[small][path] = wanted
        self._idle.clear()
        self._kick()

    def _kick(self) -> None:
        """Sets to work who is needed; none waits for a path that is under way."""
        for small, queue in self._queues.items():
            most = SMALL_AT_ONCE if small else LARGE_AT_ONCE
            free = sum(path not in self._under_way for path in queue) if queue else 0
            while free > 0 and self._workers[small] < most:
                self._workers[small] += 1
                free -= 1
                self._start(self._work(small))
        if not self.waiting:
            self._idle.set()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="pull")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, small: bool) -> None:
        queue = self._queues[small]
        try:
            while True:
                path = next((one for one in queue if one not in self._under_way), None)
                if path is None:
                    return
                wanted = self._under_way[path] = queue.pop(path)
                task = self._now[path] = asyncio.create_task(self._pull(path, wanted))
                try:
                    await asyncio.wait({task})
                finally:
                    task.cancel()  # where it is this worker that was
                    del self._under_way[path], self._now[path]
                if path not in self._queues[True] and path not in self._queues[False]:
                    self._end(path)
                self._changed()
        finally:
            self._workers[small] -= 1
            if not self._there.closed:
                self._kick()

    def _end(self, path: str) -> None:
        end = self._ends.get(path)
        if end is not None and not end.done():
            end.set_result(None)

    def _arrived(self, count: int) -> None:
        self.bytes_received += count
        now = time.monotonic()
        if now - self._told > TELL_EVERY:
            self._told = now
            self._changed()

    # --- one path

    async def _pull(self, path: str, wanted: Wanted) -> None:
        try:
            if wanted.there.kind == SYMLINK:
                await self._pull_link(path, wanted)
            else:
                await self._pull_file(path, wanted)
        except Changed as error:
            if wanted.asked:
                await self._try_at_once(path, wanted, str(error))
            else:
                self._later(path, str(error))
            return
        except NotTaken as error:
            self._notes.say(path, NOT_PULLED, f"not pulled: {error}")
        except Disconnected:
            return  # the next connection finds it as it is
        except RemoteError as error:
            if self._there.differing.get(path, wanted.there) == wanted.there:
                self._notes.say(path, NOT_PULLED, f"it cannot be read there: {error}")
        except SidecarError as error:
            self._notes.say(path, NOT_PULLED, str(error))
        except OSError as error:
            self._notes.say(path, NOT_PULLED, f"it cannot be written here: {error.strerror}")
        except Exception as error:  # a mistake of ours must not end pulling in silence
            log.exception("a pull failed")
            self._notes.say(path, NOT_PULLED, f"an error of the sidecar's own: {error!r}")
        self._failures.pop(path, None)

    async def _try_at_once(self, path: str, wanted: Wanted, why: str) -> None:
        """What somebody waits for is tried again, some times."""
        try:
            found = (await self._there.lookup([path])).get(path)
        except SidecarError:
            return
        if found is None or not wanted.tries:
            self._notes.say(path, NOT_PULLED, f"not pulled: {why}")
        else:
            self._want(path, wanted._replace(there=found, tries=wanted.tries - 1))

    def _later(self, path: str, why: str) -> None:
        count = self._failures[path] = self._failures.get(path, -1) + 1
        log.debug("a pull of %s is tried again: %s", path, why)
        self._pausing.add(path)
        asyncio.get_running_loop().call_later(
            min(AGAIN * 2 ** min(count, 10), SLOWEST), self._again, path
        )

    def _again(self, path: str) -> None:
        self._pausing.discard(path)
        self._touch(path)

    async def _pull_link(self, path: str, wanted: Wanted) -> None:
        into = io.BytesIO()
        arrived = await self._incoming.whole(path, wanted.there, into)
        target = into.getvalue()
        node = Node(SYMLINK, False, arrived.digest)

        def land() -> Identity:
            return self._landing.link(path, os.fsdecode(target), wanted.here, why=WHY)

        await self._land(path, wanted, node, arrived, land)

    async def _pull_file(self, path: str, wanted: Wanted) -> None:
        if await self._pull_tail(path, wanted):
            return
        staged = await asyncio.to_thread(self._landing.stage)
        try:
            arrived = None
            here = wanted.here
            if here is not None and here.kind == FILE and _is_worth_blocks(here, wanted.there):
                arrived = await self._incoming.blocks(path, wanted.there, here, staged.file)
                if arrived is None:
                    staged.file.truncate(0)
                    staged.file.seek(0)
            if arrived is None:
                arrived = await self._incoming.whole(path, wanted.there, staged.file)
            executable = wanted.node is not None and wanted.node.executable
            if wanted.named or self._pulls.is_named(path):
                executable = wanted.there.executable
            node = tree.file(arrived.digest, executable)

            def land() -> Identity:
                return self._landing.file(
                    path,
                    staged,
                    wanted.here,
                    mtime_ns=self._mtime(wanted.there),
                    executable=executable,
                    why=WHY,
                )

            await self._land(path, wanted, node, arrived, land)
        finally:
            staged.discard()

    # --- logs

    async def _pull_tail(self, path: str, wanted: Wanted) -> bool:
        """Brings what was added to a log; whether that could be done."""
        agreed, here = self._base.entries.get(path), wanted.here
        if wanted.anew or agreed is None or here is None or not is_log(path):
            return False
        known = agreed.remote.size
        if (
            (wanted.node, here.size) != (agreed.node, known)
            or wanted.there.inode != agreed.remote.inode
            or wanted.there.size <= known
        ):
            return False
        tail = await self._incoming.tail(path, wanted.there, known)
        if tail is None:
            return False
        digest = await self._half_way(path, here)
        digest.update(tail.data)
        node = agreed.node._replace(digest=digest.hexdigest())
        arrived = Arrived(node.digest, wanted.there, tail.whole)
        mtime_ns = self._mtime(wanted.there)

        def land() -> Identity:
            return self._landing.append(path, tail.data, here, mtime_ns=mtime_ns)

        # Should we be killed between the write and base: then this is known as no edit of yours.
        self._base.intend(path, ADDED + node.digest)
        landed = await self._land(path, wanted, node, arrived, land)
        self._digests[path] = landed, digest
        while len(self._digests) > MOST_DIGESTS:
            del self._digests[next(iter(self._digests))]
        self._check_when_quiet(path)
        return True

    async def _half_way(self, path: str, here: Identity) -> delta.ContentDigest:
        """The digest of what is here, to be gone on with."""
        known, digest = self._digests.pop(path, (None, delta.ContentDigest()))
        if known == here:
            return digest
        return await asyncio.to_thread(self._digest_of, path, here)

    def _digest_of(self, path: str, here: Identity) -> delta.ContentDigest:
        digest = delta.ContentDigest()
        with local_files.open_source(self._root, path, here) as source:
            for at in range(0, source.size, READ):
                digest.update(source.read_at(at, READ))
            source.check_unchanged()
        return digest

    def _check_when_quiet(self, path: str) -> None:
        if path in self._quiet:
            self._quiet[path].cancel()
        self._quiet[path] = asyncio.get_running_loop().call_later(
            QUIET, lambda: self._start(self._check(path))
        )

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
            self._want(path, Wanted(found, agreed.local, agreed.node, anew=True))

    # --- landing

    async def _land(
        self, path: str, wanted: Wanted, node: Node, arrived: Arrived, land: Callable[[], Identity]
    ) -> Identity:
        """Makes it visible and has base agree, with no step in between.

        Returns:
            What is at the path here now.
        """
        # One at a time, so that a step never waits for more than one of them.
        async with self._landing_turn, self._stepping:
            before = self._base.entries.get(path)
            if self._there.closed:
                raise _gone()
            landed = wanted.here
            if landed is None or wanted.node != node:
                landed = await asyncio.to_thread(land)
                self.pulled += 1
            if self._there.closed:
                raise _gone()
            theirs = before is None or self._base.is_theirs(path)
            theirs = theirs or bool(self._pulls.of(path) & THEIRS)
            self._there.brought(path, Agreed(node, landed, arrived.remote), theirs)
            self._notes.clear([path])  # of a step that saw it before
        self._tell_soon()
        if path in self._there.differing or not arrived.whole:
            self._touch(path)  # it went on changing
        return landed

    def _tell_soon(self) -> None:
        """The agent's list follows, once for many."""
        if self._telling is None:
            loop = asyncio.get_running_loop()
            self._telling = loop.call_later(TELL_AFTER, lambda: self._start(self._tell()))

    async def _tell(self) -> None:
        self._telling = None
        with contextlib.suppress(SidecarError):
            await self._there.tell()

    def _mtime(self, there: Identity) -> int:
        """The remote's mtime as this machine's clock would have said it."""
        offset = self._agent.hello.clock_offset_ns
        return there.mtime_ns - offset if abs(offset) > CLOCKS_AGREE else there.mtime_ns


def _gone() -> Disconnected:
    return Disconnected("the connection is gone", "nothing is half here", "see `sidecar status`")


def _is_worth_blocks(here: Identity, there: Identity) -> bool:
    return min(here.size, there.size) >= BLOCKS_FROM
