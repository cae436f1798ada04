"""Repairs: conflicts, what they differ in, the decisions about them, and what can be undone."""

from __future__ import annotations

import asyncio
import contextlib
import fnmatch
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from sidecar import api
from sidecar.config.project import Project, find_project
from sidecar.errors import ConfigError, SidecarError, UsageError
from sidecar.hub.client import Client
from sidecar.hub.registry import Registry
from sidecar.hub.sessions import Session
from sidecar.sync.decisions.difference import Difference
from sidecar.sync.decisions.resolve import Resolver
from sidecar.sync.decisions.undo import Undo
from sidecar.sync.decisions.why import why
from sidecar.sync.rules.ignore import Rules
from sidecar.sync.rules.pulls import Pulls
from sidecar.sync.rules.skipped import skipped

_MAGIC = frozenset("*?[")


class Wanted(NamedTuple):
    """Paths that a person named, relative to the root: as they are, and as patterns."""

    exact: tuple[str, ...]
    patterns: tuple[str, ...]

    def match(self, path: str) -> bool:
        return any(
            not one or path == one or path.startswith(f"{one}/") for one in self.exact
        ) or any(fnmatch.fnmatchcase(path, one) for one in self.patterns)


class Repairs:
    """For all clients."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    # --- conflicts ---------------------------------------------------------------------------

    async def conflicts(self, client: Client, params: api.ConflictsParams) -> api.ConflictsResult:
        session = await self._session(client, params)
        with session.speaking():
            return api.ConflictsResult(notes=await session.surveyed())

    async def diff(self, client: Client, params: api.DiffParams) -> api.DiffResult:
        session = await self._session(client, params)
        path = _relative(session, params.path)
        if not path:
            raise UsageError(f"{params.path} is the project itself", "", "name a file in it")
        with session.speaking():
            await session.ready()
            return await Difference(session.engine.both_sides(), path).made(color=params.color)

    async def resolve(self, client: Client, params: api.ResolveParams) -> api.ResolveResult:
        if not params.paths and not params.all:
            raise UsageError(
                "Nothing says which conflicts are meant",
                "no path was given",
                "name them, or say --all",
            )
        session = await self._session(client, params)
        named = _wanted(session, params.paths)
        wanted = named._replace(exact=("",)) if params.all else named
        with session.speaking():
            await session.ready()
            done, left = await Resolver(session.engine.both_sides()).resolve(
                wanted.match,
                params.keep,
                named=frozenset(named.exact),
                everything=params.all,
                dry_run=params.dry_run,
            )
        if not done and not left and params.paths:
            raise UsageError(
                f"Nothing is to be decided about {_listed(params.paths)}",
                "both sides agree, or nobody changed it there",
                "see `sidecar conflicts`",
            )
        return api.ResolveResult(done=done, left=left)

    # --- undo --------------------------------------------------------------------------------

    async def trash(self, client: Client, params: api.TrashParams) -> api.TrashResult:
        session = await self._session(client, params)
        unreachable = ""
        with session.speaking():
            paths = [_relative(session, path) for path in params.paths]
            undo = _undo_here(session)
            if params.side != "local":
                try:
                    await session.ready()
                    undo = _undo(session)
                except SidecarError as error:
                    if params.side:
                        raise
                    unreachable = str(error)
            found, more = await undo.copies([path for path in paths if path])
        found = [one for one in found if params.side in ("", one.copy.side)]
        listed = [one.copy for one in found[: max(params.limit, 0)]]
        more = more or len(listed) < len(found)
        return api.TrashResult(copies=listed, more=more, unreachable=unreachable)

    async def undo(self, client: Client, params: api.UndoParams) -> api.UndoResult:
        session = await self._session(client, params)
        with session.speaking():
            undo = _undo_here(session)
            only_here = params.side == "local" or (
                not params.paths and await undo.is_all_here(params.ids)
            )
            if not only_here:
                await session.ready()
                undo = _undo(session)
            paths = [_relative(session, path) for path in params.paths]
            chosen = await undo.chosen(params.ids, paths, params.side)
            if params.dry_run:
                return api.UndoResult(restored=[one.copy for one in chosen])
            restored = await undo.restore(chosen)
            unreachable = ""
            try:
                await session.ready()
                await session.engine.sync()
            except SidecarError as error:
                if not only_here:
                    raise
                unreachable = str(error)  # what is back here goes there with the next connection
        back = {copy.path for copy in restored}
        notes = [note for note in session.engine.notes if note.path in back]
        return api.UndoResult(restored=restored, notes=notes, unreachable=unreachable)

    # --- rules -------------------------------------------------------------------------------

    async def why(self, client: Client, params: api.WhyParams) -> api.WhyResult:
        """Needs no connection, and dials none."""
        if not os.path.isabs(params.path):
            raise UsageError(f"{params.path!r} is no absolute path", "", "send one")
        project = self._project_of(client, params)
        session = await self._session_or_none(client, project, params.host)
        if session is not None:
            engine = session.engine
            path = _relative(session, params.path)
            path += "/" if path and params.path.endswith("/") else ""
            agreed, note = engine.known(path.rstrip("/"))
            return await asyncio.to_thread(
                why, project.root, engine.rules, path, session.name, agreed, note, engine.pulls
            )
        rules = await asyncio.to_thread(self._rules, client, project)
        relative = os.path.relpath(params.path, project.spelled)
        relative = "" if relative == "." else relative
        pulls = Pulls(self._registry.load(client, project).config.sync.pull, rules)
        return await asyncio.to_thread(why, project.root, rules, relative, "", None, None, pulls)

    async def skipped(self, client: Client, project: Project) -> list[api.Skipped]:
        """What the rules keep out of a project, by rule."""
        rules = await asyncio.to_thread(self._rules, client, project)
        return await asyncio.to_thread(skipped, project.root, rules)

    def _rules(self, client: Client, project: Project) -> Rules:
        sync = self._registry.load(client, project).config.sync
        return Rules.load(project.root, sync.ignore, sync.include)

    def _project_of(self, client: Client, params: api.WhyParams) -> Project:
        """The project that we are in, if the path is in it; else that which owns the path."""
        project: Project | None = None
        with contextlib.suppress(ConfigError):
            project = self._registry.project(client, params.project)
        path = os.path.join(os.path.realpath(os.path.dirname(params.path)), "")
        if project is not None and path.startswith(os.path.join(project.root, "")):
            return project
        owner = find_project(Path(os.path.dirname(params.path)))
        if owner is None:
            raise ConfigError(
                f"{params.path} belongs to no project",
                "there is no configuration in its folder or above",
                "run `sidecar init HOST` in the project's folder",
                code="no-project",
            )
        return owner

    async def _session_or_none(self, client: Client, project: Project, host: str) -> Session | None:
        """The rules can be told without a host."""
        try:
            return await self._registry.session(client, str(project.root), host, unasked=True)
        except SidecarError:
            if host:
                raise
            return None

    async def _session(self, client: Client, params: api.Place) -> Session:
        return await self._registry.session(client, params.project, params.host)


def _undo_here(session: Session) -> Undo:
    """Of this side's trash alone, which needs no connection."""
    return Undo(session.engine.this_side(), None)


def _undo(session: Session) -> Undo:
    return Undo(session.engine.this_side(), session.engine.both_sides())


def _relative(session: Session, path: str) -> str:
    """A path in the project; "" for the project itself.

    Raises:
        UsageError: it is not in it.
    """
    if not os.path.isabs(path):
        raise UsageError(f"{path!r} is no absolute path", "a file is named by one", "send one")
    path = os.path.normpath(path)
    relative = session.engine.relative(path)
    roots = (str(session.project.spelled), str(session.root))
    if not relative and path not in roots and os.path.realpath(path) != str(session.root):
        raise UsageError(
            f"{path} is not in {session.project.spelled}", "", "name a path of the project"
        )
    return relative


def _wanted(session: Session, paths: Sequence[str]) -> Wanted:
    relative = [_relative(session, path) for path in paths]
    there = [os.path.lexists(path) or not _MAGIC & set(path) for path in paths]
    return Wanted(
        tuple(one for one, exact in zip(relative, there, strict=True) if exact),
        tuple(one for one, exact in zip(relative, there, strict=True) if not exact),
    )


def _listed(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return ", ".join(os.path.basename(path) for path in paths[:3]) + more
