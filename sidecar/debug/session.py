"""A debug session: what was started on the remote for it, and the editor's conversations about it,
one for each process. When the first conversation ends, all of it does: the adapter, and with it the
program and all that it started (guard.py)."""

from __future__ import annotations

import asyncio
import logging

from sidecar.core.messages import Connect
from sidecar.core.pathmap import PathMap
from sidecar.debug.adapter import RunningAdapter
from sidecar.debug.family import Family
from sidecar.debug.proxy import Opened, Proxy
from sidecar.errors import RunError, SidecarError, UsageError
from sidecar.remote.connection import AgentConnection
from sidecar.remote.stream import Stream

log = logging.getLogger(__name__)

PARENT_GONE = "the session that this process belongs to is over"


class DebugSession:
    """Owns what `adapter` is, and connections to child processes."""

    def __init__(
        self,
        agent: AgentConnection,
        pathmap: PathMap,
        family: Family,
        adapter: RunningAdapter | None = None,
    ) -> None:
        self.family = family
        self.adapter = adapter
        self._agent, self._pathmap = agent, pathmap
        self._children: dict[Proxy, Stream] = {}
        self._closed = False

    async def connect(self, host: str, port: int, proxy: Proxy) -> Stream:
        """A connection on the remote for that conversation, closed with the session.

        Raises:
            RunError: nobody listens there.
        """
        try:
            stream = await self._agent.open_stream(lambda number: Connect(number, host, port))
        except SidecarError as error:
            raise RunError(
                f"Nothing to debug at {host}:{port} on the remote",
                str(error),
                "look whether the program still runs",
                code="debugger-connect",
            ) from None
        if self._closed:
            stream.close()
            raise UsageError("The debug session is over", PARENT_GONE)
        self._children[proxy] = stream
        return stream

    async def open_child(self, token: str, number: int, proxy: Proxy) -> Opened:
        """Connects a conversation to the child process that it was offered.

        Raises:
            UsageError: it was not, or not in this session.
            RunError: the process has gone.
        """
        child = self.family.take(number) if token == self.family.token else None
        if child is None:
            raise UsageError(
                "There is no such process to attach to",
                "it was not offered by this session, or is debugged already",
            )
        proxy.family = self.family
        stream = await self.connect(child.host, child.port, proxy)
        return Opened(stream, self._pathmap, "attach", child.arguments, owned=False)

    def left(self, proxy: Proxy) -> None:
        """The conversation is over."""
        stream = self._children.pop(proxy, None)
        if stream is not None:
            stream.close()

    async def close(self, why: str = PARENT_GONE) -> None:
        """Ends all of it."""
        if self._closed:
            return
        self._closed = True
        for proxy, stream in list(self._children.items()):
            proxy.end(why)
            stream.close()
        if self.adapter is not None:
            await asyncio.shield(self.adapter.end())
