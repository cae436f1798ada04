"""Repositories: what is asked about git on both sides."""

from __future__ import annotations

from sidecar import api
from sidecar.errors import ConfigError, SyncError
from sidecar.hub.client import Client
from sidecar.hub.registry import Registry


class Repositories:
    """For all clients."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def git(self, client: Client, params: api.GitParams) -> api.GitResult:
        session = await self._registry.session(client, params.project, params.host)
        if not session.host.git:
            raise ConfigError(
                f"git is off for {session.name}",
                "the configuration has git = false",
                f"remove hosts.{session.name}.git",
            )
        with session.speaking():
            agent = await session.ready()
            if session.guest is not None:
                raise SyncError(
                    f"{session.name} shows the folder of {session.guest.engine.host}",
                    "its repository follows through that host",
                    f"name it with -H {session.guest.engine.host}",
                )
            if params.action == "status":
                outcome = await session.following.look(agent, session.number)
            else:
                outcome = await session.following.follow(
                    agent,
                    session.number,
                    make=True,
                    anyway=params.action == "repair",
                    yes=params.yes,
                )
        return api.GitResult(
            host=session.name,
            state=outcome.state,
            text=outcome.text,
            fix=outcome.fix,
            head=outcome.head,
            branch=outcome.branch,
            kept=list(outcome.kept),
            fetched=outcome.fetched,
            notes=list(outcome.notes),
        )
