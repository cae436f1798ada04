"""Pulling: what comes here, fetched beside the next steps and landed between them.

There are two reasons for which something comes: a pattern of `pull` (or `sidecar pull`) wants it,
or a person decided for theirs. A pull lands only if both sides still are what the plan saw; else
the path is looked at again. What is replaced here goes to the trash here (disk/landing.py), and no
pull ever removes anything. Base agrees on what landed, so that it is not pushed back; what is new
from there is marked the remote's (Base.leave).
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from sidecar.core import tree
from sidecar.core.amount import size
from sidecar.core.identity import FILE, SYMLINK, Identity
from sidecar.core.reconcile import THEIRS
from sidecar.core.tree import Node
from sidecar.errors import Disconnected, RemoteError, SidecarError
from sidecar.sync.delta.content import Content
from sidecar.sync.disk import trash
from sidecar.sync.disk.landing import LocalLanding, NotTaken, Staged, refuse_what_runs
from sidecar.sync.disk.local_files import Changed
from sidecar.sync.guarding.notes import Notes
from sidecar.sync.pulling.incoming import BLOCKS_FROM, Arrived, Incoming
from sidecar.sync.pulling.landings import Landings
from sidecar.sync.pulling.logs import Logs
from sidecar.sync.pulling.turns import Turns
from sidecar.sync.pulling.wanted import Decided, Wanted
from sidecar.sync.rules.pulls import Pulls
from sidecar.sync.trees.base import Agreed, Base
from sidecar.sync.trees.there import Found, There

log = logging.getLogger(__name__)

AGAIN, SLOWEST = 0.25, 10.0
"""Seconds until a file is tried again that changed while it was fetched, doubled up to SLOWEST."""

TRIES = 5

TELL_EVERY = 0.2
"""Seconds between two looks at how much has come."""

TELL_AFTER = 0.05
"""Seconds in which what landed is told to the agent together: it looks at its whole list then."""

IN_MEMORY = 64 << 10
"""Bytes up to which a content is held until it is whole, and then written in one go."""

TOO_LARGE = "too-large"
NOT_PULLED = "not-pulled"
CONFLICT = "conflict"
"""Kinds of notes."""

WHY = "replaced by a pull"


class Puller:
    """What comes to one root over one connection. Ends with the connection.

    Args:
        largest: bytes above which a file only comes when it is asked for.
        stepping: held by steps, and here while something lands.
        touch: has a path looked at by a step.
        changed: told when public state has changed.
        arrived: told what has come.
    """

    def __init__(
        self,
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
        arrived: Callable[[str], None],
    ) -> None:
        self._base, self._there, self._landing = base, there, landing
        self._pulls, self._largest, self._notes = pulls, largest, notes
        self._touch, self._changed, self._has_come = touch, changed, arrived
        self._incoming = Incoming(there.agent, there.number, root, self._arrived)
        self._turns = Turns(self._pull, changed)
        self._landings = Landings(there, stepping)
        self._logs = Logs(root, base, there, self._turns.want)
        self._told = 0.0
        self._failures: dict[str, int] = {}
        self._telling: asyncio.TimerHandle | None = None
        self._told_last: asyncio.Task[None] | None = None
        self.pulled = 0
        """Files and links that came."""
        self.bytes_received = 0
        self.too_large: dict[str, Identity] = {}
        """What is here and could not make way, though that was decided: no trash holds it."""

    @property
    def waiting(self) -> int:
        return self._turns.waiting

    def comes(self, there: Identity) -> bool:
        """Whether it is not too large to come by itself."""
        return there.kind != FILE or there.size <= self._largest

    def begin(self, path: str, there: Identity, read: Content | None) -> None:
        """Has a file or link come that a pattern wants. Never blocks."""
        if not self.comes(there):
            text = f"{size(there.size)} there, too large to pull: `sidecar pull {path}`"
            self._notes.say(path, TOO_LARGE, text)
            return
        here, node = (read.identity, read.node) if read else (None, None)
        self._turns.want(path, Wanted(there, here, node))

    def take(
        self, path: str, found: Found, here: Identity | None, decided: Decided, *, named: bool
    ) -> None:
        """Has theirs come, since a person decided so. Never blocks.

        Args:
            found: what was seen there; something else is not taken for it.
            here: what is here, and makes way.
            named: the person named this very path.
        """
        if found.identity is None or decided.content.kind not in (FILE, SYMLINK):
            self._touch(path)
            return
        self._turns.want(path, Wanted(found.identity, here, None, named=named, decided=decided))

    async def fetch(self, asked: Mapping[str, Wanted]) -> None:
        """Has these come, and returns when they have, or it was said why not. Being cancelled
        calls them off.

        Raises:
            Disconnected: the connection went away meanwhile.
        """

        def begin() -> None:
            for path, wanted in asked.items():
                self._turns.want(path, wanted._replace(asked=True, tries=TRIES))

        await self._turns.ended(asked, begin)

    async def settled(self) -> None:
        """Returns when nothing waits or is under way; at once after `close`."""
        await self._turns.settled()

    async def decisions_settled(self) -> None:
        """The same of what a person decided about."""
        await self._turns.decisions_settled()

    def close(self) -> None:
        self._turns.close()
        self._landings.close()
        self._logs.close()
        if self._telling is not None:
            self._telling.cancel()
        if self._told_last is not None:
            self._told_last.cancel()

    def _arrived(self, count: int) -> None:
        self.bytes_received += count
        now = time.monotonic()
        if now - self._told > TELL_EVERY:
            self._told = now
            self._changed()

    # --- one path

    async def _pull(self, path: str, wanted: Wanted) -> None:
        try:
            self._refuse(path, wanted)
            if wanted.there.kind == SYMLINK:
                await self._pull_link(path, wanted)
            elif not await self._pull_tail(path, wanted):
                await self._pull_file(path, wanted)
        except Changed as error:
            if wanted.decided:
                self._touch(path)
            elif wanted.asked:
                await self._try_at_once(path, wanted, str(error))
            else:
                self._later(path, str(error))
            return
        except trash.TooLarge as error:
            if wanted.decided and wanted.here is not None:
                self.too_large[path] = wanted.here
            self._say(path, wanted, f"{error.what}: {error.why}")
        except NotTaken as error:
            how = "; `sidecar resolve --keep remote` with its name takes it"
            self._say(path, wanted, f"{error}{how}" if wanted.decided else f"not pulled: {error}")
        except Disconnected:
            return  # the next connection finds it as it is
        except RemoteError as error:
            if self._there.differing.get(path, wanted.there) == wanted.there:
                why = error.why or error.what
                self._say(path, wanted, f"it cannot be read there: {why}")
        except SidecarError as error:
            self._say(path, wanted, str(error))
        except OSError as error:
            self._say(path, wanted, f"it cannot be written here: {error.strerror or error}")
        except Exception as error:  # a mistake of ours must not end pulling in silence
            log.exception("a pull failed")
            self._say(path, wanted, f"an error of the sidecar's own: {error!r}")
        self._failures.pop(path, None)

    def _say(self, path: str, wanted: Wanted, why: str) -> None:
        if wanted.decided:
            self._notes.say(path, CONFLICT, f"theirs was not taken: {why}")
        else:
            self._notes.say(path, NOT_PULLED, why)

    @staticmethod
    def _refuse(path: str, wanted: Wanted) -> None:
        """Raises NotTaken or TooLarge before anything is fetched for nothing."""
        decided, here = wanted.decided, wanted.here
        if decided is None:
            return
        if not wanted.named:
            executable = decided.content.executable
            refuse_what_runs(wanted.target(path), executable, bool(here and here.executable))
        if here is not None and decided.keep:
            trash.refuse_what_is_too_large(path, here)

    async def _try_at_once(self, path: str, wanted: Wanted, why: str) -> None:
        """What somebody waits for is tried again, some times."""
        try:
            found = (await self._there.lookup([path])).get(path)
        except SidecarError:
            return
        if found is None or not wanted.tries:
            self._notes.say(path, NOT_PULLED, f"not pulled: {why}")
        else:
            self._turns.want(path, wanted._replace(there=found, tries=wanted.tries - 1))

    def _later(self, path: str, why: str) -> None:
        count = self._failures[path] = self._failures.get(path, -1) + 1
        log.debug("a pull of %s is tried again: %s", path, why)
        pause = min(AGAIN * 2 ** min(count, 10), SLOWEST)
        self._turns.pause(path, pause, lambda: self._touch(path))

    async def _pull_link(self, path: str, wanted: Wanted) -> None:
        into = io.BytesIO()
        arrived = await self._incoming.whole(path, wanted.there, into)
        target, why, keep = os.fsdecode(into.getvalue()), *self._way_of(wanted)

        def land() -> Identity:
            goes_to = wanted.target(path)
            return self._landing.link(goes_to, target, wanted.here, why=why, keep=keep)

        await self._land(path, wanted, Node(SYMLINK, False, arrived.digest), arrived, land)

    async def _pull_file(self, path: str, wanted: Wanted) -> None:
        executable = wanted.node is not None and wanted.node.executable
        if wanted.decided or wanted.named or self._pulls.is_named(path):
            executable = wanted.there.executable
        mtime_ns = self._there.agent.hello.as_here(wanted.there.mtime_ns)
        why, keep = self._way_of(wanted)

        def finish(staged: Staged) -> None:
            staged.finish(wanted.here, mtime_ns=mtime_ns, executable=executable)

        def land() -> Identity:
            return self._landing.finished(
                wanted.target(path), staged, wanted.here, why=why, keep=keep
            )

        staged, arrived = await self._stage(path, wanted, finish)
        try:
            node = tree.file(arrived.digest, executable)
            await self._land(path, wanted, node, arrived, land)
        finally:
            staged.discard()

    async def _stage(
        self, path: str, wanted: Wanted, finish: Callable[[Staged], None]
    ) -> tuple[Staged, Arrived]:
        """The content, whole and finished, where nobody looks."""
        there = wanted.there
        if there.size <= IN_MEMORY:
            into = io.BytesIO()
            arrived = await self._incoming.whole(path, there, into)
            return await _made(lambda: self._written(into.getvalue(), finish)), arrived
        staged = await _made(self._landing.stage)
        try:
            arrived = await self._fetched(path, wanted, staged)
            await asyncio.to_thread(finish, staged)
        except BaseException:
            staged.discard()
            raise
        return staged, arrived

    def _written(self, data: bytes, finish: Callable[[Staged], None]) -> Staged:
        staged = self._landing.stage()
        try:
            staged.file.write(data)
            finish(staged)
        except BaseException:
            staged.discard()
            raise
        return staged

    async def _fetched(self, path: str, wanted: Wanted, staged: Staged) -> Arrived:
        """A large one; of one that is here, by what differs."""
        there, here = wanted.there, wanted.here
        if here is not None and here.kind == FILE and _is_worth_blocks(here, there):
            arrived = await self._incoming.blocks(path, there, here, staged.file)
            if arrived is not None:
                return arrived
            staged.file.truncate(0)
            staged.file.seek(0)
        return await self._incoming.whole(path, there, staged.file)

    @staticmethod
    def _way_of(wanted: Wanted) -> tuple[str, bool]:
        """What the trash says of what makes way, and whether that goes there."""
        return (wanted.decided.why, wanted.decided.keep) if wanted.decided else (WHY, True)

    async def _pull_tail(self, path: str, wanted: Wanted) -> bool:
        """Brings what was added to a log; whether that could be done."""
        agreed, here = self._logs.grown(path, wanted), wanted.here
        if agreed is None or here is None:
            return False
        tail = await self._incoming.tail(path, wanted.there, agreed.remote.size)
        if tail is None:
            return False
        digest = await self._logs.digest_before(path, here)
        digest.update(tail.data)
        node = agreed.node._replace(digest=digest.hexdigest())
        arrived = Arrived(node.digest, wanted.there, tail.whole)
        mtime_ns = self._there.agent.hello.as_here(wanted.there.mtime_ns)

        def land() -> Identity:
            return self._landing.append(path, tail.data, here, mtime_ns=mtime_ns)

        self._logs.intend(path, digest)
        landed = await self._land(path, wanted, node, arrived, land)
        self._logs.added_to(path, landed, digest)
        return True

    # --- landing

    async def _land(
        self, path: str, wanted: Wanted, node: Node, arrived: Arrived, land: Callable[[], Identity]
    ) -> Identity:
        """Makes it visible and has base agree, with no step in between.

        Returns:
            What is at the path here now.
        """
        decided, here = wanted.decided, wanted.here
        if decided is not None and decided.content.digest != node.digest:
            raise Changed("it is not what was announced")
        is_here = decided is None and wanted.node == node and here is not None

        def agree(landed: Identity) -> None:
            self._agree(path, wanted, Agreed(node, landed, arrived.remote))
            self.pulled += not is_here

        landed = await self._landings.land((lambda: here) if is_here and here else land, agree)
        self._tell_soon()
        if decided or path in self._there.differing or not arrived.whole:
            self._touch(wanted.target(path))  # it went on changing, or a person hears of it
        return landed

    def _agree(self, path: str, wanted: Wanted, agreed: Agreed) -> None:
        """Both sides have it; the lock of steps is held."""
        self._has_come(path)
        if wanted.decided is None:
            theirs = path not in self._base.entries or self._base.is_theirs(path)
            theirs = theirs or bool(self._pulls.of(path) & THEIRS)
            self._there.brought(path, agreed, theirs)
            self._notes.clear([path])  # of a step that saw it before
            return
        self.too_large.pop(path, None)
        if wanted.target(path) == path:
            self._there.agree(path, agreed)
            self._notes.clear([path])

    def _tell_soon(self) -> None:
        """The agent's list follows, once for many."""
        if self._telling is None:
            loop = asyncio.get_running_loop()
            self._telling = loop.call_later(TELL_AFTER, self._begin_to_tell)

    def _begin_to_tell(self) -> None:
        self._telling = None
        self._told_last = asyncio.create_task(self._tell(), name="tell what landed")

    async def _tell(self) -> None:
        with contextlib.suppress(SidecarError):
            await self._there.tell()


async def _made(make: Callable[[], Staged]) -> Staged:
    """In a thread, which is not called off with us: what it makes then goes at once."""

    def discard(made: asyncio.Future[Staged]) -> None:
        if not made.cancelled() and made.exception() is None:
            made.result().discard()

    making = asyncio.ensure_future(asyncio.to_thread(make))
    try:
        return await asyncio.shield(making)
    except asyncio.CancelledError:
        making.add_done_callback(discard)
        raise


def _is_worth_blocks(here: Identity, there: Identity) -> bool:
    return min(here.size, there.size) >= BLOCKS_FROM
