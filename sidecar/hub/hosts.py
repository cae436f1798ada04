"""The hosts of a project: how each is, and which one saves and runs go to.

The choice is the person's setting `host`, in `sidecar.local.toml`. Whoever has the project open
follows it: their sessions move to the new host's, and what still runs on the old one stays there.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import msgspec

from sidecar import api
from sidecar.config import write
from sidecar.config.load import Loaded
from sidecar.config.project import LOCAL, Project, at, find_project
from sidecar.config.ssh_hosts import ssh_hosts
from sidecar.errors import ConfigError, SidecarError, UsageError
from sidecar.hub.client import Client, asked_by
from sidecar.hub.registry import Registry
from sidecar.hub.sessions import Session
from sidecar.questions import Choice

NOT_NOW = "Not now"

LISTED = 20
"""Hosts of ~/.ssh/config in a question; more would fill a screen."""


class Hosts:
    """For all clients."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._connecting: set[asyncio.Task[None]] = set()

    async def hosts(self, client: Client, params: api.HostsParams) -> api.HostsResult:
        """Dials nothing."""
        project = self._registry.project(client, params.project)
        loaded = self._registry.load(client, project)
        chosen = loaded.chosen
        sessions = {one.name: one for one in self._registry.of_root(str(project.root))}
        return api.HostsResult(
            project=str(project.spelled),
            hosts=[_told(loaded, name, chosen, sessions.get(name)) for name in loaded.host_names],
        )

    async def select(self, client: Client, params: api.SelectHostParams) -> api.SelectHostResult:
        """
        Raises:
            ConfigError: there is no such host; or the file cannot be changed.
            UsageError: nobody chose; or a variable of the client's says otherwise.
        """
        project = self._registry.project(client, params.project)
        loaded = self._registry.load(client, project)
        name = params.host or await self._asked(client, loaded)
        if name not in loaded.host_names:
            loaded.host(name)  # says what there is
        if name != loaded.chosen:
            await asyncio.to_thread(_write, project, name)
            said = self._registry.load(client, project)
            if said.chosen != name:
                raise UsageError(
                    f"{said.chosen} stays the host that is used",
                    f"{said.origins.get('host', 'something stronger')} says so",
                    f"change it there; {name} is written to sidecar.local.toml",
                )
        if params.connect:
            session = await self._registry.session(client, str(project.spelled))
            self._registry.follow(session)
            task = asyncio.create_task(self._connect(client, session), name=f"connect {name}")
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)
        else:
            self._registry.mark(project, name)
        return api.SelectHostResult(host=name)

    async def of_ssh(self, client: Client, params: api.SshHostsParams) -> api.SshHostsResult:
        found = await asyncio.to_thread(ssh_hosts, client.environ or os.environ)
        return api.SshHostsResult(hosts=found)

    async def init(self, client: Client, params: api.InitParams) -> api.InitResult:
        """
        Raises:
            ConfigError: the settings are wrong, or the host is there already.
            UsageError: no folder or no host was named.
        """
        start = params.project or client.workspace
        if not os.path.isabs(start):
            raise UsageError("No folder was named", "", "open one, and set it up from there")
        project = find_project(Path(start)) or at(Path(start))
        ssh = params.ssh or await self._ssh_host(client)
        name = params.host or write.name_of(ssh)
        settings = {"ssh": ssh, "path": params.path or f"~/{project.folder}"}
        if params.python:
            settings["python"] = params.python
        file = project.root / LOCAL
        if not params.dry_run:
            file = await asyncio.to_thread(write.add_host, project, name, settings)
        return api.InitResult(
            project=str(project.spelled), host=name, ssh=ssh, path=settings["path"], file=str(file)
        )

    async def _ssh_host(self, client: Client) -> str:
        names = await asyncio.to_thread(ssh_hosts, client.environ or os.environ)
        question = Choice(
            "Which machine is this project to run on?",
            (*names[:LISTED], NOT_NOW),
            "sidecar init HOST",
        )
        answer = await client.choose(question) if names else None
        if answer is None or answer == NOT_NOW:
            raise UsageError(
                "No host was named",
                "" if names else "~/.ssh/config has none to offer",
                "say `sidecar init HOST`, with what you would type after `ssh`",
            )
        return answer

    async def close(self) -> None:
        for task in self._connecting:
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)

    async def _asked(self, client: Client, loaded: Loaded) -> str:
        names = [name for name in loaded.host_names if name != loaded.chosen]
        if not names:
            raise ConfigError(
                "There is no other host to choose",
                f"only {loaded.chosen or 'none'} is configured",
                "add one by `sidecar init HOST`",
                code="no-host",
            )
        message = f"Where should saves and runs go, from {loaded.chosen or 'nowhere yet'}?"
        question = Choice(message, (*names, NOT_NOW), "sidecar hosts use NAME")
        answer = await client.choose(question)
        if answer is None or answer == NOT_NOW:
            raise UsageError("No host was chosen", "", "name one: `sidecar hosts use NAME`")
        return answer

    @staticmethod
    async def _connect(client: Client, session: Session) -> None:
        """In the name of who chose it, who may be asked for a password."""
        try:
            with asked_by(client), session.speaking():
                await session.ready()
        except SidecarError as error:
            client.show(str(error), "error")


def _write(project: Project, name: str) -> None:
    write.set_value(project, ("host",), name)


def _told(loaded: Loaded, name: str, chosen: str, session: Session | None) -> api.HostState:
    told = api.HostState(
        name=name,
        ssh=loaded.config.hosts[name].ssh or name,
        path=loaded.path_of(name),
        in_use=name == chosen,
        state="idle",
        text="not open",
    )
    if session is None:
        try:
            loaded.host(name)
        except ConfigError as error:
            told = msgspec.structs.replace(told, state="question", text=error.what, fix=error.fix)
        return told
    health = session.health()
    return msgspec.structs.replace(
        told,
        state=health.state,
        text=health.text,
        fix=health.fix,
        round_trip_ms=health.round_trip_ms,
        files=health.files,
        queued=health.queued,
        conflicts=health.conflicts,
        last_sync=health.last_sync,
    )
