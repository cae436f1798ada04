"""Which session a request means: the project's configuration, read anew, and its sessions.

A session stays while a client holds it; then until what is queued has gone out over a connection
that stands, then for `linger`. A configuration that has changed replaces it.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import TypeVar

from sidecar.config import model
from sidecar.config import trust as trusted
from sidecar.config.load import Loaded, load
from sidecar.config.project import Project, find_project
from sidecar.errors import ConfigError, ConnectError, UsageError
from sidecar.hub.client import Client, in_nobodys_name
from sidecar.hub.links import Links
from sidecar.hub.sessions import Session
from sidecar.questions import Choice
from sidecar.ssh.resolve import resolve

log = logging.getLogger(__name__)

TRUST, NOT_NOW = "Trust", "Not now"

Key = tuple[Path, str]
Result = TypeVar("Result")


class Registry:
    """All sessions of the hub."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._changed = asyncio.Event()
        self.links = Links(self._tell)
        self._sessions: dict[Key, Session] = {}
        self._opening = asyncio.Lock()
        self._retiring: dict[Key, asyncio.Task[None]] = {}
        self._linger: dict[Key, float | None] = {}

    @property
    def busy(self) -> bool:
        return bool(self._sessions) or self.links.busy

    @property
    def sessions(self) -> list[Session]:
        return list(self._sessions.values())

    def project(self, client: Client, path: str) -> Project:
        """The project that owns `path`; "" is the client's own folder.

        Raises:
            UsageError: `path` is relative.
            ConfigError: no configuration there or above ("no-project").
        """
        start = path or client.workspace
        if not start or not os.path.isabs(start):
            raise UsageError(
                f"{start!r} is no absolute path", "a project is named by one", "send one"
            )
        project = find_project(Path(start))
        if project is None:
            raise ConfigError(
                f"{start} belongs to no project",
                "there is no configuration in it or above",
                "run `sidecar init HOST` in the project's folder",
                code="no-project",
            )
        return project

    @staticmethod
    def load(client: Client, project: Project) -> Loaded:
        """Its configuration as this client sees it, variables included."""
        return load(project, environ=client.environ or os.environ)

    async def session(
        self,
        client: Client,
        path: str = "",
        host: str = "",
        *,
        unasked: bool = False,
        stays: bool = False,
    ) -> Session:
        """The session of that project on that host, opened if need be, held by `client`.

        Args:
            unasked: no person caused this; then nobody is asked for trust.
            stays: the client wants this host for as long as it lives, whichever is used.
        Raises:
            SidecarError: the configuration is wrong or not trusted, or another process has the
                project.
        """
        project = self.project(client, path)
        loaded = self.load(client, project)
        try:
            name, settings = loaded.host(host)
        except ConfigError as error:
            if (
                error.code != "untrusted"
                or unasked
                or not await self.asks_for_trust(client, loaded)
            ):
                raise
            loaded = self.load(client, project)
            name, settings = loaded.host(host)
        session = await self._opened(project, name, settings, loaded.config.sync)
        session.interpreters.origins = loaded.origins
        self._linger[project.root, name] = loaded.config.linger
        session.links = loaded.config.links
        session.clients.add(client)
        if stays:
            session.named.add(client)
        self.mark(project, loaded.chosen)
        if retiring := self._retiring.pop((project.root, name), None):
            retiring.cancel()
        return session

    async def present(self, session: Session) -> Session:
        """What has that session's place now: itself, or the one that a changed configuration put
        there."""
        async with self._opening:
            return self._sessions.get((session.root, session.name), session)

    def of_path(self, path: str) -> list[Session]:
        """The open sessions of the project that owns this absolute path."""
        project = find_project(Path(path))
        return self.of_root(str(project.root)) if project else []

    def of_root(self, root: str) -> list[Session]:
        """The open sessions of the project with this root, a real path."""
        return [one for one in self._sessions.values() if str(one.root) == root]

    def mark(self, project: Project, chosen: str) -> None:
        """Tells the sessions of a project which of them is in use."""
        for session in self.of_root(str(project.root)):
            if chosen and session.in_use is not (session.name == chosen):
                session.in_use = session.name == chosen
                session.link_changed()

    def follow(self, session: Session) -> None:
        """Who had the project open on other hosts has it here from now on, where it is used; but
        for those who named another one, or whose variables do, and while somebody still looks at
        a job there."""
        for other in self.of_root(str(session.root)):
            if other is session or other.jobs.watched:
                continue
            for one in list(other.clients - other.named):
                if self._chosen_by(one, session.project) != session.name:
                    continue
                one.health(other.health())  # its last: it is not used
                one.notes(str(session.project.spelled), other.name, [])
                session.clients.add(one)
                self._let_go((other.root, other.name), other, one)
        session.link_changed()

    def _chosen_by(self, client: Client, project: Project) -> str:
        try:
            return self.load(client, project).chosen
        except ConfigError:
            return ""

    def leave(self, client: Client) -> None:
        """The client has gone, and with it what it held."""
        for key, session in self._sessions.items():
            self._let_go(key, session, client)

    def _let_go(self, key: Key, session: Session, client: Client) -> None:
        session.clients.discard(client)
        session.named.discard(client)
        if not session.clients and key not in self._retiring:
            name = f"retire {session.root}"
            self._retiring[key] = in_nobodys_name(self._retire(key, session), name=name)

    async def without(self, session: Session, client: Client, work: Awaitable[Result]) -> Result:
        """Does `work` while that session is closed and nobody can open it. Who had it open besides
        `client` has it again behind it, as for the first time."""
        key = session.root, session.name
        async with self._opening:
            if retiring := self._retiring.pop(key, None):
                retiring.cancel()
            self._sessions.pop(key, None)
            await asyncio.shield(session.close())
            try:
                return await work
            finally:
                if session.clients - {client}:
                    self._sessions[key] = await session.reopened(client)
                self._tell()

    async def close(self) -> None:
        for task in self._retiring.values():
            task.cancel()
        await asyncio.gather(*self._retiring.values(), return_exceptions=True)
        sessions, self._sessions = list(self._sessions.values()), {}
        await asyncio.gather(*(session.close() for session in sessions))
        await self.links.close()

    async def asks_for_trust(self, client: Client, loaded: Loaded) -> bool:
        """The person is asked, once, as the answer to what they just did."""
        assert loaded.project is not None
        asks = "\n".join(f"  {one}" for one in loaded.untrusted)
        question = Choice(
            f"{loaded.project.spelled} was configured by others to:\n{asks}\nTrust these settings?",
            (TRUST, NOT_NOW),
            "sidecar trust",
        )
        if await client.choose(question) != TRUST:
            return False
        trusted.trust(loaded.project, loaded.untrusted)
        return True

    async def _opened(
        self, project: Project, name: str, host: model.Host, sync: model.Sync
    ) -> Session:
        key = project.root, name
        async with self._opening:
            before = self._sessions.get(key)
            if before is not None:
                if before.sync == sync and (before.host == host or before.renew(host)):
                    return before
                log.info("the configuration of %s on %s has changed", project.root, name)
                del self._sessions[key]
                await asyncio.shield(before.close())
            session = await Session.open(
                project, name, host, sync, self.links, self._tell, lambda: self.sessions
            )
            if before is not None:
                session.take_over(before)
            self._sessions[key] = session
            return session

    async def _retire(self, key: Key, session: Session) -> None:
        while session.pending:
            self._changed.clear()
            await self._changed.wait()
        linger = self._linger.get(key)
        await asyncio.sleep(await _control_persist(session) if linger is None else linger)
        # From here on a client that comes opens the project anew; the lock orders the two.
        async with self._opening:
            if session.clients or self._sessions.get(key) is not session:
                self._retiring.pop(key, None)
                return
            del self._sessions[key]
            del self._retiring[key]
            await asyncio.shield(session.close())
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._on_change()


async def _control_persist(session: Session) -> float:
    """How long the person's ssh configuration has an unused connection of this host stay, in
    seconds; nothing for one that was never made."""
    if not session.engine.attached:
        return 0.0
    try:
        return (await resolve(session.host.ssh)).control_persist
    except ConnectError:
        return 0.0


def local_paths(paths: Iterable[str]) -> dict[str, list[str]]:
    """Absolute paths grouped by their folder, so that its project is looked up once."""
    groups: dict[str, list[str]] = {}
    for path in paths:
        groups.setdefault(os.path.dirname(path), []).append(path)
    return groups
