"""Debug sessions: started for a client, told when they end, ended when their client goes."""

from __future__ import annotations

import asyncio
import logging

from sidecar import api
from sidecar.debug.rewrite import Launch
from sidecar.debug.session import DebugSession
from sidecar.errors import UsageError
from sidecar.hub import advice, launching, target
from sidecar.hub.client import Client, in_nobodys_name
from sidecar.hub.consent import Consent
from sidecar.hub.registry import Registry
from sidecar.hub.runs import with_arguments
from sidecar.hub.sessions import Session
from sidecar.sync.pushing.barrier import Differs

log = logging.getLogger(__name__)

STANDS_IN_THE_WAY = frozenset(
    {"conflict", "refused", "held", "waiting", "newer-there", "deleted-there"}
)
"""Kinds of notes that mean: what would run there is not what is here."""


class Debugging:
    """All debug sessions of the hub."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._sessions: dict[DebugSession, Client] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def debug(self, client: Client, params: api.DebugParams) -> api.DebugResult:
        session = await self._registry.session(client, params.project, params.host)
        with session.speaking():
            debug = await self._start(client, session, params)
        self._sessions[debug] = client
        self._spawn(in_nobodys_name(self._watch(debug), name=f"debug {debug.port}"))
        return api.DebugResult(
            host=session.name,
            port=debug.port,
            configuration={
                "type": "sidecar",
                "request": "attach",
                "name": f"{params.target} on {session.name}",
                "host": "127.0.0.1",
                "port": debug.port,
            },
        )

    @staticmethod
    async def _start(client: Client, session: Session, params: api.DebugParams) -> DebugSession:
        looked = await asyncio.to_thread(target.look, params, str(session.project.spelled))
        advice.refuse_what_is_missing(session, params, looked)
        if not (looked.file or params.module or params.as_is):
            raise UsageError(
                f"{params.target} is no Python file",
                "debugpy runs nothing else",
                "name a file of the project, or a module with -m",
            )
        params = with_arguments(session, params, looked)
        agent = await session.ready()
        interpreter = await session.interpreters.chosen()
        await launching.refuse_a_login_node(session)
        paths = session.path_map()
        launched = target.to_debug(params, looked, paths)

        consent = Consent(client, as_is=params.as_is)

        async def barrier() -> None:
            await _in_step(session, consent)

        client.run_begins()
        return await DebugSession.start(
            agent,
            pathmap=paths,
            launch=Launch(
                interpreter=interpreter.path,
                target=launched.target,
                args=launched.args,
                module=launched.module,
                cwd=params.cwd,
                env={**session.host.environment(client.environ), **params.env},
                just_my_code=params.just_my_code,
                stop_on_entry=params.stop_on_entry,
            ),
            version=interpreter.version,
            barrier=barrier,
            root=session.number,
            behind=launching.behind(session.host.launch or "", terminal=False),
        )

    def leave(self, client: Client) -> None:
        """Ends what was started for this client: nobody else knows its port."""
        for debug in [debug for debug, owner in self._sessions.items() if owner is client]:
            self._spawn(
                in_nobodys_name(debug.close("its editor has gone"), name=f"end {debug.port}")
            )

    async def close(self) -> None:
        sessions = list(self._sessions)
        await asyncio.gather(*(debug.close("the hub ends") for debug in sessions))
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _watch(self, debug: DebugSession) -> None:
        why = await debug.closed()
        client = self._sessions.pop(debug)
        client.debug_ended(api.DebugEnded(port=debug.port, why=why))

    def _spawn(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


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
