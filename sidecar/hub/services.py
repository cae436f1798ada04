"""TensorBoard and Jupyter there: started as jobs, and met here."""

from __future__ import annotations

import asyncio
import os
import posixpath
import secrets

from sidecar import api
from sidecar.config.forwards import End, Rule
from sidecar.errors import RunError
from sidecar.forward import serve_jupyter
from sidecar.forward.forwards import Origin
from sidecar.forward.servers import NAME, SERVERS, archive, arguments
from sidecar.hub.client import Client
from sidecar.hub.forwarding import Forwarding, asked
from sidecar.hub.registry import Registry
from sidecar.hub.runs import Runs
from sidecar.hub.sessions import Session
from sidecar.remote.install import install

UP = 90.0
"""Seconds that a server may take to listen: on a shared file system, imports are slow."""

LOOK = 0.3
"""Seconds between two looks whether it does."""


class Services:
    """All of the hub. Tokens are kept in memory alone."""

    def __init__(self, registry: Registry, runs: Runs, forwarding: Forwarding) -> None:
        self._registry, self._runs, self._forwarding = registry, runs, forwarding
        self._started: dict[tuple[object, ...], tuple[str, str]] = {}
        """By session, kind, folder and arguments: job and token."""

    async def service(self, client: Client, params: api.ServiceParams) -> api.ServiceResult:
        session = await self._registry.session(client, params.project, params.host)
        kind = SERVERS[params.service]
        cwd = params.cwd or str(session.project.spelled)
        argv = arguments(params.service, params.args, cwd)
        key = (session.root, session.name, params.service, cwd, *argv)
        job, token = self._started.get(key, ("", ""))
        run = None
        if not job or not await self._runs_still(session, job):
            token = secrets.token_hex(24) if params.service == "jupyter" else ""
            run = await self._start(client, session, params, argv, token)
            job = run.job
            self._started[key] = job, token
        with session.speaking():
            there = await self._listening(session, job, kind.name)
            origin = Origin("service", job, (), kind.name, as_ourselves=True)
            wanted = End(port=params.port or kind.port)
            forwards = self._forwarding.of(session)
            port = await forwards.open(Rule(wanted, there), client, origin)
        url = f"http://127.0.0.1:{port.port}/" + (f"?token={token}" if token else "")
        return api.ServiceResult(url=url, port=port, job=job, new=run is not None, run=run)

    async def _start(
        self,
        client: Client,
        session: Session,
        params: api.ServiceParams,
        argv: list[str],
        token: str,
    ) -> api.RunResult:
        with session.speaking():
            agent = await session.ready()
            python = await session.interpreters.chosen()
            folder = await install(agent, NAME, archive())
        program = posixpath.join(folder, SERVERS[params.service].program)
        return await self._runs.run(
            client,
            api.RunParams(
                project=params.project,
                host=params.host,
                target=python.path,
                args=[program, *argv],
                cwd=params.cwd,
                env={"JUPYTER_TOKEN": token} if token else {},
                as_is=True,
                detach=params.detach,
            ),
        )

    @staticmethod
    async def _runs_still(session: Session, job: str) -> bool:
        with session.speaking():
            listed = await session.jobs.listed(await session.connected())
        return any(one.id == job and one.state == "running" for one in listed)

    async def _listening(self, session: Session, job: str, name: str) -> End:
        """Where it listens, as soon as it does.

        Raises:
            RunError: it ended before.
        """
        until = asyncio.get_running_loop().time() + UP
        while asyncio.get_running_loop().time() < until:
            told = await asked(await session.connected(), "ports", [job])
            for one in told.get("sockets", ()):
                if os.path.basename(str(one.get("path"))) == serve_jupyter.SOCKET:
                    return End(path=str(one["path"]))
            for one in told.get("ports", ()):
                if name == "TensorBoard" and isinstance(one.get("port"), int):
                    return End(port=one["port"])
            if not await self._runs_still(session, job):
                raise RunError(
                    f"{name} ended before it could be used",
                    "",
                    f"see `sidecar logs {job}`",
                    code="service",
                )
            await asyncio.sleep(LOOK)
        raise RunError(
            f"{name} did not listen within {UP:.0f} seconds", "", f"see `sidecar logs {job}`",
            code="service",
        )  # fmt: skip
