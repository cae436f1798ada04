"""Fetching by hand: files and folders of the remote that somebody asked for, whatever their size.

What was changed here is not replaced unless that was asked for as well. Patterns of `pull` and what
git ignores do not matter; what this machine might run by itself comes only where it was named by
its own path, and so does an executable bit.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from sidecar import api
from sidecar.core import identity, messages, paths
from sidecar.core.amount import size
from sidecar.core.identity import DIRECTORY, FILE, SYMLINK, Identity
from sidecar.errors import SyncError
from sidecar.sync.disk.landing import NotTaken, refuse_what_runs
from sidecar.sync.guarding.first_contact import Prefer
from sidecar.sync.guarding.notes import Notes
from sidecar.sync.pulling.pull import NOT_PULLED, Puller
from sidecar.sync.pulling.wanted import Wanted
from sidecar.sync.rules.patterns import PatternList, as_bytes, parse_lines
from sidecar.sync.trees.base import Base
from sidecar.sync.trees.here import Here, Unreadable
from sidecar.sync.trees.there import There

DEEPEST = 128
MOST = 200_000
"""Entries of a folder that is fetched whole."""

SKIPPED = (".git", ".sidecar", "__pycache__", "node_modules", ".venv")
"""Folders below the one that was asked for which are not gone into."""

_SPECIAL = frozenset("*?[")


class Fetching:
    """One request's worth, over one connection."""

    def __init__(
        self, root: Path, base: Base, there: There, here: Here, puller: Puller, notes: Notes
    ) -> None:
        self._root, self._base, self._there = root, base, there
        self._here, self._puller, self._notes = here, puller, notes
        self._said: list[api.PathNote] = []

    async def fetch(
        self, wanted: Sequence[str], prefer: Prefer, *, dry_run: bool
    ) -> api.PullResult:
        """As SyncEngine.pull."""
        began = time.monotonic()
        puller = self._puller
        pulled, received = puller.pulled, puller.bytes_received
        found: dict[str, Identity] = {}
        for one in wanted:
            found.update(await self._find(one))
        plan = await self._plan(found, frozenset(wanted), prefer)
        if not dry_run:
            self._notes.clear(plan)
            await puller.fetch(plan)
        said = [note for note in self._notes.all if note.path in plan]
        return api.PullResult(
            pulled=puller.pulled - pulled,
            bytes_received=puller.bytes_received - received,
            seconds=time.monotonic() - began,
            notes=[*self._said, *said],
            plan=[f"pull {path} ({size(one.there.size)})" for path, one in plan.items()]
            if dry_run
            else [],
        )

    # --- what is meant

    async def _find(self, wanted: str) -> dict[str, Identity]:
        """The files and links there that a path or pattern means.

        Raises:
            SyncError: it means none.
        """
        try:
            parts = paths.check(wanted)
        except paths.PathError as error:
            raise _not_there(wanted, str(error)) from None
        fixed = [part for part in parts if not _SPECIAL & set(part)]
        if len(fixed) == len(parts):
            return await self._at(wanted)
        top = "/".join(parts[: next(n for n, part in enumerate(parts) if _SPECIAL & set(part))])
        listed = await self._below(top)
        pattern = PatternList(parse_lines([f"/{wanted}"], "asked"))
        found: dict[str, Identity] = {}
        for path, there in listed.items():
            name = path.rpartition("/")[2]
            if pattern.match(as_bytes(path), as_bytes(name), there.kind == DIRECTORY):
                below = f"{path}/"
                found.update(
                    (one, what)
                    for one, what in listed.items()
                    if one == path or one.startswith(below)
                )
        found = {path: there for path, there in found.items() if there.kind in (FILE, SYMLINK)}
        if not found:
            raise _not_there(wanted, "nothing there matches it")
        return found

    async def _at(self, path: str) -> dict[str, Identity]:
        there = (await self._there.lookup([path])).get(path)
        if there is None:
            raise _not_there(path, "nothing is there")
        if there.kind in (FILE, SYMLINK):
            return {path: there}
        if there.kind != DIRECTORY:
            raise _not_there(path, "it is neither a file nor a folder nor a link")
        listed = await self._below(path)
        return {one: what for one, what in listed.items() if what.kind in (FILE, SYMLINK)}

    async def _below(self, top: str) -> dict[str, Identity]:
        """Everything in a folder there."""
        found: dict[str, Identity] = {}
        prefix = f"{top}/" if top else ""
        ask = self._there.agent.parts(
            lambda id: messages.List_(id, self._there.number, top, DEEPEST, MOST, list(SKIPPED))
        )
        async for part in ask:
            assert isinstance(part, messages.Listed)
            for path, there in identity.unpack(part.body):
                paths.check(path)
                if there is not None and path.startswith(prefix):
                    found[path] = there
            if part.truncated or len(found) > MOST:
                raise _not_there(top or ".", f"it holds more than {MOST} things; name a part of it")
        return found

    # --- what is done about it

    async def _plan(
        self, found: Mapping[str, Identity], named: frozenset[str], prefer: Prefer
    ) -> dict[str, Wanted]:
        plan: dict[str, Wanted] = {}
        unsure: dict[str, Wanted] = {}
        for path, there in found.items():
            try:
                if path not in named:
                    refuse_what_runs(path, False, False)
                read = await self._here.read(path)
            except (NotTaken, Unreadable) as error:
                self._say(path, f"not pulled: {error}")
                continue
            agreed = self._base.entries.get(path)
            here, node = (read.identity, read.node) if read else (None, None)
            wanted = Wanted(there, here, node, named=path in named)
            if here is not None and here.kind not in (FILE, SYMLINK):
                self._say(path, "not pulled: something else is here, which is no file")
            elif here is None or (agreed is not None and node == agreed.node):
                if agreed is None or here is None or agreed.remote != there:
                    plan[path] = wanted
            else:
                unsure[path] = wanted
        digests = await self._there.digests(unsure)
        for path, wanted in unsure.items():
            assert wanted.node is not None
            if prefer == "remote" or wanted.node.digest == digests[path]:
                plan[path] = wanted  # where it is equal, both sides agree and nothing lands
            else:
                self._say(
                    path,
                    "differs here and was not pulled; `--prefer remote` replaces it, with yours "
                    "in the trash",
                )
        return plan

    def _say(self, path: str, text: str) -> None:
        self._said.append(api.PathNote(path=path, kind=NOT_PULLED, text=text))


def _not_there(wanted: str, why: str) -> SyncError:
    return SyncError(
        f"{wanted} cannot be pulled", why, "name a file or folder of the project", code="not-there"
    )
