"""Debug sessions: started for a client, told when they end, ended when their client goes."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from sidecar import api
from sidecar.core.pathmap import PathMap
from sidecar.debug import adapter as adapters
from sidecar.debug import attaching
from sidecar.debug.asked import Asked, asked, exactly_one
from sidecar.debug.dap import Message
from sidecar.debug.door import Door
from sidecar.debug.family import SESSION
from sidecar.debug.launch import TERMINALS, Launch, attach
from sidecar.debug.proxy import Opened, Proxy
from sidecar.debug.session import DebugSession
from sidecar.debug.terminal import terminal
from sidecar.errors import UsageError
from sidecar.hub import advice, launching, postmortem, target
from sidecar.hub.client import Client, in_nobodys_name
from sidecar.hub.consent import Consent
from sidecar.hub.registry import Registry
from sidecar.hub.runs import with_arguments
from sidecar.hub.sessions import Session
from sidecar.remote.connection import AgentConnection
from sidecar.sync.pushing.barrier import Differs

log = logging.getLogger(__name__)

STANDS_IN_THE_WAY = frozenset(
    {"conflict", "refused", "held", "waiting", "newer-there", "deleted-there"}
)
"""Kinds of notes that mean: what would run there is not what is here."""


class _Prepared(NamedTuple):
    """What a session on one host needs to debug something."""

    session: Session
    agent: AgentConnection
    pathmap: PathMap
    launch: Launch
    version: str
    barrier: Callable[[], Awaitable[None]]
    behind: list[str]


class Debugging:
    """All debug sessions of the hub."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._doors: dict[Door, Client] = {}
        self._sessions: dict[Proxy, DebugSession] = {}
        """Of conversations over stdio, those that began one."""
        self._members: dict[Proxy, DebugSession] = {}
        """And those that belong to one."""
        self._tasks: set[asyncio.Task[None]] = set()

    # --- the port ----------------------------------------------------------------------------

    async def debug(self, client: Client, params: api.DebugParams) -> api.DebugResult:
        session = await self._registry.session(client, params.project, params.host)
        with session.speaking():
            ready = await self._prepared(client, session, params)
            return await self._at_a_port(client, params, ready)

    async def debug_failure(
        self, client: Client, params: api.DebugFailureParams
    ) -> api.DebugResult:
        """What failed last, once more."""
        session = await self._registry.session(client, params.project, params.host)
        with session.speaking():
            asked_for, ready = await self._failed(client, session, params)
            return await self._at_a_port(client, asked_for, ready)

    async def _failed(
        self, client: Client, session: Session, params: api.DebugFailureParams
    ) -> tuple[api.DebugParams, _Prepared]:
        failed = await postmortem.failure(session, params)
        ready = await self._prepared(client, session, failed.params, failed.wanted)
        return failed.params, ready._replace(launch=ready.launch._replace(stops=failed.stops))

    async def _at_a_port(
        self, client: Client, params: api.DebugParams, ready: _Prepared
    ) -> api.DebugResult:
        session = ready.session
        door = await Door.open(
            ready.agent,
            pathmap=ready.pathmap,
            launch=ready.launch,
            version=ready.version,
            barrier=ready.barrier,
            root=session.number,
            behind=ready.behind,
            strict=params.strict,
            only_rank=params.stop_on_rank,
        )
        self._doors[door] = client
        self._spawn(in_nobodys_name(self._watch(door), name=f"debug {door.port}"))
        return api.DebugResult(
            host=session.name,
            port=door.port,
            configuration={
                "type": "sidecar",
                "request": "attach",
                "name": f"{params.target} on {session.name}",
                "host": "127.0.0.1",
                "port": door.port,
                SESSION: door.token,
            },
        )

    async def _prepared(
        self,
        client: Client,
        session: Session,
        params: api.DebugParams,
        wanted: Asked | None = None,
    ) -> _Prepared:
        """`wanted`: what an editor asked for beside the request's own.

        Raises:
            SidecarError: it cannot be debugged.
        """
        code = bool(wanted and wanted.code)
        looked = target.Looked()
        if not code:
            looked = await asyncio.to_thread(target.look, params, str(session.project.spelled))
            advice.refuse_what_is_missing(session, params, looked)
        if not (looked.file or params.module or params.as_is or code):
            raise UsageError(
                f"{params.target} is no Python file",
                "debugpy runs nothing else",
                "name a file of the project, or a module with -m",
            )
        params = params if code else with_arguments(session, params, looked)
        agent = await session.ready()
        if wanted and wanted.interpreter:
            interpreter = await session.interpreters.named(wanted.interpreter)
        else:
            interpreter = await session.interpreters.chosen()
        await launching.refuse_a_login_node(session)
        paths = session.path_map()
        launched = target.to_debug(params, looked, paths)
        client.run_begins()
        return _Prepared(
            session,
            agent,
            paths,
            Launch(
                interpreter=interpreter.path,
                target=launched.target,
                args=launched.args,
                module=launched.module,
                cwd=params.cwd,
                env={**session.host.environment(client.environ), **params.env},
                just_my_code=params.just_my_code,
                stop_on_entry=params.stop_on_entry,
                code=code,
                interpreter_args=wanted.interpreter_arguments if wanted else [],
            ),
            interpreter.version,
            partial(_in_step, session, Consent(client, as_is=params.as_is)),
            launching.behind(session.host.launch or "", terminal=False),
        )

    # --- stdio -------------------------------------------------------------------------------

    async def open(self, client: Client, command: str, arguments: Message, proxy: Proxy) -> Opened:
        """What an editor's `launch` or `attach` asks for. See proxy.Opener."""
        wanted = asked(arguments)
        if wanted.sidecar_session:
            for parent in {*self._sessions.values()}:
                if parent.family.token == wanted.sidecar_session:
                    opened = await parent.open_child(
                        wanted.sidecar_session, wanted.sidecar_child, proxy
                    )
                    self._members[proxy] = parent
                    return opened
            raise UsageError(
                "That debug session is over", "the process that was to be debugged ended with it"
            )
        if command == "attach":
            return await self._attach(client, wanted, arguments, proxy)
        return await self._launch(client, wanted, arguments, proxy)

    async def _attach(
        self, client: Client, wanted: Asked, arguments: Message, proxy: Proxy
    ) -> Opened:
        """To a process or a job there, or to a debugger's port that a program there opened."""
        where = wanted.address
        if not (where or wanted.process_id or wanted.job):
            raise UsageError(
                "The debug configuration names nothing to attach to",
                'it needs one of "processId", "job" and "connect"',
                "correct it in the editor's debug configuration, or use `launch`",
            )
        session = await self._registry.session(
            client, wanted.folder(client.cwd), wanted.sidecar_host
        )
        with session.speaking():
            agent = await session.ready()
            pathmap = session.path_map()
            if where:
                begun = self._sessions[proxy] = DebugSession(agent, pathmap, proxy.family)
                stream = await begun.connect(*where, proxy)
                told = attach(pathmap, arguments)
                return Opened(stream, pathmap, "attach", told, owned=False)
            python = await session.interpreters.chosen()
            pid = await _process(session, agent, wanted)
            found = await attaching.look(agent, pid, python.path, python.version)
            adapter = await adapters.start(
                agent,
                interpreter=found.interpreter,
                version=found.version,
                root=session.number,
            )
        self._sessions[proxy] = DebugSession(agent, pathmap, proxy.family, adapter)
        return attaching.opened(agent, found, adapter, pathmap, arguments, proxy)

    async def _launch(
        self, client: Client, wanted: Asked, arguments: Message, proxy: Proxy
    ) -> Opened:
        exactly_one(wanted)
        session = await self._registry.session(
            client, wanted.folder(client.cwd), wanted.sidecar_host
        )
        with session.speaking():
            if wanted.last_failure:
                again = api.DebugFailureParams(
                    job=wanted.job, env=wanted.variables(), as_is=wanted.as_is
                )
                _, ready = await self._failed(client, session, again)
            else:
                params = _params(wanted, client, session)
                ready = await self._prepared(client, session, params, wanted)
            launch = ready.launch
            launch.arguments(ready.pathmap, arguments)  # to find out now whether it can be
            barrier = asyncio.ensure_future(ready.barrier())
            try:
                # Both take a while, and neither needs the other.
                adapter = await adapters.start(
                    ready.agent,
                    interpreter=launch.interpreter,
                    version=ready.version,
                    root=session.number,
                    behind=ready.behind,
                )
                begun = DebugSession(ready.agent, ready.pathmap, proxy.family, adapter)
                self._sessions[proxy] = begun
                await barrier
            finally:
                barrier.cancel()
                await asyncio.gather(barrier, return_exceptions=True)
        launch = launch._replace(env={**adapters.ENVIRONMENT, **launch.env})
        proxy.family.only_rank = wanted.rank
        console = wanted.console
        if console in TERMINALS and (problem := _no_terminal(proxy, ready)):
            proxy.tell(f"The program runs without a terminal: {problem}.")
            console = "internalConsole"
        told = launch.arguments(ready.pathmap, {**arguments, "console": console})
        return Opened(
            adapter.stream,
            ready.pathmap,
            "launch",
            told,
            adapter.said,
            terminal=terminal(session.name, adapter.folder, told),
            folder=launch.cwd or ready.pathmap.local[0],
            stops=launch.stops,
        )

    async def left(self, proxy: Proxy) -> None:
        """A conversation over stdio has ended, and what it began with it."""
        if member := self._members.pop(proxy, None):
            member.left(proxy)
        if begun := self._sessions.pop(proxy, None):
            await begun.close()

    # --- ends --------------------------------------------------------------------------------

    def leave(self, client: Client) -> None:
        """Ends what was started for this client: nobody else knows its port."""
        for door in [door for door, owner in self._doors.items() if owner is client]:
            self._spawn(in_nobodys_name(door.close("its editor has gone"), name=f"end {door.port}"))

    async def close(self) -> None:
        doors = list(self._doors)
        await asyncio.gather(
            *(door.close("the hub ends") for door in doors),
            *(session.close("the hub ends") for session in self._sessions.values()),
        )
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _watch(self, door: Door) -> None:
        why = await door.closed()
        client = self._doors.pop(door)
        client.debug_ended(api.DebugEnded(port=door.port, why=why))

    def _spawn(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _no_terminal(proxy: Proxy, ready: _Prepared) -> str:
    """Why the program cannot have one in the editor, "" where it can."""
    if not proxy.can("supportsRunInTerminalRequest"):
        return "this editor opens none for it"
    # debugpy's parts reach each other on one machine; a second job may be given another.
    return "`launch` may start it on another machine" if ready.behind else ""


async def _process(session: Session, agent: AgentConnection, wanted: Asked) -> int:
    """The process that is meant.

    Raises:
        UsageError: there is no such job, it has ended, or the number is none.
    """
    if wanted.job:
        listed = await session.jobs.listed(agent)
        job = next((job for job in listed if job.id.startswith(wanted.job)), None)
        if job is None or job.state != "running" or not job.pid:
            raise UsageError(
                f"No job {wanted.job} runs on {session.name}", "", "see `sidecar jobs`"
            )
        return job.pid
    number = str(wanted.process_id)
    if not number.isdecimal() or not 0 < int(number) < 1 << 31:
        raise UsageError(f"{number!r} is no process", "", "give its number there")
    return int(number)


def _params(wanted: Asked, client: Client, session: Session) -> api.DebugParams:
    """The same request as `sidecar debug` makes it."""
    cwd = wanted.cwd
    if not os.path.isabs(cwd):
        inside = client.cwd and Path(client.cwd).resolve().is_relative_to(session.root)
        start = client.cwd if inside else str(session.project.spelled)
        cwd = os.path.normpath(os.path.join(start, cwd))
    return api.DebugParams(
        target=wanted.program or wanted.module or wanted.text,
        args=wanted.arguments,
        module=bool(wanted.module),
        cwd=cwd,
        env=wanted.variables(),
        as_is=wanted.as_is,
    )


async def _in_step(session: Session, consent: Consent) -> None:
    """Returns when the remote has what is here, or the person said what to do about it.

    Raises:
        RunError: it cannot have, until a person decides.
    """
    engine = session.guest.engine if session.guest else session.engine
    while True:
        await engine.sync()
        differing = [
            note
            for note in engine.notes
            if note.kind in STANDS_IN_THE_WAY and not engine.is_theirs(note.path)
        ]
        if consent.as_is or not differing:
            break
        what = f"{len(differing)} files on {session.name} are not as they are here"
        await consent.settle(session, Differs(what, "", "see `sidecar conflicts`", differing))
    if session.guest is not None:
        await session.guest.barrier(as_is=consent.as_is)
