"""Forwards: which ports of a host can be reached here, for all clients, and who hears of them.

One set for each link, shared by its sessions. LocalForwards of the ssh configuration are opened
when somebody asks, or a job of ours begins to listen there: held from the start, they would be in
the way of the person's own `ssh`. Those of our own settings are opened with the first run.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import zlib
from collections.abc import Callable
from typing import Any

import msgspec

from sidecar import api
from sidecar.config import forwards as rules
from sidecar.config.forwards import End, Rule
from sidecar.core import messages
from sidecar.errors import ConnectError, Disconnected, SidecarError, UsageError
from sidecar.forward import names
from sidecar.forward.forwards import Forwards, Offer, Origin
from sidecar.forward.way import Line, Way
from sidecar.hub.client import Client, in_nobodys_name
from sidecar.hub.links import Link
from sidecar.hub.registry import Registry
from sidecar.hub.sessions import Session
from sidecar.remote.connection import AgentConnection
from sidecar.ssh.resolve import resolve

log = logging.getLogger(__name__)

PATIENCE = 30.0
"""Seconds that a connection waits here for a link that is just coming back."""

TRY_EVERY = 1.0


class Forwarding:
    """All forwards of the hub."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._of: dict[Link, _OfLink] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # --- methods -----------------------------------------------------------------------------

    async def forward(self, client: Client, params: api.ForwardParams) -> api.ForwardResult:
        wanted = [_rule(text) for text in params.ports]
        session = await self._registry.session(client, params.project, params.host)
        of_link = self._of_link(session)
        if params.close:
            return api.ForwardResult(host=session.name, ports=_closed(of_link.forwards, wanted))
        with session.speaking():
            await session.connected()
            if wanted:
                chosen = [(rule, Origin()) for rule in wanted]
            else:
                chosen = await configured(session)
            ports = [
                await of_link.forwards.open(rule, client, origin, params.address)
                for rule, origin in chosen
            ]
        return api.ForwardResult(host=session.name, ports=ports)

    async def ports(self, client: Client, params: api.PortsParams) -> api.PortsResult:
        session = await self._registry.session(client, params.project, params.host)
        of_link = self._of_link(session)
        found = {_key(port): port for port in of_link.forwards.ports}
        if params.look:
            with session.speaking():
                for offer in await self._found(session):
                    found.setdefault(_key(offer.told()), offer.told())
        for rule, origin in await configured(session):
            told = api.Port(
                state="known",
                here="",
                there=str(rule.there),
                remote_port=rule.there.port,
                name=names.of((), rule.there.port).name,
                source=origin.source,
                text="`sidecar forward` opens it",
            )
            found.setdefault(_key(told), told)
        listed = sorted(found.values(), key=lambda port: (port.remote_port or 65536, port.there))
        return api.PortsResult(host=session.name, ports=listed)

    # --- with jobs ---------------------------------------------------------------------------

    def started(self, session: Session) -> None:
        """A run has begun: what the settings name is opened, behind it."""
        wanted = [rules.parse(text) for text in session.host.forward]
        if wanted:
            self.spawn(self._open_all(session, wanted), f"forward of {session.name}")

    async def _open_all(self, session: Session, wanted: list[Rule]) -> None:
        of_link = self._of_link(session)
        for rule in wanted:
            try:
                await of_link.forwards.open(rule, session, Origin("settings"))
            except SidecarError as error:
                log.warning("%s is not forwarded: %s", rule.there, error)

    def shown(self, session: Session, job: str) -> Callable[[], None]:
        """Somebody looks at a job: its ports are looked for. Returns what to call when nobody
        does any more."""
        of_link = self._of_link(session)
        of_link.watch(job, session)
        return lambda: of_link.unwatch(job)

    # --- life --------------------------------------------------------------------------------

    def leave(self, client: Client) -> None:
        for of_link in self._of.values():
            of_link.forwards.release(client)
            for session in {one for one in of_link.sessions if one.closed}:
                of_link.sessions.discard(session)
                of_link.forwards.release(session)

    async def close(self) -> None:
        for of_link in tuple(self._of.values()):
            of_link.shut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _of_link(self, session: Session) -> _OfLink:
        found = self._of.get(session.link)
        if found is None:
            found = self._of[session.link] = _OfLink(self, session.link)
        found.sessions.add(session)
        return found

    def of(self, session: Session) -> Forwards:
        """Those of the session's link."""
        return self._of_link(session).forwards

    def forget(self, link: Link) -> None:
        self._of.pop(link, None)

    def tell(self, link: Link, port: api.Port) -> None:
        """All clients of the link's sessions hear of it; of a job's those of its project."""
        for session in self._registry.sessions:
            if session.link is link:
                note = api.Forwarded(
                    project=str(session.project.spelled), host=session.name, port=port
                )
                for client in session.clients:
                    client.forwarded(note)

    def spawn(self, work: Any, name: str) -> None:
        task = in_nobodys_name(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("a forward was lost by a bug of ours", exc_info=error)

    # --- what there is -----------------------------------------------------------------------

    @staticmethod
    async def _found(session: Session) -> list[Offer]:
        """Where the running jobs of that account and machine listen, now."""
        agent = await session.connected()
        told = await asked(agent, "ports", [])
        return list(offers(told.get("ports")).values())


class _OfLink:
    """The forwards of one link, and the jobs whose ports are looked for over it. A Companion."""

    def __init__(self, forwarding: Forwarding, link: Link) -> None:
        self.sessions: set[Session] = set()
        self._forwarding, self._link = forwarding, link
        self._watched: dict[str, tuple[int, Session]] = {}
        """Jobs, by how many they are looked at, and for which session."""
        way = Way(self._line, inside=bool(link.destination.via))
        self.forwards = Forwards(way, lambda port: forwarding.tell(link, port))
        link.companions.append(self)
        if link.agent is not None:
            self.connected(link.agent)

    async def _line(self) -> Line:
        """Raises SidecarError: there is no way, and none is coming."""
        until = asyncio.get_running_loop().time() + PATIENCE
        while True:
            try:
                agent = await self._link.connect(unasked=True)
            except ConnectError as error:
                if error.asks_person or asyncio.get_running_loop().time() > until:
                    raise
                await asyncio.sleep(TRY_EVERY)  # the link tries by itself, too
                continue
            if (transport := self._link.transport) is not None:
                return Line(agent, transport)
            raise Disconnected("The connection is gone")

    def connected(self, agent: AgentConnection) -> None:
        agent.listen(messages.Look, None, self._told)
        if self._watched:
            self._watch()

    def shut(self) -> None:
        self.forwards.shut()
        self._forwarding.forget(self._link)
        with contextlib.suppress(ValueError):
            self._link.companions.remove(self)

    # --- ports of jobs -----------------------------------------------------------------------

    def watch(self, job: str, session: Session) -> None:
        count, _ = self._watched.get(job, (0, session))
        self._watched[job] = count + 1, session
        if not count:
            self._watch()

    def unwatch(self, job: str) -> None:
        count, session = self._watched.get(job, (0, None))
        if session is None:
            return
        if count > 1:
            self._watched[job] = count - 1, session
            return
        del self._watched[job]
        self.forwards.release(("job", job))
        self._watch()

    def _watch(self) -> None:
        agent = self._link.agent
        if agent is None:
            return  # `connected` follows

        async def say() -> None:
            with contextlib.suppress(SidecarError):  # the next connection is told
                await asked(agent, "watch", sorted(self._watched))

        self._forwarding.spawn(say(), "watch ports")

    def _told(self, message: messages.Look) -> None:
        try:
            found = offers(json.loads(message.body))
        except ValueError as error:
            log.warning("ports were told that cannot be read: %s", error)
            return
        self._forwarding.spawn(self._take(found), "ports of jobs")

    async def _take(self, found: dict[tuple[str, int], Offer]) -> None:
        """Opens what a rule says is to be opened, and offers the rest; closes what is no more."""
        offered: dict[tuple[str, int], Offer] = {}
        for (job, port), offer in found.items():
            session = self._watched.get(job, (0, None))[1]
            if session is None or session.host.ports == "ignore":
                continue
            named = names.of(offer.origin.command, port)
            rule = next(
                (
                    (one, origin)
                    for one, origin in await configured(session)
                    if one.there.port == port and not one.there.path
                ),
                None,
            )
            wanted = names.is_for_people(named, port)
            if rule is None and wanted and session.host.ports == "forward":
                rule = Rule(End(port=port), offer.there), offer.origin
            if rule is not None:
                origin = offer.origin._replace(source=rule[1].source)
                with contextlib.suppress(UsageError):
                    await self.forwards.open(rule[0], ("job", job), origin)
            elif wanted:
                offered[job, port] = offer
        self.forwards.offer(offered)
        for told in self.forwards.ports:
            gone = told.job in self._watched and (told.job, told.remote_port) not in found
            if told.state in ("open", "held") and gone:
                self.forwards.release_port(("job", told.job), told.remote_port)


async def configured(session: Session) -> list[tuple[Rule, Origin]]:
    """What the settings name, and the LocalForwards of the ssh configuration."""
    found = [(rules.parse(text), Origin("settings")) for text in session.host.forward]
    with contextlib.suppress(ConnectError):
        target = await resolve(session.link.host)
        for line in target.local_forwards:
            rule = rules.printed(line)
            if rule is not None and rule not in [one for one, _ in found]:
                found.append((rule, Origin("ssh")))
    return found


async def asked(agent: AgentConnection, what: str, *values: Any) -> dict[str, Any]:
    """What the agent says of its machine (agent/jobs/looks.py).

    Raises:
        SidecarError: it cannot, or the link is over.
    """
    body = json.dumps([what, *values]).encode()
    answer = await agent.request(lambda number: messages.Look(number, body))
    assert isinstance(answer, messages.Told)
    told = json.loads(zlib.decompress(answer.body))
    return told if isinstance(told, dict) else {}


def offers(told: Any) -> dict[tuple[str, int], Offer]:
    """Ports as the agent tells them, those that make no sense left out."""
    try:
        found = msgspec.convert(told or [], list[_Told])
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    return {
        (one.job, one.port): Offer(
            End("" if one.host in ("0.0.0.0", "::", "127.0.0.1") else one.host, one.port),  # noqa: S104
            Origin("job", one.job, tuple(one.command)),
        )
        for one in found
        if 0 < one.port < 65536
    }


class _Told(msgspec.Struct):
    job: str
    host: str
    port: int
    pid: int
    command: list[str]


def _rule(text: str) -> Rule:
    try:
        return rules.parse(text)
    except ValueError as error:
        raise UsageError(
            f"{text!r} is no port to forward",
            str(error),
            "write 6006, 9000:127.0.0.1:9001, or a socket's path in a port's place",
        ) from None


def _closed(forwards: Forwards, wanted: list[Rule]) -> list[api.Port]:
    if not wanted:
        raise UsageError("Nothing says which forward is to be closed", "", "name its port")
    closed = []
    for rule in wanted:
        found = forwards.close(rule.there.port, rule.there.path)
        if not found:
            raise UsageError(f"{rule.there} is not forwarded", "", "see `sidecar ports`")
        closed += found
    return closed


def _key(port: api.Port) -> tuple[str, int]:
    """What makes two ways lead to the same."""
    host = port.there.rpartition(":")[0] if port.remote_port else port.there
    return ("" if host in ("127.0.0.1", "localhost", "[::1]") else host), port.remote_port
