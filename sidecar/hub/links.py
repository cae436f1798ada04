"""Links: one connection and one agent per host, shared by all projects and all faces.

A link is dialled when a person does something that needs it. When it breaks it comes back by
itself, unless somebody was asked for something at the sign-in, or the failure needs a person:
then it stays down, visibly, until a person does something again. A failed authentication is
never retried unasked, because accounts get locked.

    idle ──connect──▶ connecting ──▶ ready ──lost──▶ disconnected ──▶ connecting
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import logging
import random
from collections.abc import Callable
from typing import Literal, NamedTuple, Protocol

from sidecar.config import places
from sidecar.errors import ConnectError, SidecarError
from sidecar.hub.client import WhoeverAsked, in_nobodys_name
from sidecar.remote.connection import AgentConnection
from sidecar.ssh.dial import dial
from sidecar.ssh.transport import Transport

log = logging.getLogger(__name__)

FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0
"""Seconds before dialling again: doubled each time, up to the longest, each with jitter."""

State = Literal["idle", "connecting", "ready", "disconnected"]


class Destination(NamedTuple):
    """What makes two links the same one."""

    ssh: str
    transport: str = ""
    via: str = ""
    state: str = ""
    bootstrap: str = "exec"


class Tenant(Protocol):
    """Who uses a link. Told in the loop, must not block."""

    def link_up(self, agent: AgentConnection) -> None:
        """It is back by itself."""

    def link_down(self, error: SidecarError) -> None: ...

    def link_changed(self) -> None:
        """State or text is another."""


class Companion(Protocol):
    """What lives with a link, and does not keep it. Told in the loop, must not block."""

    def connected(self, agent: AgentConnection) -> None:
        """For the first time, or again."""

    def shut(self) -> None:
        """The link is closed."""


class Link:
    """The way to one host. Belongs to `Links`."""

    def __init__(self, destination: Destination, python: str = "") -> None:
        """`python`: tried first to run the agent, where it is a path."""
        self.destination = destination
        self.state: State = "idle"
        self.text = "not connected yet"
        self.fix = ""
        self.agent: AgentConnection | None = None
        self.transport_name = ""
        self.tenants: set[Tenant] = set()
        self.companions: list[Companion] = []
        self._python = python
        self._transport: Transport | None = None
        self._memory = _Memory(destination)
        self._attended = False
        self._dialling: asyncio.Task[AgentConnection] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._numbers = itertools.count(1)

    def new_root(self) -> int:
        """A number for a root on this link, never given twice."""
        return next(self._numbers)

    @property
    def host(self) -> str:
        return self.destination.ssh

    @property
    def transport(self) -> Transport | None:
        """What the agent is reached by, while there is one."""
        return self._transport

    async def connect(self, *, unasked: bool = False) -> AgentConnection:
        """The agent, dialled if need be. Questions go to whoever asked first; all who wait share
        the outcome.

        Args:
            unasked: no person caused this; then nobody is asked for anything, and a host where
                the last sign-in needed a person is not dialled.
        Raises:
            SidecarError: why there is no way; the state says it too.
        """
        while self.agent is None:
            dialling = self._dialling
            if dialling is None:
                if unasked and self._memory.asked:
                    raise self._needs_person()
                self._stop_watching()
                self._attended = not unasked
                dialling = self._dialling = asyncio.create_task(
                    self._dial(), name=f"dial {self.host}"
                )
            attended = self._attended
            try:
                return await asyncio.shield(dialling)
            except asyncio.CancelledError:
                if dialling.cancelled():
                    raise ConnectError(
                        f"The connection to {self.host} was given up", "", "try again"
                    ) from None
                raise
            except ConnectError as error:
                # Somebody else's attempt had nobody to ask; this one has.
                if attended or unasked or not error.asks_person:
                    raise
        return self.agent

    def _needs_person(self) -> ConnectError:
        error = ConnectError(
            f"{self.host} is not dialled by itself",
            "the last sign-in needed a person",
            "run `sidecar sync` to sign in",
            code="needs-person",
        )
        error.asks_person = True
        self._tell("disconnected", _short(error), error.fix)
        return error

    async def close(self) -> None:
        for one in self.companions:
            one.shut()
        self._stop_watching()
        if self._dialling is not None:
            self._dialling.cancel()
            await asyncio.gather(self._dialling, return_exceptions=True)
        await self._hang_up()
        self._tell("idle", "not connected")

    async def _dial(self) -> AgentConnection:
        """Through to a started agent. The task of all who wait."""
        self._tell("connecting", f"connecting to {self.host}")
        transport: Transport | None = None
        try:
            transport = await dial(
                self.host,
                WhoeverAsked(),
                transport=self.destination.transport,
                progress=lambda text: self._tell("connecting", text),
            )
            self._tell("connecting", f"starting on {self.host}")
            agent = await AgentConnection.start(
                transport,
                python=self._python,
                state=self.destination.state,
                via=self.destination.via,
                bootstrap=self.destination.bootstrap,
            )
        except BaseException as error:
            if transport is not None:
                self._memory.asked = transport.asked
                await transport.close()
            if isinstance(error, SidecarError):
                if isinstance(error, ConnectError) and error.asks_person:
                    self._memory.asked = True
                log.warning("no way to %s: %s", self.host, error)
                self._tell("disconnected", _short(error), error.fix)
            elif isinstance(error, asyncio.CancelledError):
                self._tell("disconnected", "the connection was given up")
            raise
        finally:
            self._dialling = None
        self._transport, self.agent = transport, agent
        self._memory.asked, self.transport_name = transport.asked, transport.name
        log.info("connected to %s by %s", self.host, transport.name)
        self._watching = in_nobodys_name(self._watch(agent), name=f"link {self.host}")
        for one in self.companions:
            one.connected(agent)
        self._tell("ready", f"connected to {self.host}")
        return agent

    async def _watch(self, agent: AgentConnection) -> None:
        """Waits for the end of the connection, then brings it back where that may be done."""
        error = await agent.closed()
        log.warning("lost %s: %s", self.host, error)
        await self._hang_up()
        for tenant in list(self.tenants):
            tenant.link_down(error)
        if self._memory.asked or not self.tenants:
            fix = "run `sidecar sync` to sign in again" if self._memory.asked else ""
            self._tell("disconnected", _short(error), fix)
            return
        await self._come_back(_short(error))

    async def _come_back(self, why: str) -> None:
        wait = FIRST_WAIT
        while self.tenants:
            pause = wait * random.uniform(0.5, 1.0)  # noqa: S311 (spreads load; no secret)
            self._tell("disconnected", f"{why}; trying again in {pause:.0f} s")
            await asyncio.sleep(pause)
            try:
                self._attended = False
                self._dialling = asyncio.create_task(self._dial(), name=f"redial {self.host}")
                agent = await asyncio.shield(self._dialling)
            except SidecarError as error:
                if self._memory.asked:
                    return
                why, wait = _short(error), min(wait * 2, LONGEST_WAIT)
                continue
            for tenant in list(self.tenants):
                tenant.link_up(agent)
            return

    async def _hang_up(self) -> None:
        agent, transport, self.agent, self._transport = self.agent, self._transport, None, None
        if agent is not None:
            await agent.close()
        if transport is not None:
            await transport.close()

    def _stop_watching(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None

    def _tell(self, state: State, text: str, fix: str = "") -> None:
        if (state, text, fix) != (self.state, self.text, self.fix):
            self.state, self.text, self.fix = state, text, fix
            for tenant in list(self.tenants):
                tenant.link_changed()


class _Memory:
    """Whether the last sign-in to a host needed a person; kept over the hub's end, because an
    editor's start must not bring up a prompt, nor a try that locks an account."""

    def __init__(self, destination: Destination) -> None:
        name = hashlib.sha256(repr(destination).encode()).hexdigest()[:16]
        self._mark = places.state_dir() / "asked" / name

    @property
    def asked(self) -> bool:
        return self._mark.exists()

    @asked.setter
    def asked(self, value: bool) -> None:
        if value:
            self._mark.parent.mkdir(mode=0o700, exist_ok=True)
            self._mark.touch(0o600)
        else:
            self._mark.unlink(missing_ok=True)


