"""Taking: theirs comes here, because somebody said so (a resolved conflict, `--prefer remote`).

A content is fetched to a file of ours beside all else that goes on, some at a time; then, as a
step of its own, it lands (disk/landing.py): if this side still is what was seen, and what came is
what was announced. What makes way here goes to the trash here. Both sides agree from then on, in
the remote's word: the identity under which the agent read what it sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
from collections.abc import Callable
from typing import BinaryIO, NamedTuple

from sidecar.core.identity import FILE, SYMLINK, Identity
from sidecar.core.tree import Node
from sidecar.errors import Disconnected, RemoteError, SidecarError
from sidecar.sync.disk import trash
from sidecar.sync.disk.landing import LocalLanding, NotTaken, refuse_what_runs
from sidecar.sync.disk.local_files import Changed
from sidecar.sync.guarding.notes import Notes
from sidecar.sync.pulling.fetch import fetch
from sidecar.sync.trees.base import Agreed
from sidecar.sync.trees.there import Found, There

AT_ONCE = 4
"""Files that are fetched side by side: enough to fill the line, few enough to keep room here."""

CLOCKS_AGREE = 1_000_000_000
"""Nanoseconds of clock difference up to which mtimes are taken as they are."""


class Wish(NamedTuple):
    """What is to come here.

    Attributes:
        path: the remote's path, and where it goes here.
        here: what is there now on this side, and has to make way; None: nothing.
        found: what was seen on the remote, a file or a link.
        named: a person named this very path, so that what may run by itself comes, too.
        keep: what makes way goes to the trash; if not, a person said that it need not.
        why: what the trash says of it.
        into: another path here, beside what is here: then both sides agree on nothing by it.
    """

    path: str
    here: Identity | None
    found: Found
    named: bool = False
    keep: bool = True
    why: str = "replaced by theirs"
    into: str = ""

    @property
    def target(self) -> str:
        """Where it goes here."""
        return self.into or self.path


class Taking:
    """What comes here over one connection. Ends with it.

    Args:
        step: held by whoever changes anything: the landing is a step.
        touch: told of paths that have to be looked at again.
    """

    def __init__(
        self,
        there: There,
        landing: LocalLanding,
        step: asyncio.Lock,
        notes: Notes,
        touch: Callable[[str], None],
    ) -> None:
        self._there, self._landing, self._step = there, landing, step
        self._notes, self._touch = notes, touch
        self._few = asyncio.Semaphore(AT_ONCE)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.taken = 0
        """Paths that came here so far."""
        self.too_large: dict[str, Identity] = {}
        """What is here and could not make way, since the trash cannot hold it."""

    @property
    def waiting(self) -> int:
        return len(self._tasks)

    def begin(self, wish: Wish) -> None:
        """Begins to take one path; `settled` waits for the end. A later wish replaces one that is
        still on its way."""
        before = self._tasks.get(wish.path)
        if before is not None:
            before.cancel()
        task = asyncio.create_task(self._take(wish), name=f"take {wish.path}")
        self._tasks[wish.path] = task
        task.add_done_callback(lambda done: self._over(wish.path, done))

    async def settled(self) -> None:
        """Returns when everything so far has come, or was found not to."""
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    def close(self) -> None:
        for task in self._tasks.values():
            task.cancel()

    def _over(self, path: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(path) is task:
            del self._tasks[path]

    async def _take(self, wish: Wish) -> None:
        path = wish.path
        try:
            async with self._few:
                await self._fetch_and_land(wish)
        except Changed:
            self._touch(path)
        except trash.TooLarge as error:
            if wish.here is not None:
                self.too_large[path] = wish.here
            self._leave(path, f"{error.what}: {error.why}")
        except NotTaken as error:
            self._leave(path, f"{error}; `sidecar resolve --keep remote` with its name takes it")
        except Disconnected:
            return  # the next connection finds it as it is
        except RemoteError as error:
            self._leave(path, f"it cannot be read there: {error.why or error.what}")
        except OSError as error:
            self._leave(path, f"it cannot be written here: {error.strerror or error}")
        except SidecarError as error:
            self._leave(path, str(error))

    def _leave(self, path: str, why: str) -> None:
        self._notes.say(path, "conflict", f"theirs was not taken: {why}")

    async def _fetch_and_land(self, wish: Wish) -> None:
        path, (identity, node) = wish.path, wish.found
        if identity is None or node is None or node.kind not in (FILE, SYMLINK):
            raise Changed("there is nothing to take")
        if not wish.named:
            refuse_what_runs(wish.target, node.executable, bool(wish.here and wish.here.executable))
        if wish.here is not None and wish.keep:
            trash.refuse_what_is_too_large(path, wish.here)
        if node.kind == SYMLINK:
            target = io.BytesIO()
            await self._fetch(path, identity, node, target)
            await self._land(wish, lambda: self._link(wish, target.getvalue()))
            return
        staged = self._landing.stage()
        try:
            await self._fetch(path, identity, node, staged.file)
            await self._land(
                wish,
                lambda: self._landing.file(
                    wish.target,
                    staged,
                    wish.here,
                    mtime_ns=self._here_ns(identity.mtime_ns),
                    executable=node.executable,
                    why=wish.why,
                    keep=wish.keep,
                ),
            )
        finally:
            staged.discard()

    async def _fetch(self, path: str, identity: Identity, node: Node, into: BinaryIO) -> None:
        there = self._there
        digest = await fetch(there.agent, there.number, path, identity, into)
        if digest != node.digest:
            raise Changed("it is not what was announced")

    async def _land(self, wish: Wish, land: Callable[[], Identity]) -> None:
        """The step in which it becomes visible here, and agreed."""
        identity, node = wish.found
        assert identity is not None
        assert node is not None
        async with self._step:
            if self._there.closed:
                return
            landing = asyncio.ensure_future(asyncio.to_thread(land))
            try:
                landed = await asyncio.shield(landing)
            except asyncio.CancelledError:
                with contextlib.suppress(Exception):  # it lands all the same, and is found then
                    await landing
                raise
            if wish.target == wish.path:
                self._there.agree(wish.path, Agreed(node, landed, identity))
                await self._there.tell()
                self._notes.clear([wish.path])
            self.taken += 1
            self.too_large.pop(wish.path, None)
        self._touch(wish.target)

    def _link(self, wish: Wish, target: bytes) -> Identity:
        return self._landing.link(
            wish.target, os.fsdecode(target), wish.here, why=wish.why, keep=wish.keep
        )

    def _here_ns(self, mtime_ns: int) -> int:
        """An mtime as this machine's clock would have said it."""
        offset = self._there.agent.hello.clock_offset_ns
        return mtime_ns - offset if abs(offset) > CLOCKS_AGREE else mtime_ns
