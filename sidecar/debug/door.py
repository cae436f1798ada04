"""A debug session's port here, where one editor may use it: the form for debuggers that want an
address to attach to. What is no DAP at its beginning, or somebody else's, is closed unread."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from sidecar.core.pathmap import PathMap
from sidecar.debug import adapter as adapters
from sidecar.debug import dap, guard
from sidecar.debug.adapter import RunningAdapter
from sidecar.debug.dap import Decoder, Message
from sidecar.debug.family import CHILD, SESSION, Family
from sidecar.debug.launch import Launch
from sidecar.debug.proxy import Opened, Opener, Proxy
from sidecar.debug.session import DebugSession
from sidecar.errors import RunError, SidecarError, UsageError
from sidecar.remote.connection import AgentConnection

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"

HELLO_SECONDS = 10.0
"""How long who connects may take to say something in the protocol."""

CLIENT_SECONDS = 900.0
"""How long a session waits for its editor: a person may have to set a breakpoint first."""

STRANGERS = 8
"""Connections that may be waiting to prove themselves at the same time."""


class Door:
    """Made by `open`.

    Attributes:
        port: where a DAP client may connect, on this machine's loopback interface.
        token: what a client that can carry one in its `attach` shall name as `sidecarSession`.
    """

    @classmethod
    async def open(
        cls,
        agent: AgentConnection,
        *,
        pathmap: PathMap,
        launch: Launch,
        version: str,
        barrier: Callable[[], Awaitable[None]],
        root: int = 0,
        behind: Sequence[str] = (),
        strict: bool = False,
        only_rank: str = "",
    ) -> Door:
        """Starts debugpy's adapter there, and listens here.

        Args:
            agent: the link; the session ends with it.
            pathmap: of the project's root.
            launch: what to debug; started when a client says `attach` or `launch`.
            version: of `launch.interpreter`, like "3.11.7".
            barrier: awaited before the program starts; raises SidecarError to forbid it, in
                which case the client is told in its words.
            root, behind: see adapter.start.
            strict: who does not name the token is refused.
        Raises:
            UsageError: what is to be debugged is not in the project.
            RunError: no debugpy runs on that interpreter, or the adapter cannot be started.
            SidecarError: the link is over.
        """
        launch.arguments(pathmap, {})  # to find out now whether it can be
        adapter = await adapters.start(
            agent,
            interpreter=launch.interpreter,
            version=version,
            root=root,
            behind=behind,
        )
        launch = launch._replace(env={**adapters.ENVIRONMENT, **launch.env})
        session = DebugSession(agent, pathmap, Family(only_rank), adapter)
        door = cls(session, adapter, strict)

        async def open_(command: str, arguments: Message, proxy: Proxy) -> Opened:
            door.check(arguments)
            await barrier()
            asked = launch.arguments(pathmap, {**arguments, "console": None})
            return Opened(
                adapter.stream, pathmap, "launch", asked, adapter.said, stops=launch.stops
            )

        try:
            door._server = await asyncio.start_server(door._connected, LOOPBACK, 0)
        except OSError as error:
            adapter.stream.close()
            raise RunError("No port for the debugger on this machine", str(error)) from None
        except BaseException:
            adapter.stream.close()
            raise
        door.port = door._server.sockets[0].getsockname()[1]
        door._task = asyncio.create_task(door._run(open_), name="debug session")
        return door

    def __init__(self, session: DebugSession, adapter: RunningAdapter, strict: bool) -> None:
        self.port = 0
        self.token = session.family.token
        self._session, self._adapter, self._strict = session, adapter, strict
        self._server: asyncio.Server | None = None
        self._strangers: set[asyncio.Task[None]] = set()
        self._client: asyncio.Future[_Client] = asyncio.get_running_loop().create_future()
        self._proxy: Proxy | None = None
        self._task: asyncio.Task[str] | None = None
        self._closing = ""

    async def closed(self) -> str:
        """Returns when it is over and nothing of it is left, with the reason; "" where the
        editor or the program ended it."""
        assert self._task is not None
        return await asyncio.shield(self._task)

    async def close(self, why: str = "the session was closed") -> None:
        """Ends it: the editor is told why, the program and the adapter are ended."""
        self._closing = self._closing or why
        if self._proxy is not None:
            self._proxy.end(self._closing)
        elif not self._client.done():
            self._client.cancel()
        await self.closed()

    def check(self, arguments: Message) -> None:
        """Raises UsageError where a client names another session, or none where it must."""
        named = arguments.get(SESSION, "" if self._strict else self.token)
        if named != self.token:
            raise UsageError(
                "This port belongs to another debug session",
                f"{SESSION} is not the one of the configuration that the sidecar gave",
                "start the debugger again",
            )

    async def _run(self, open_: Opener) -> str:
        why = ""
        try:
            client = await self._first_client()
            if client is None:
                why = self._closing or str(await self._adapter.problem())
            else:
                why = await self._converse(client, open_)
        except SidecarError as error:
            why = str(error)
        finally:
            self._stop_listening()
            await self._session.close()
        log.info("debug session over: %s", why or "by its client")
        return why

    # --- waiting for clients -----------------------------------------------------------------

    async def _first_client(self) -> _Client | None:
        """The one client of this session; None where the session ended before it came."""
        adapter = asyncio.create_task(self._adapter.stream.wait(), name="debug adapter")
        try:
            first: list[asyncio.Future[Any]] = [self._client, adapter]
            await asyncio.wait(first, timeout=CLIENT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if adapter.done():
                adapter.result()  # raises where the link is over
            elif not self._client.done():
                self._closing = f"no debugger connected within {CLIENT_SECONDS / 60:.0f} minutes"
            elif not self._client.cancelled():
                return self._client.result()
            return None
        finally:
            adapter.cancel()
            self._client.cancel()
            await asyncio.gather(adapter, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Somebody connected. The first of our own user who speaks the protocol is the client;
        browsers and others who try ports hear nothing. Who comes later may attach to a process
        that the session offered, where its editor can hold several sessions."""
        task = asyncio.current_task()
        assert task is not None
        client = None
        try:
            if _is_ours(writer) and len(self._strangers) < STRANGERS:
                self._strangers.add(task)
                client = await asyncio.wait_for(_hello(reader, writer), HELLO_SECONDS)
        except (asyncio.TimeoutError, dap.DapError, OSError) as error:
            log.info("a connection to the debugger's port was closed: %r", error)
        finally:
            self._strangers.discard(task)
            if client is not None and not self._client.done():
                self._client.set_result(client)
                client = None
            elif client is None:
                writer.close()
        if client is not None:
            try:
                if self._holds_several:
                    await self._converse_about_a_child(client)
            finally:
                writer.close()

    @property
    def _holds_several(self) -> bool:
        return self._proxy is not None and self._proxy.can("supportsStartDebuggingRequest")

    def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._strangers:
            task.cancel()

    # --- conversations -----------------------------------------------------------------------

    async def _converse(self, client: _Client, open_: Opener) -> str:
        self._proxy = self._proxy_of(client, open_)
        hello = client.first[0].get("arguments") or {}
        if hello.get("supportsStartDebuggingRequest") is not True:
            self._stop_listening()
        try:
            return await self._proxy.run(client.first)
        finally:
            client.writer.close()

    async def _converse_about_a_child(self, client: _Client) -> None:
        async def open_(command: str, arguments: Message, proxy: Proxy) -> Opened:
            token, number = arguments.get(SESSION), arguments.get(CHILD)
            return await self._session.open_child(str(token), number or 0, proxy)

        proxy = self._proxy_of(client, open_)
        try:
            await proxy.run(client.first)
        finally:
            self._session.left(proxy)

    def _proxy_of(self, client: _Client, open_: Opener) -> Proxy:
        return Proxy(
            reader=client.reader,
            writer=client.writer,
            decoder=client.decoder,
            open_=open_,
            family=self._session.family,
        )