class Links:
    """All links of the hub."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._links: dict[Destination, Link] = {}
        self._on_change = on_change
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def busy(self) -> bool:
        return bool(self._links or self._closing)

    def take(self, destination: Destination, tenant: Tenant, python: str = "") -> Link:
        """The link to that host, for `tenant` until it gives it back."""
        link = self._links.get(destination)
        if link is None:
            link = self._links[destination] = Link(destination, python)
        link.tenants.add(tenant)
        return link

    def give_back(self, link: Link, tenant: Tenant) -> None:
        """The link is closed when its last tenant has gone."""
        link.tenants.discard(tenant)
        if not link.tenants and self._links.get(link.destination) is link:
            del self._links[link.destination]
            task = in_nobodys_name(link.close(), name=f"close {link.host}")
            self._closing.add(task)
            task.add_done_callback(self._closed)

    async def close(self) -> None:
        links, self._links = list(self._links.values()), {}
        await asyncio.gather(*(link.close() for link in links), *self._closing)

    def _closed(self, task: asyncio.Task[None]) -> None:
        self._closing.discard(task)
        with contextlib.suppress(asyncio.CancelledError):
            if error := task.exception():
                log.error("a link could not be closed", exc_info=error)
        self._on_change()


def _short(error: SidecarError) -> str:
    return f"{error.what}: {error.why}" if error.why else error.what
