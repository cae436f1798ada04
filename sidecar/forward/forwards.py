"""The open ways over one link, shared by all who want them, and the ports that jobs offer.

A way is opened for an owner (a client, a session, a job) and closed when its last one has let go.
Listeners stay while the link is down: a connection that comes then waits for the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from sidecar import api
from sidecar.config.forwards import LOOPBACK, End, Rule
from sidecar.errors import UsageError
from sidecar.forward import names
from sidecar.forward.holder import holder
from sidecar.forward.listener import Listener, Taken
from sidecar.forward.relay import Relay
from sidecar.forward.way import Way

Source = Literal["ssh", "settings", "asked", "job", "service"]

MOST = 256
"""Ways of one link that are open at a time."""

MOST_CONNECTIONS = 1024
"""Of one way, at a time; each may have some hundred KB in memory."""

OnChange = Callable[[api.Port], None]


class Origin(NamedTuple):
    """Where a way comes from, and what is known of its far end."""

    source: Source = "asked"
    job: str = ""
    command: Sequence[str] = ()
    name: str = ""
    as_ourselves: bool = False


class Forward:
    """One way: a listener here, and its connections."""

    def __init__(self, rule: Rule, origin: Origin, way: Way, changed: OnChange) -> None:
        self.rule, self.origin = rule, origin
        self.owners: set[Hashable] = set()
        self.held = False
        """The person's own ssh has it, and this is none."""
        self.listener: Listener | None = None
        self._address = ""
        self._way, self._changed = way, changed
        self._relays: set[Relay] = set()

    async def open(self, address: str) -> None:
        """Raises:
        Taken, UsageError: as Listener.open.
        """
        here = self.rule.here
        self._address = address or here.host
        leaves_to_ssh = self.origin.source == "ssh" and not here.path
        try:
            self.listener = await Listener.open(
                here, self._relay, address=self._address, exact=leaves_to_ssh
            )
        except Taken:
            if not leaves_to_ssh:
                raise
            self.held = await asyncio.to_thread(holder, here.port) == "ssh"
            if not self.held:
                self.listener = await Listener.open(here, self._relay, address=self._address)

    def close(self) -> None:
        if self.listener is not None:
            self.listener.close()
        self.listener = None
        for relay in tuple(self._relays):
            relay.abort()

    def told(self, state: str = "") -> api.Port:
        """As clients hear of it."""
        here = self.listener.end if self.listener is not None else None
        state = state or ("held" if self.held else "open" if here else "closed")
        wanted = self.rule.here.port
        page = self.rule.there.path != "" or self._named.page
        port = here.port if here else 0
        url = ""
        if here is not None and port and page:
            url = f"http://{LOOPBACK}:{port}/{self._named.path}"
        told = _port(self.rule.there, self.origin, self._named, state)
        return msgspec.structs.replace(
            told,
            here=str(here._replace(host=self._address)) if here else "",
            port=port,
            wanted=wanted if here and port != wanted else 0,
            url=url,
            text=self._text(here, url),
            connections=len(self._relays),
        )

    @property
    def _named(self) -> names.Named:
        if self.origin.name:
            return names.Named(self.origin.name, True)
        return names.of(self.origin.command, self.rule.there.port)

    def _text(self, here: End | None, url: str) -> str:
        what = self._named.name or f"port {self.rule.there.port}"
        what = what if self.rule.there.port else self._named.name or self.rule.there.path
        if self.held:
            return f"{what}: your own ssh holds port {self.rule.here.port} here"
        if here is None:
            return f"{what}: closed"
        text = f"{what}: {url or str(here)}"
        if here.port and here.port != self.rule.here.port:
            text += f" (port {self.rule.here.port} is taken here)"
        if self._address not in ("", LOOPBACK, "::1"):
            text += ", which other machines can reach"
        return text

    def _relay(self) -> Relay:
        only_ours = self._address in ("", LOOPBACK, "::1")
        relay = Relay(self._open_far, self._over, only_ours=only_ours)
        self._relays.add(relay)
        if len(self._relays) > MOST_CONNECTIONS:
            asyncio.get_running_loop().call_soon(relay.abort)
        return relay

    async def _open_far(self, relay: Relay) -> Any:
        there = self.rule.there
        return await self._way.open(there, relay, as_ourselves=self.origin.as_ourselves)

    def _over(self, relay: Relay) -> None:
        self._relays.discard(relay)


