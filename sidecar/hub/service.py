"""What the hub does for its faces: the methods of api.REQUESTS, whoever calls them.

A face converts and carries; this decides. Each method takes the client and its parameters, and
either returns the result or raises a SidecarError that says what to do.
"""

from __future__ import annotations

import asyncio
import importlib
import os
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

import sidecar
from sidecar import api
from sidecar.config import trust as trusted
from sidecar.config.load import load
from sidecar.config.project import Project, find_project
from sidecar.errors import ConfigError, SidecarError
from sidecar.hub import target
from sidecar.hub.choosing import Choosing
from sidecar.hub.client import Client
from sidecar.hub.forwarding import Forwarding
from sidecar.hub.hosts import Hosts
from sidecar.hub.machines import Machines
from sidecar.hub.registry import Registry, local_paths
from sidecar.hub.remembered import Arguments
from sidecar.hub.repairs import Repairs
from sidecar.hub.repositories import Repositories
from sidecar.hub.runs import Runs
from sidecar.hub.sessions import Session
from sidecar.remote import bundle

if TYPE_CHECKING:
    from sidecar.hub.debugging import Debugging
    from sidecar.hub.services import Services

Method = Callable[[Client, Any], Awaitable[api.Message]]


class Service:
    """One per hub."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        """`on_change`: `busy` may have changed."""
        self._registry = Registry(on_change)
        self._forwarding = Forwarding(self._registry)
        self._machines = Machines(self._registry)
        self._runs = Runs(self._registry, self._forwarding)
        self._choosing = Choosing(self._registry)
        self._debugging: Debugging | None = None
        self._repairs = Repairs(self._registry)
        self._hosts = Hosts(self._registry)
        self._repositories = Repositories(self._registry)
        self._services: Services | None = None
        self.methods: dict[str, Method] = {
            "sidecar/run": self._runs.run,
            "sidecar/arguments": self._runs.arguments,
            "sidecar/input": self._runs.input,
            "sidecar/resize": self._runs.resize,
            "sidecar/signal": self._runs.signal,
            "sidecar/rerun": self._runs.rerun,
            "sidecar/job": self._runs.job,
            "sidecar/jobs": self._runs.jobs,
            "sidecar/attach": self._runs.attach,
            "sidecar/interpreters": self._choosing.interpreters,
            "sidecar/selectInterpreter": self._choosing.select,
            "sidecar/quit": self._quit,
            "sidecar/debug": self._debug,
            "sidecar/debugFailure": self._debug_failure,
            "sidecar/sync": self._sync,
            "sidecar/pull": self._pull,
            "sidecar/status": self._status,
            "sidecar/hosts": self._hosts.hosts,
            "sidecar/selectHost": self._hosts.select,
            "sidecar/sshHosts": self._hosts.of_ssh,
            "sidecar/init": self._hosts.init,
            "sidecar/trust": self._trust,
            "sidecar/doctor": self._doctor,
            "sidecar/agentSource": self._agent_source,
            "sidecar/conflicts": self._repairs.conflicts,
            "sidecar/diff": self._repairs.diff,
            "sidecar/resolve": self._repairs.resolve,
            "sidecar/trash": self._repairs.trash,
            "sidecar/undo": self._repairs.undo,
            "sidecar/why": self._repairs.why,
            "sidecar/git": self._repositories.git,
            "sidecar/forward": self._forwarding.forward,
            "sidecar/ports": self._forwarding.ports,
            "sidecar/service": self._service,
            "sidecar/gpus": self._machines.gpus,
            "sidecar/clean": self._clean,
        }

    async def debugging(self) -> Debugging:
        """Loaded when somebody debugs: it takes 2 MB that few hubs need, and 40 ms, which are
        not the loop's."""
        if self._debugging is None:
            module = await asyncio.to_thread(importlib.import_module, "sidecar.hub.debugging")
            if self._debugging is None:
                self._debugging = module.Debugging(self._registry)
        return self._debugging

    async def _debug(self, client: Client, params: api.DebugParams) -> api.DebugResult:
        return await (await self.debugging()).debug(client, params)

    async def _debug_failure(
        self, client: Client, params: api.DebugFailureParams
    ) -> api.DebugResult:
        return await (await self.debugging()).debug_failure(client, params)

    @property
    def busy(self) -> bool:
        """Something is held, queued or being closed."""
        return self._registry.busy

    async def close(self) -> None:
        await self._runs.close()
        if self._debugging is not None:
            await self._debugging.close()
        await self._hosts.close()
        await self._registry.close()

    # --- for faces ---------------------------------------------------------------------------

    def leave(self, client: Client) -> None:
        """The client has gone. Jobs go on; what was only for it ends."""
        self._runs.leave(client)
        if self._debugging is not None:
            self._debugging.leave(client)
        self._registry.leave(client)

    def editor_beside(self, client: Client) -> Client | None:
        """An editor that has a project of this client open, and can be asked instead of it."""
        for session in self._registry.sessions:
            if client in session.clients:
                for other in session.clients:
                    if other.is_editor and other is not client:
                        return other
        return None

    def quit(self, client: Client) -> None:
        """The person closes the terminal or the editor; `leave` follows."""
        self._runs.leftovers.quit(client)

    async def greet(self, client: Client, session: Session) -> None:
        """Tells an editor what runs there from earlier sessions, once."""
        if text := await self._runs.leftovers.told(self._runs.leftovers.greeting(session)):
            client.show(text)

    def saved(self, client: Client, paths: Iterable[str]) -> None:
        """Files were written, made, moved or removed here. Only queues."""
        for folder, some in local_paths(paths).items():
            for session in self._registry.of_path(folder):
                session.engine.saved(some)

    def cancel_uploads(self, project: str, host: str) -> None:
        """Calls off the large files that are on their way, for the project of that spelling."""
        for session in self._registry.sessions:
            if (str(session.project.spelled), session.name) == (project, host):
                session.engine.cancel_uploads()

    def saved_in(self, root: str, path: str) -> None:
        """As `saved`, for one file whose project is known (`root_of`; "" is none): to look for it
        takes longer than all else that is done until the save is queued."""
        for session in self._registry.of_root(root):
            session.engine.saved([path])

    @staticmethod
    def root_of(path: str) -> str:
        """The root of the project that owns `path`, "" where there is none."""
        project = find_project(Path(path))
        return str(project.root) if project else ""

    def host_of(self, path: str) -> str:
        """The host that a run of this file goes to, "" where its project is not open."""
        sessions = self._registry.of_path(os.path.dirname(path))
        return next((one.name for one in sessions if one.in_use), "")

    @staticmethod
    def arguments_of(path: str) -> list[str]:
        """Those that a file was last run with from an editor."""
        project = find_project(Path(os.path.dirname(path)))
        if project is None:
            return []
        return Arguments(project.root).of(target.relative(path, project.root))

    async def open_unasked(self, client: Client, path: str) -> Session:
        """An editor shows something of a project: open it. Nothing is dialled yet.

        Raises:
            SidecarError: it cannot be, until a person does something; the client has been told
                that as a state.
        """
        try:
            session = await self._registry.session(client, path, unasked=True)
        except ConfigError as error:
            client.health(_unopened(str(self._registry.project(client, path).spelled), error))
            raise
        if session.in_use:
            self._registry.follow(session)  # the person may have written another one by hand
        client.health(session.health())
        return session

    async def connect_unasked(self, session: Session) -> None:
        """Connects, if that asks nobody anything, and brings both sides together.

        Raises:
            SidecarError: why not; the session's health says it too.
        """
        with session.speaking():
            await session.ready(unasked=True)

    # --- methods -----------------------------------------------------------------------------

    async def _service(self, client: Client, params: api.ServiceParams) -> api.ServiceResult:
        if self._services is None:
            # Few need it, and the hub is to be small.
            from sidecar.hub.services import Services

            self._services = Services(self._registry, self._runs, self._forwarding)
        return await self._services.service(client, params)

    async def _clean(self, client: Client, params: api.CleanParams) -> api.CleanResult:
        from sidecar.hub.cleaning import Cleaning  # as above: a few times a year

        return await Cleaning(self._registry).clean(client, params)

    async def _quit(self, client: Client, params: api.Place) -> api.Empty:
        self.quit(client)
        return api.Empty()

    async def _sync(self, client: Client, params: api.SyncParams) -> api.SyncResult:
        stays = bool(params.host)
        session = await self._registry.session(client, params.project, params.host, stays=stays)
        with session.speaking():
            result = await session.synced(params)
        if session.engine.just_met:
            session.engine.just_met = False
            kept_out = await self._repairs.skipped(client, session.project)
            result = msgspec.structs.replace(result, skipped=kept_out)
        return result

    async def _pull(self, client: Client, params: api.PullParams) -> api.PullResult:
        session = await self._registry.session(client, params.project, params.host)
        with session.speaking():
            return await session.pulled(params)

    async def _status(self, client: Client, params: api.StatusParams) -> api.StatusResult:
        sessions = self._registry.sessions
        notes: list[api.PathNote] = []
        told: list[api.Health] = []
        skipped: list[api.Skipped] = []
        if params.project:
            project = self._registry.project(client, params.project)
            sessions = [one for one in sessions if one.root == project.root]
            asked = [one for one in sessions if params.host in ("", one.name)]
            notes = [note for one in asked for note in one.engine.notes]
            if not sessions:
                told = self._why_not_open(client, project)
            if params.skipped:
                skipped = await self._repairs.skipped(client, project)
        if params.load:
            await self._machines.look(sessions)
        told += [one.health() for one in sessions if not params.host or one.name == params.host]
        return api.StatusResult(
            hub_pid=os.getpid(),
            version=sidecar.__version__,
            sessions=told,
            notes=notes,
            skipped=skipped,
        )

    def _why_not_open(self, client: Client, project: Project) -> list[api.Health]:
        try:
            self._registry.load(client, project).host()
        except ConfigError as error:
            return [_unopened(str(project.spelled), error)]
        return []

    async def _doctor(self, client: Client, params: api.DoctorParams) -> api.DoctorResult:
        from sidecar.hub.doctor import Doctor  # seldom needed

        return await Doctor(self._registry).doctor(client, params)

    async def _agent_source(
        self, client: Client, params: api.AgentSourceParams
    ) -> api.AgentSourceResult:
        return await asyncio.to_thread(_agent_source)

    async def _trust(self, client: Client, params: api.TrustParams) -> api.TrustResult:
        project = self._registry.project(client, params.project)
        loaded = load(project)
        waiting = loaded.untrusted
        if waiting and params.ask and not params.accept:
            trusts = await self._registry.asks_for_trust(client, loaded)
            return api.TrustResult(trusted=trusts, asks=[] if trusts else waiting)
        shown = [one for one in waiting if not params.settings or one in params.settings]
        if params.accept and shown:
            trusted.trust(project, shown)
        left = [one for one in waiting if not params.accept or one not in shown]
        if waiting and not left:
            await self._registry.session(client, params.project, params.host)
        return api.TrustResult(trusted=not left, asks=left)


def _agent_source() -> api.AgentSourceResult:
    modules = [api.AgentModule(name=name, text=text) for name, text in bundle.texts().items()]
    return api.AgentSourceResult(digest=bundle.digest(), modules=modules)


def _unopened(project: str, error: SidecarError) -> api.Health:
    why = f": {error.why}" if error.why else ""
    return api.Health(
        project=project, host="", state="question", text=error.what + why, fix=error.fix
    )
