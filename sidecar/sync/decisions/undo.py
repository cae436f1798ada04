"""Undo: what a sync overwrote or removed, listed, and brought back on the side where it was.

What is brought back there is the remote's own: base keeps what both sides last agreed on, so the
path is *newer there*, and no later save, sync or restart pushes mine over it before a person
decides. (In mirror mode nothing stays that only the remote has; so that what was removed stays
when it is brought back, base is told of a content that nobody has: the path is *kept* until it is
resolved.) What is brought back here is an edit made here, and goes there as any other.

What an undo replaces goes to the trash of that side in turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from typing import NamedTuple

from sidecar import api
from sidecar.agent.changes.copying import copy_range
from sidecar.agent.failure import Refusal
from sidecar.core import frames, identity, messages, reconcile, trashed
from sidecar.core.identity import DIRECTORY, FILE, SYMLINK, Identity
from sidecar.core.tree import Node
from sidecar.errors import RemoteError, SidecarError, SyncError, UsageError
from sidecar.sync.disk import local_files
from sidecar.sync.disk.local_files import Changed
from sidecar.sync.disk.trash import Kept
from sidecar.sync.steps.reach import Reach, ThisSide
from sidecar.sync.trees.base import Agreed

REPLACED_THERE = "replaced or removed by a push"
WHY = "replaced by undo"

MOST_LISTED = 10_000
"""Copies that are looked through on each side."""

NAMED = 8
"""Ids that a message names."""


class Found(NamedTuple):
    """A copy: `kept` where it lies here, else its `place` in the trash there and
    `what` that is."""

    copy: api.Copy
    kept: Kept | None = None
    place: str = ""
    what: Identity | None = None


class Undo:
    """Both trashes, or this side's alone where `reach` is None."""

    def __init__(self, here: ThisSide, reach: Reach | None) -> None:
        self._here, self._reach = here, reach

    # --- listing

    async def copies(self, paths: Sequence[str] = ()) -> tuple[list[Found], bool]:
        """All copies, of these paths (relative) and what is below them, newest first; and whether
        there are more."""
        local = [
            _of_kept(kept)
            for kept in await asyncio.to_thread(self._here.trash.entries)
            if kept.path and (not paths or _is_within(kept.path, paths))
        ]
        remote, more = await self._remote(paths) if self._reach else ([], False)
        found = sorted(local + remote, key=lambda one: one.copy.when, reverse=True)
        return found, more

    async def _remote(self, paths: Sequence[str]) -> tuple[list[Found], bool]:
        assert self._reach is not None
        there, found, more = self._reach.there, dict[str, Found](), False
        for path in paths or [""]:

            def ask(id: int, path: str = path) -> messages.Message:
                return messages.Trash(id, there.number, path, MOST_LISTED)

            async with contextlib.aclosing(there.agent.parts(ask)) as parts:
                async for part in parts:
                    assert isinstance(part, messages.Listed)
                    more |= part.truncated
                    for place, what in identity.unpack(part.body):
                        if what is not None:
                            found[place] = _of_place(place, what)
        return list(found.values()), more

    async def is_all_here(self, ids: Sequence[str]) -> bool:
        """Whether each id stands for a copy on this side, written out."""
        found, _ = await self.copies()
        return set(ids) <= {one.copy.id for one in found if one.copy.side == "local"}

    # --- choosing

    async def chosen(self, ids: Sequence[str], paths: Sequence[str], side: str) -> list[Found]:
        """The copies that are meant: each id's, and of each path (relative) the newest; where that
        is a folder's, the newest of each path below it that is not there any more.

        Raises:
            UsageError: there is none, or an id stands for several.
        """
        found, more = await self.copies(() if ids else paths)
        found = [one for one in found if side in ("", one.copy.side)]
        meant: dict[tuple[str, str], Found] = {}
        for id in ids:
            one = self._by_id(id, found, more)
            meant[one.copy.side, one.copy.path] = one
        for path in paths:
            exactly = [one for one in found if one.copy.path == path][:1]
            some = exactly or await self._gone([one for one in found if _below(one, path)])
            if not some:
                raise UsageError(
                    f"There is no copy of {path}",
                    "neither trash has one" if not side else f"the {side} trash has none",
                    "see what there is with `sidecar undo`",
                )
            meant.update({(one.copy.side, one.copy.path): one for one in some})
        return list(meant.values())

    @staticmethod
    def _by_id(id: str, found: Sequence[Found], more: bool) -> Found:
        matching = [one for one in found if one.copy.id.startswith(id.lower())]
        if len(matching) == 1:
            return matching[0]
        if not matching:
            raise UsageError(
                f"There is no copy {id!r}",
                "old ones are thrown away" + (", and not all are listed" if more else ""),
                "see what there is with `sidecar undo`",
            )
        named = ", ".join(f"{one.copy.id} ({one.copy.path})" for one in matching[:NAMED])
        raise UsageError(f"{id!r} stands for {len(matching)} copies", named, "give more of the id")

    async def _gone(self, found: Sequence[Found]) -> list[Found]:
        """The newest copy of each path, of those that are not there any more."""
        newest: dict[tuple[str, str], Found] = {}
        for one in found:
            newest.setdefault((one.copy.side, one.copy.path), one)
        remote = [one.copy.path for one in newest.values() if one.copy.side == "remote"]
        there = await self._reach.there.lookup(remote) if self._reach and remote else {}
        root = self._here.project.root
        return [
            one
            for one in newest.values()
            if (
                one.copy.path not in there
                if one.copy.side == "remote"
                else not os.path.lexists(root / one.copy.path)
            )
        ]

    # --- bringing back

    async def restore(self, found: Iterable[Found]) -> list[api.Copy]:
        """Brings these back; the paths are looked at again.

        Raises:
            SidecarError: one could not be; those before it were.
        """
        done = []
        for one in found:
            if one.kept is not None:
                await self._restore_here(one.kept)
            else:
                await self._restore_there(one)
            done.append(one.copy)
        return done

    async def _restore_there(self, one: Found) -> None:
        assert self._reach is not None
        there, project = self._reach.there, self._here.project
        async with self._here.step:
            # What is on its way there is answered first: what comes back is not to be taken for it,
            # nor to be removed with it.
            change = self._reach.pusher.latest.get(one.copy.path)
            if change is not None:
                await asyncio.wait([change.answered])
            try:
                answer = await there.agent.request(
                    lambda id: messages.Restore(id, there.number, one.place, one.what), frames.SAVES
                )
            except RemoteError as error:
                raise SyncError(
                    f"{one.copy.path} was not brought back on {project.host}",
                    ": ".join(filter(None, (error.what, error.why))),
                    "nothing was changed there",
                ) from None
            assert isinstance(answer, messages.Restored)
            path, now = answer.path, answer.identity
            if project.mode == reconcile.MIRROR and path not in project.base.entries:
                nobodys = Agreed(Node(now.kind, False, ""), None, now._replace(inode=0, ctime_ns=0))
                there.agree(path, nobodys)
                await there.tell()
            there.differs(path, now)
        project.touch(path)

    async def _restore_here(self, kept: Kept) -> None:
        project = self._here.project
        async with self._here.step:
            try:
                await asyncio.to_thread(self._bring_back, kept)
            except Changed:
                why = "it was changed here in this moment"
            except (OSError, Refusal) as error:
                why = getattr(error, "strerror", None) or str(error)
            else:
                why = ""
        if why:
            raise SyncError(f"{kept.path} was not brought back here", why, "nothing was changed")
        project.touch(kept.path)

    def _bring_back(self, kept: Kept) -> None:
        """Blocking: as long as copying the file takes."""
        landing, root = self._here.landing, self._here.project.root
        there_now = local_files.lookup(root, kept.path)
        if there_now is not None and there_now.kind == DIRECTORY:
            raise IsADirectoryError(f"a folder is at {kept.path} now")
        if kept.identity.kind == SYMLINK:
            target = os.readlink(kept.file)
            landing.link(kept.path, target, there_now, why=WHY, own=True)
        else:
            staged = landing.stage()
            try:
                with kept.file.open("rb") as source:
                    size, target_file = kept.identity.size, staged.file.fileno()
                    copy_range(source.fileno(), target_file, 0, size, 0)
                landing.file(
                    kept.path,
                    staged,
                    there_now,
                    mtime_ns=kept.identity.mtime_ns,
                    executable=kept.identity.executable,
                    why=WHY,
                )
            finally:
                staged.discard()
        self._here.trash.drop(kept)


def _of_kept(kept: Kept) -> Found:
    return Found(
        api.Copy(
            id=kept.id,
            side="local",
            path=kept.path,
            kind="link" if kept.identity.kind == SYMLINK else "file",
            size=kept.identity.size if kept.identity.kind == FILE else 0,
            when=_iso(kept.when),
            why=kept.why,
        ),
        kept=kept,
    )


def _of_place(place: str, what: Identity) -> Found:
    """Raises SidecarError where the agent names no place."""
    try:
        path, when = trashed.parse(place)
    except trashed.PlaceError as error:
        raise SidecarError("The list of the trash there is damaged", str(error)) from None
    return Found(
        api.Copy(
            id=trashed.name_of(place, what),
            side="remote",
            path=path,
            kind="link" if what.kind == SYMLINK else "file",
            size=what.size if what.kind == FILE else 0,
            when=_iso(when),
            why=REPLACED_THERE,
        ),
        place=place,
        what=what,
    )


def _is_within(path: str, tops: Iterable[str]) -> bool:
    return any(not top or path == top or path.startswith(f"{top}/") for top in tops)


def _below(one: Found, path: str) -> bool:
    return _is_within(one.copy.path, [path])


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), timezone.utc).isoformat(timespec="seconds")
