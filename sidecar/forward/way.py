"""How connections get to the far end: by the SSH server itself where it does that, else by the
agent."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from sidecar.config.forwards import LOOPBACK, End
from sidecar.errors import RemoteError
from sidecar.forward.relay import Far, Relay
from sidecar.forward.through_agent import ThroughAgent
from sidecar.remote.connection import AgentConnection
from sidecar.ssh.asyncssh_transport import AsyncsshTransport
from sidecar.ssh.direct import Direct, NotAllowed
from sidecar.ssh.transport import Transport

log = logging.getLogger(__name__)


class Line(NamedTuple):
    """A connection that stands."""

    agent: AgentConnection
    transport: Transport


class Way:
    """To one host, whichever connection to it there is.

    Args:
        line: gives the connection; waits where it is just coming back.
        inside: only the agent is where the ports are, since its command was put behind another.
    """

    def __init__(self, line: Callable[[], Awaitable[Line]], *, inside: bool = False) -> None:
        self._line, self._inside = line, inside
        self._refused: Transport | None = None
        """The server of this connection forwards nothing."""

    async def open(self, there: End, relay: Relay, *, as_ourselves: bool = False) -> Far:
        """Connects there.

        Args:
            as_ourselves: whoever listens there looks whose socket it is; some servers connect as
                root, the agent never does.
        Raises:
            SidecarError: nobody listens there, or there is no way.
        """
        line = await self._line()
        host = there.host or LOOPBACK
        by_server = not (self._inside or as_ourselves or self._refused is line.transport)
        if by_server and isinstance(line.transport, AsyncsshTransport):
            try:
                return await Direct.open(line.transport, host, there.port, there.path, relay)
            except NotAllowed as error:
                log.info("connections go through the agent: %s", error)
                self._refused = line.transport
            except RemoteError as error:
                # Not every server that refuses says so in these words; the agent knows for sure.
                log.info("%s; once more by the agent", error)
        return await ThroughAgent.open(line.agent, host, there.port, there.path, relay)
