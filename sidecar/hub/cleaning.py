"""Cleaning: all that is kept for a project on a host, listed, then removed, there and here.

The program that looks and removes there is the agent's (agent/clean.py); this adds what is kept
here, asks, and takes care that nobody uses what goes: the session is closed meanwhile, and its
clients meet the host as for the first time behind it.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from sidecar import api
from sidecar.config import laptop, places
from sidecar.core import messages
from sidecar.core.amount import size
from sidecar.errors import SidecarError, SyncError, UsageError
from sidecar.hub.client import Client
from sidecar.hub.held import let_go
from sidecar.hub.registry import Registry
from sidecar.hub.sessions import Session, locked
from sidecar.questions import Choice
from sidecar.remote import broom
from sidecar.remote.connection import AgentConnection

log = logging.getLogger(__name__)

REMOVE, LEAVE = "Remove it", "Leave it"

TRASH = "trash"
"""The folder of a project's state that holds what syncs replaced here (sync/disk/trash.py)."""


class Cleaning:
    """For all clients."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def clean(self, client: Client, params: api.CleanParams) -> api.CleanResult:
        """
        Raises:
            UsageError: nobody could be asked ("unanswered"); a job there is being looked at.
            SyncError: what is kept is not what was `seen`.
            SidecarError: there is no way to the host; or the program there failed.
        """
        session = await self._registry.session(client, params.project, params.host)
        with session.speaking():
            agent = await session.connected()
            found = await _look(agent, session, params.all)
            result = api.CleanResult(
                host=session.name,
                folder=found.folder,
                exists=found.exists,
                kept=[*found.there, *found.here],
                seen=found.seen,
            )
            goes = [one for one in result.kept if not one.stays]
            if params.dry_run or not goes:
                return result
            if params.seen not in ("", found.seen):
                raise SyncError(
                    "What is kept has changed since it was listed",
                    "something ran or was synced meanwhile",
                    "look at it again: `sidecar clean`",
                    code="changed",
                )
            _refuse_what_is_looked_at(session)
            if not params.yes and not await _asked(client, session, goes):
                return result
            left = await self._remove(client, session, found, params.all)
            return msgspec.structs.replace(result, removed=True, left=left)

    async def _remove(
        self, client: Client, session: Session, found: _Found, all: bool
    ) -> list[api.Kept]:
        """What could not be, with why."""
        tenant = _Tenant()
        link = self._registry.links.take(session.link.destination, tenant)
        try:
            agent = await link.connect()
            removing = _removed(agent, session, found, all)
            left = await self._registry.without(session, client, removing)
        finally:
            self._registry.links.give_back(link, tenant)
        log.info("cleaned %s for %s; %d things are left", session.name, session.root, len(left))
        return left


class _Tenant:
    """Holds a link while its session is closed."""

    def link_up(self, agent: AgentConnection) -> None: ...

    def link_down(self, error: SidecarError) -> None: ...

    def link_changed(self) -> None: ...


class _Found(NamedTuple):
    """`seals`: kind, name and seal of what is there and goes."""

    folder: str
    exists: bool
    there: list[api.Kept]
    seals: list[list[str]]
    here: list[api.Kept]

    @property
    def seen(self) -> str:
        trash = [(one.files, one.bytes) for one in self.here if one.only]
        told = repr((self.seals, trash))
        return hashlib.blake2b(told.encode("utf-8", "replace"), digest_size=8).hexdigest()


async def _look(agent: AgentConnection, session: Session, all: bool) -> _Found:
    told = await broom.ask(agent, _question(session, all, []))
    there = [_item(one) for one in told["items"]]
    # What the agent remembers of the folder changes by itself.
    seals = [
        [one["kind"], one["name"], "" if one["kind"] == "folder" else one["seal"]]
        for one in told["items"]
        if not one["stays"]
    ]
    here = await asyncio.to_thread(_kept_here, _store(session))
    return _Found(told["folder"], told["exists"], there, seals, here)


def _question(session: Session, all: bool, remove: list[list[str]]) -> dict[str, Any]:
    return {
        "state": session.host.state,
        "path": session.host.path,
        "laptop": laptop.identity(),
        "owners": session.engine.owners,
        "all": all,
        "remove": remove,
    }


def _item(told: dict[str, Any]) -> api.Kept:
    fields = {name: value for name, value in told.items() if name != "seal"}
    return msgspec.convert({"side": "remote", **fields}, api.Kept)


def _refuse_what_is_looked_at(session: Session) -> None:
    watched = [job.id for job in session.jobs.watched]
    if watched:
        raise UsageError(
            f"Job {watched[0]} on {session.name} is being looked at",
            "somebody here is attached to it",
            "detach (`~d`), or end it with `sidecar stop`, first",
        )


async def _asked(client: Client, session: Session, goes: list[api.Kept]) -> bool:
    there = sum(one.bytes for one in goes if one.side == "remote")
    here = sum(one.bytes for one in goes if one.side == "local")
    lines = [
        f"Remove what is kept for {session.project.spelled}: {size(there)} on {session.name}, "
        f"{size(here)} here? No file of the project is touched."
    ]
    if only := [one for one in goes if one.only]:
        lines.append("These may hold the only copy of what somebody wrote:")
        lines += [f"  {_where(one, session.name)}: {one.text}" for one in only]
    question = Choice("\n".join(lines), (REMOVE, LEAVE), "--yes")
    answer = await client.choose(question)
    if answer is None:
        raise UsageError(
            "Nobody said that it may be removed",
            "it is not done unasked",
            "look at it with `sidecar clean -n`, and remove it with `--yes`",
            code="unanswered",
        )
    return answer == REMOVE


def _where(one: api.Kept, host: str) -> str:
    files = f"{one.files} file{'s' * (one.files != 1)}"
    return f"{one.place} {'here' if one.side == 'local' else f'on {host}'} ({files})"


async def _removed(
    agent: AgentConnection, session: Session, found: _Found, all: bool
) -> list[api.Kept]:
    """Removes what was listed, there first: what is kept here is what tells a later try whose the
    folder there is. The session is closed."""
    left: list[api.Kept] = []
    if found.seals:
        if session.number:
            # The agent lets go of the folder, and writes nothing more into it.
            await agent.request(lambda id: messages.Open(id, session.number, session.host.path))
        told = await broom.ask(agent, _question(session, all, found.seals))
        left += [_item(one) for one in told["items"]]
    if not any(one.kind == "folder" for one in left):
        left += await asyncio.to_thread(_drop_here, session, found.here)
    return left


# --- this machine ---------------------------------------------------------------------------


def _store(session: Session) -> Path:
    return places.project_state(session.root, session.name)


def _kept_here(store: Path) -> list[api.Kept]:
    """Two items: the trash, where there is something in it, and all else."""
    trash = store / TRASH
    files, amount = _weighed([trash])
    kept = []
    if files:
        text = "what syncs replaced or removed here (`sidecar undo`)"
        # A copy is two files: its content, and a line that says what it is.
        kept.append(_here(TRASH, trash, (files + 1) // 2, amount, text, only=True))
    files, amount = _weighed(path for path in store.iterdir() if path != trash)
    text = "what both sides agreed on, and what is remembered of runs"
    kept.append(_here("state", store, files, amount, text))
    return kept


def _here(
    kind: str, place: Path, files: int, amount: int, text: str, *, only: bool = False
) -> api.Kept:
    fields = {"kind": kind, "name": place.name, "place": str(place), "text": text, "only": only}
    return msgspec.convert({"side": "local", "files": files, "bytes": amount, **fields}, api.Kept)


def _weighed(tops: Iterable[Path]) -> tuple[int, int]:
    """Files and bytes at and below these, a file of several names by its share."""
    files = amount = 0
    waiting = [os.fspath(top) for top in tops]
    while waiting:
        path = waiting.pop()
        try:
            status = os.lstat(path)
            if os.path.isdir(path) and not os.path.islink(path):
                waiting += [os.path.join(path, name) for name in os.listdir(path)]
                continue
        except OSError:
            continue
        files, amount = files + 1, amount + status.st_size // max(1, status.st_nlink)
    return files, amount


def _drop_here(session: Session, kept: list[api.Kept]) -> list[api.Kept]:
    """Removes what is remembered here; what could not be."""
    store = _store(session)
    try:
        lock = locked(store, session.project, session.name)
    except SidecarError as error:
        return [msgspec.structs.replace(one, stays=str(error)) for one in kept]
    try:
        shutil.rmtree(store)
        if not os.listdir(store.parent):
            store.parent.rmdir()
    except OSError as error:
        why = error.strerror or str(error)
        return [
            msgspec.structs.replace(one, stays=why) for one in kept if os.path.exists(one.place)
        ]
    finally:
        let_go(lock)
    return []
