"""Resolving: what a person decided about paths that both sides have differently.

*local*: mine goes there, theirs to the trash there. *remote*: theirs comes here, mine to the trash
here. *both*: theirs comes here beside mine, under another name, then mine goes there. What one
side deleted is decided the same way: to keep the side that has nothing removes the other's, to
its trash. What was deleted there and put back since is no conflict any more; who names it and keeps
*remote* has it go on both sides.

What alone is larger than a trash is asked about, path by path; where nobody answers it stays as it
is, and says so.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath
from typing import Literal

from sidecar import api
from sidecar.core import paths, reconcile
from sidecar.core.identity import DIRECTORY, FILE, SYMLINK, Identity
from sidecar.core.tree import FOLDER, Node
from sidecar.errors import SidecarError, SyncError
from sidecar.questions import Choice
from sidecar.sync.delta.content import Content
from sidecar.sync.disk.landing import NotTaken
from sidecar.sync.disk.local_files import Changed
from sidecar.sync.guarding.notes import DECIDED
from sidecar.sync.pulling.wanted import Decided
from sidecar.sync.steps.reach import Reach
from sidecar.sync.trees.base import Agreed
from sidecar.sync.trees.here import Unreadable
from sidecar.sync.trees.scan import scan
from sidecar.sync.trees.there import Found

Keep = Literal["local", "remote", "both"]

MOST_BELOW = 10_000
"""Entries of a folder there that are taken at once."""

MOST_NAMES = 100
"""Names that are tried for a copy beside mine."""

WITHOUT_COPY, LEAVE = "Replace it without a copy", "Leave it as it is"

LOOKS = 3
"""Times that what is to be kept here is pushed, where it is still to be decided afterwards."""

WHY = "replaced by theirs (resolve)"


class Resolver:
    """Carries out one decision over one connection."""

    def __init__(self, reach: Reach) -> None:
        self._reach, self._project = reach, reach.project
        self._there, self._puller = reach.there, reach.puller

    async def resolve(
        self,
        wanted: Callable[[str], bool],
        keep: Keep,
        *,
        named: frozenset[str] = frozenset(),
        everything: bool = False,
        dry_run: bool = False,
    ) -> tuple[list[api.PathNote], list[api.PathNote]]:
        """Settles the paths that are wanted.

        Args:
            named: those that the person named one by one.
            everything: nothing was named: what was put back stays so.
        Returns:
            What was settled, each with a text that says how; and what was not.
        Raises:
            Disconnected: the connection went away meanwhile.
        """
        notes = self._project.notes
        put_back: dict[str, api.PathNote] = {}
        for look in (True, False):  # a step that looks again says no more that it was put back
            if keep == "remote" and not everything:
                kind = reconcile.DELETED_THERE
                some = {one.path: one for one in notes.all if one.kind == kind and wanted(one.path)}
                put_back |= some
            if look:
                await self._reach.sync()
        chosen = [one for one in notes.all if one.kind in DECIDED and wanted(one.path)]
        if dry_run:
            done = [self._told(one, self._text(one, keep, "")) for one in chosen]
            return [*done, *map(self._told_removed, put_back.values())], []
        await self._remove_on_both_sides(put_back)
        beside: dict[str, str] = {}
        if keep != "local":
            for note in chosen:
                into = self._beside(note) if keep == "both" else note.path
                if into != note.path:
                    beside[note.path] = into
                if into:  # else they have nothing that could come here
                    await self._bring_theirs(note.path, into, note.path in named)
            await self._puller.decisions_settled()
            await self._ask_about_the_large_here(chosen, beside, named)
        failed = {path for path in beside if not self._arrived(beside[path])}
        mine = [one.path for one in chosen if keep == "local" or one.path in beside.keys() - failed]
        left: list[api.PathNote] = []
        for _ in range(LOOKS):  # news of theirs may have been on its way when mine went
            if mine:
                await self._push_mine(mine)
            left = [one for one in map(notes.get, [one.path for one in chosen]) if one is not None]
            left = [one for one in left if one.kind in DECIDED]
            refused = self._there.too_large  # the person was asked, and left it
            mine = [one.path for one in left if one.path in set(mine) - refused]
            if not mine:
                break
        open_ = {one.path for one in left}
        done = [
            self._told(one, self._text(one, keep, beside.get(one.path, "")))
            for one in chosen
            if one.path not in open_
        ]
        gone = [one for path, one in put_back.items() if not self._arrived(path)]
        return [*done, *map(self._told_removed, gone)], left

    # --- what was put back

    async def _remove_on_both_sides(self, put_back: Iterable[str]) -> None:
        """What is here goes to the trash here; that removes what was put back there, to its own."""
        removed = []
        for path in put_back:
            try:
                async with self._reach.here.step:
                    removed += await self._clear(path, await self._project.here.read(path))
            except (Changed, NotTaken, Unreadable) as error:
                self._leave(path, str(error))
            except OSError as error:
                self._leave(path, error.strerror or str(error))
        if removed:
            self._project.removals.may_be_made(removed)
            for path in removed:
                self._project.touch(path)
            await self._reach.sync()

    def _told_removed(self, note: api.PathNote) -> api.PathNote:
        return self._told(note, f"removed here and on {self._host}, yours in the trash here")

    # --- mine

    async def _push_mine(self, mine: list[str]) -> None:
        root = self._project.root
        only = [os.path.join(root, path) for path in mine]
        self._there.too_large.difference_update(mine)
        await self._reach.sync(prefer="local", only=only)
        large = self._there.too_large & set(mine)
        for path, there in (await self._there.lookup(large)).items():
            if await self._may_go(path, there, self._project.host):
                await self._there.discard(path, there)
                await self._reach.sync(prefer="local", only=[os.path.join(root, path)])

    async def _may_go(self, path: str, what: Identity, where: str) -> bool:
        question = Choice(
            f"{path} on {where} has {what.size / 1e9:.1f} GB, more than the trash holds",
            (WITHOUT_COPY, LEAVE),
            f"sidecar resolve {path}, on a terminal",
        )
        return await self._reach.person.choose(question) == WITHOUT_COPY

    # --- theirs

    async def _bring_theirs(self, path: str, into: str, named: bool) -> None:
        """Begins to take what is there; what needs no fetching is done when this returns."""
        try:
            async with self._reach.here.step:
                await self._take(path, into, named)
        except Changed:
            self._project.touch(path)
        except NotTaken as error:
            self._leave(path, str(error))
        except Unreadable as error:
            self._leave(path, f"it cannot be read here: {error}")
        except OSError as error:
            self._leave(path, f"it cannot be written here: {error.strerror or error}")
        except SyncError as error:
            self._leave(path, str(error))

    def _leave(self, path: str, why: str) -> None:
        self._project.notes.say(path, "conflict", f"theirs was not taken: {why}")

    async def _take(self, path: str, into: str, named: bool) -> None:
        read = await self._project.here.read(path) if into == path else None
        found = (await self._there.nodes([path])).get(path)
        if found is None:  # as base says
            agreed = self._project.base.entries.get(path)
            found = Found(agreed.remote, agreed.node) if agreed else Found(None, None)
        if found.node is None or found.identity is None:
            for gone in await self._clear(path, read):
                self._there.forget(gone)
            self._there.forget(path)
            await self._there.tell()
            self._project.notes.clear([path])
        elif found.node.kind == DIRECTORY:
            await self._take_folder(path, into, read, found.identity, named)
        elif found.node.kind in (FILE, SYMLINK):
            if read is not None and read.node.kind == DIRECTORY:
                for gone in await self._clear(path, read):
                    self._there.forget(gone)
                read = None
            here = read.identity if read else None
            self._puller.take(
                path, found, here, Decided(found.node, why=WHY, into=into), named=named
            )
        else:
            raise NotTaken("it is neither a file nor a folder nor a link there")

    async def _clear(self, path: str, read: Content | None) -> list[str]:
        """What is here goes, to the trash; of a folder all that is synced. Returns what went of
        what both sides agree on."""
        if read is None:
            return []
        landing, here = self._reach.here.landing, self._project.here
        if read.node.kind != DIRECTORY:
            await asyncio.to_thread(landing.remove, path, read.identity, why=WHY)
            return [path]
        found = await asyncio.to_thread(scan, self._project.root, here.rules, path)
        if found.problems:
            raise NotTaken(f"{found.problems[0].path} here: {found.problems[0].text}")
        for below in sorted(found.entries, reverse=True):  # what is in a folder before the folder
            await asyncio.to_thread(landing.remove, below, found.entries[below], why=WHY)
        if os.path.lexists(self._project.root / path):
            raise NotTaken("the folder here holds what is not synced")
        return [one for one in (path, *found.entries) if one in self._project.base.entries]

    async def _take_folder(
        self, path: str, into: str, read: Content | None, found: Identity, named: bool
    ) -> None:
        entries = await self._there.below(path, MOST_BELOW)
        decide = self._project.here.rules.decide
        taken = {
            below: identity
            for below, identity in entries.items()
            if identity.kind in (DIRECTORY, FILE, SYMLINK)
            and not decide(below, identity.kind == DIRECTORY).ignored
        }
        files = [below for below, one in taken.items() if one.kind != DIRECTORY]
        digests = await self._there.digests(files)
        if read is not None and read.node.kind != DIRECTORY:
            await self._clear(path, read)
        await self._make_folder(path, into, found)
        for below in sorted(taken):
            identity, target = taken[below], into + below[len(path) :]
            if identity.kind == DIRECTORY:
                await self._make_folder(below, target, identity)
            else:
                node = Node(identity.kind, identity.executable, digests[below])
                decided = Decided(node, why=WHY, into=target)
                self._puller.take(below, Found(identity, node), None, decided, named=named)
        await self._there.tell()
        self._project.notes.clear([path])

    async def _make_folder(self, path: str, into: str, found: Identity) -> None:
        made = await asyncio.to_thread(self._reach.here.landing.directory, into)
        if into == path:
            self._there.agree(path, Agreed(FOLDER, made, found))

    async def _ask_about_the_large_here(
        self, chosen: list[api.PathNote], beside: dict[str, str], named: frozenset[str]
    ) -> None:
        for note in chosen:
            here = self._puller.too_large.pop(note.path, None)
            if here is None or not await self._may_go(note.path, here, "this machine"):
                continue
            found = (await self._there.nodes([note.path])).get(note.path)
            if found is not None and found.node is not None:
                into = beside.get(note.path, note.path)
                decided = Decided(found.node, keep=False, why=WHY, into=into)
                self._puller.take(note.path, found, here, decided, named=note.path in named)
        await self._puller.decisions_settled()

    # --- both

    def _beside(self, note: api.PathNote) -> str:
        """A name beside mine that nothing has; the path itself where mine is nothing."""
        path, root = note.path, self._project.root
        nothing = (note.here and note.here.kind, note.there and note.there.kind)
        if "nothing" in nothing or not os.path.lexists(root / path):
            return path if nothing[0] == "nothing" else ""
        pure = PurePosixPath(path)
        host = "".join(char if char.isalnum() or char in "-." else "-" for char in self._host)
        for number in range(1, MOST_NAMES):
            again = f"-{number}" if number > 1 else ""
            name = f"{pure.stem}.remote-{host}{again}{pure.suffix}"
            candidate = str(pure.with_name(name))
            taken = os.path.lexists(root / candidate) or candidate in self._project.base.entries
            if not taken and len(os.fsencode(name)) <= paths.MAX_NAME:
                return candidate
        raise SidecarError(
            f"No name is free beside {path}", "", "remove what earlier ones left there"
        )

    def _arrived(self, path: str) -> bool:
        return not path or os.path.lexists(self._project.root / path)

    @property
    def _host(self) -> str:
        return self._project.host

    # --- words

    @staticmethod
    def _told(note: api.PathNote, text: str) -> api.PathNote:
        return api.PathNote(
            path=note.path, kind=note.kind, text=text, here=note.here, there=note.there
        )

    def _text(self, note: api.PathNote, keep: Keep, beside: str) -> str:
        mine_gone = note.here is not None and note.here.kind == "nothing"
        theirs_gone = note.there is not None and note.there.kind == "nothing"
        if keep == "both" and not mine_gone and not theirs_gone:
            where = f"here as {beside}" if beside else "here beside mine"
            return f"theirs {where}, mine on {self._host}"
        if keep == "local" or (keep == "both" and theirs_gone):
            if mine_gone:
                return f"removed on {self._host}, theirs in the trash there"
            return f"mine on {self._host}" + ("" if theirs_gone else ", theirs in the trash there")
        if theirs_gone:
            return "removed here, mine in the trash here"
        return "theirs here" + ("" if mine_gone else ", mine in the trash here")