class Offer(NamedTuple):
    """A port on which a job listens, and that nobody has opened."""

    there: End
    origin: Origin

    def told(self, state: str = "offered") -> api.Port:
        named = names.of(self.origin.command, self.there.port)
        what = f"port {self.there.port}" + (f" ({named.name})" if named.name else "")
        text = f"{what}: `sidecar forward {self.there.port}` brings it here"
        return msgspec.structs.replace(_port(self.there, self.origin, named, state), text=text)


class Forwards:
    """All of one link.

    Args:
        on_change: told of each way that is opened, closed or offered.
    """

    def __init__(self, way: Way, on_change: OnChange) -> None:
        self._way, self._on_change = way, on_change
        self._open: list[Forward] = []
        self._offers: dict[tuple[str, int], Offer] = {}
        self._opening = asyncio.Lock()

    @property
    def ports(self) -> list[api.Port]:
        """What is open, and what is offered."""
        told = [one.told() for one in self._open]
        return told + [one.told() for one in self._offers.values()]

    async def open(
        self, rule: Rule, owner: Hashable, origin: Origin, address: str = ""
    ) -> api.Port:
        """The way, opened if there is none that leads there yet.

        Raises:
            UsageError: nothing can listen there, or there are too many.
        """
        async with self._opening:
            known = self._known(rule)
            if known is None:
                if len(self._open) >= MOST:
                    raise UsageError(
                        f"{MOST} ports are forwarded", "that is the most", "close some of them"
                    )
                known = Forward(rule, self._better(rule, origin), self._way, self._on_change)
                await known.open(address)
                self._open.append(known)
                self._take_offers(rule)
                known.owners.add(owner)
                self._on_change(known.told())
            known.owners.add(owner)
            return known.told()

    def close(self, number: int = 0, path: str = "") -> list[api.Port]:
        """Closes the ways with that number there or here, or that socket."""
        found = [
            one
            for one in self._open
            if (number and number in (one.rule.there.port, one.told().port))
            or (path and path in (one.rule.there.path, one.rule.here.path))
        ]
        return [self._end(one) for one in found]

    def release(self, owner: Hashable) -> None:
        """That one wants nothing any more."""
        for one in tuple(self._open):
            if owner in one.owners:
                one.owners.discard(owner)
                if not one.owners:
                    self._end(one)

    def release_port(self, owner: Hashable, number: int) -> None:
        """That one wants nothing of that port there any more."""
        for one in tuple(self._open):
            if owner in one.owners and one.rule.there.port == number:
                one.owners.discard(owner)
                if not one.owners:
                    self._end(one)

    def offer(self, offers: dict[tuple[str, int], Offer]) -> None:
        """These are the ports of jobs now, of which some may be open."""
        before, self._offers = self._offers, {}
        for key, one in offers.items():
            if not any(_leads_to(way.rule.there, one.there) for way in self._open):
                self._offers[key] = one
                if key not in before:
                    self._on_change(one.told())
        for key, one in before.items():
            if key not in self._offers and key not in offers:
                self._on_change(one.told("closed"))

    def shut(self) -> None:
        """The link is closed, and all with it."""
        for one in tuple(self._open):
            self._end(one)

    def _known(self, rule: Rule) -> Forward | None:
        for one in self._open:
            here = one.listener.end if one.listener is not None else one.rule.here
            same = rule.here in (one.rule.here, here)
            any_port = not rule.here.path and rule.here.port in (0, here.port) and here.port
            if _leads_to(one.rule.there, rule.there) and (same or any_port):
                return one
        return None

    def _better(self, rule: Rule, origin: Origin) -> Origin:
        """With what is known of the job that offers it."""
        for one in self._offers.values():
            if not origin.command and _leads_to(one.there, rule.there):
                return origin._replace(command=one.origin.command, job=one.origin.job)
        return origin

    def _take_offers(self, rule: Rule) -> None:
        for key, one in tuple(self._offers.items()):
            if _leads_to(one.there, rule.there):
                del self._offers[key]

    def _end(self, one: Forward) -> api.Port:
        self._open.remove(one)
        one.close()
        told = one.told("closed")
        self._on_change(told)
        return told


def _leads_to(one: End, other: End) -> bool:
    if one.path or other.path:
        return one.path == other.path
    return one.port == other.port and _host(one) == _host(other)


def _host(one: End) -> str:
    return LOOPBACK if one.host in ("", "localhost", "::1", "0.0.0.0", "::") else one.host  # noqa: S104


def _port(there: End, origin: Origin, named: names.Named, state: Any) -> api.Port:
    return api.Port(
        state=state,
        here="",
        there=str(there),
        remote_port=there.port,
        name=named.name,
        source=origin.source,
        job=origin.job,
        command=names.shown(origin.command),
    )