class _Client:
    """A connection that has spoken the protocol."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        decoder: Decoder,
        first: list[Message],
    ) -> None:
        self.reader, self.writer, self.decoder, self.first = reader, writer, decoder, first


def _is_ours(writer: asyncio.StreamWriter) -> bool:
    """Whether who connected is our own user, as far as this system tells. Whoever speaks the
    protocol first may run code there in our name, and all users of this machine reach the port."""
    if not os.access(guard.TABLES[0], os.R_OK):
        return True
    peer = writer.get_extra_info("peername")
    try:
        return bool(peer) and os.geteuid() == guard.peer_owner(
            writer.get_extra_info("socket"), peer
        )
    except OSError:
        return False  # it has gone already


async def _hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> _Client | None:
    """Reads until the first message, which must be `initialize`; None where it ended before.

    Raises:
        DapError: it is something else.
    """
    decoder = Decoder(dap.FIRST_MESSAGE)
    while data := await reader.read(dap.FIRST_MESSAGE):
        messages = decoder.feed(data)
        if not messages:
            continue
        if messages[0]["type"] != "request" or messages[0]["command"] != "initialize":
            raise dap.DapError("the first message is no initialize request")
        decoder.limit = dap.MAX_MESSAGE
        return _Client(reader, writer, decoder, messages)
    return None
