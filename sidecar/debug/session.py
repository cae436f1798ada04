"""A debug session: debugpy's adapter on the remote, and a port here where one editor may use it.

Owns both. When the editor goes, the adapter is ended, and with it the program and all that it
started (guard.py); when the link goes, the editor hears of it, and the remote ends the adapter.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from sidecar.core.messages import Spawn
from sidecar.core.pathmap import PathMap
from sidecar.debug import bundle, dap, guard, releases
from sidecar.debug.dap import Decoder, Message
from sidecar.debug.proxy import Proxy
from sidecar.debug.rewrite import Launch
from sidecar.errors import RunError, SidecarError
from sidecar.remote.connection import AgentConnection
from sidecar.remote.install import install
from sidecar.remote.stream import Stream

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"

HELLO_SECONDS = 10.0
"""How long who connects may take to say something in the protocol."""

CLIENT_SECONDS = 900.0
"""How long a session waits for its editor: a person may have to set a breakpoint first."""

STRANGERS = 8
"""Connections that may be waiting to prove themselves at the same time."""

START_SECONDS = 60.0
"""How long the adapter may take to come up: on a shared file system, imports are slow."""

ADAPTER_SECONDS = 2.0
"""How long the adapter may take to end after its client has gone."""

_WORDS = 2000
"""Characters of the end of its stderr that a person is shown."""

_ENVIRONMENT = {
    # Python's own modules are frozen, which debugpy would warn about in the program's output.
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    # A helper for threads that began before the debugger did, which does not travel; debugpy
    # would complain of that in the program's output.
    "PYDEVD_LOAD_NATIVE_LIB": "0",
}


class DebugSession:
    """Made by `start`.

    Attributes:
        port: where a DAP client may connect, on this machine's loopback interface.
    """

    @classmethod
    async def start(
        cls,
        agent: AgentConnection,
        *,
        pathmap: PathMap,
        launch: Launch,
        version: str,
        barrier: Callable[[], Awaitable[None]],
        root: int = 0,
        behind: Sequence[str] = (),
    ) -> DebugSession:
        """Sends debugpy along where it is not there, starts its adapter, and listens.

        Args:
            agent: the link; the session ends with it.
            pathmap: of the project's root.
            launch: what to debug; started when a client says `attach` or `launch`.
            version: of `launch.interpreter`, like "3.11.7".
            barrier: awaited before the program starts; raises SidecarError to forbid it, in
                which case the client is told in its words.
            root: the project's number with that agent, whose environment it gets; 0: the agent's.
            behind: what the adapter's command is put behind, and with it the program: they share
                a machine's loopback.
        Raises:
            UsageError: what is to be debugged is not in the project.
            RunError: no debugpy runs on that interpreter, or the adapter cannot be started.
            SidecarError: the link is over.
        """
        launch.arguments(pathmap, {})  # to find out now whether it can be
        release = releases.choose(version, launch.interpreter)
        packed = await asyncio.to_thread(bundle.bundle, release)
        folder = await install(agent, packed.name, packed.archive)
        launch = launch._replace(env={**_ENVIRONMENT, **launch.env})
        # Isolated (-I): no module of the working directory or of the environment's variables can
        # take the place of the standard library's in the adapter. The program is not affected.
        argv = [*behind, launch.interpreter, "-I", f"{folder}/{bundle.GUARD}"]
        adapter = await agent.open_stream(
            lambda number: Spawn(number, argv, _ENVIRONMENT, folder, root)
        )
        try:
            said = await _first_words(adapter)
            session = cls(adapter, said, pathmap, launch, barrier)
            session._server = await asyncio.start_server(session._connected, LOOPBACK, 0)
        except OSError as error:
            adapter.close()
            raise RunError("No port for the debugger on this machine", str(error)) from None
        except BaseException:
            adapter.close()
            raise
        session.port = session._server.sockets[0].getsockname()[1]
        session._task = asyncio.create_task(session._run(), name="debug session")
        return session

    def __init__(
        self,
        adapter: Stream,
        said: bytes,
        pathmap: PathMap,
        launch: Launch,
        barrier: Callable[[], Awaitable[None]],
    ) -> None:
        self.port = 0
        self._adapter, self._said = adapter, said
        self._pathmap, self._launch, self._barrier = pathmap, launch, barrier
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

    async def _run(self) -> str:
        why = ""
        try:
            client = await self._first_client()
            if client is None:
                why = self._closing or str(await _problem(self._adapter))
            else:
                why = await self._converse(client)
        except SidecarError as error:
            why = str(error)
        finally:
            self._stop_listening()
            await self._end_adapter()
        log.info("debug session over: %s", why or "by its client")
        return why

    # --- waiting for the client --------------------------------------------------------------

    async def _first_client(self) -> _Client | None:
        """The one client of this session; None where the session ended before it came."""
        adapter = asyncio.create_task(self._adapter.wait(), name="debug adapter")
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
            self._stop_listening()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Somebody connected. The first of our own user who speaks the protocol is the client;
        browsers and others who try ports hear nothing."""
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
            if client is None or self._client.done():
                writer.close()
            else:
                self._client.set_result(client)

    def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._strangers:
            task.cancel()

    # --- the conversation --------------------------------------------------------------------

    async def _converse(self, client: _Client) -> str:
        self._proxy = Proxy(
            reader=client.reader,
            writer=client.writer,
            decoder=client.decoder,
            adapter=self._adapter,
            said=self._said,
            pathmap=self._pathmap,
            launch=self._launch,
            barrier=self._barrier,
        )
        try:
            return await self._proxy.run(client.first)
        finally:
            client.writer.close()

    async def _end_adapter(self) -> None:
        """Ends it and waits for that, so that whoever was told the session is over finds nothing
        of it there."""
        try:
            await self._adapter.write_eof()
            await asyncio.wait_for(self._adapter.wait(), ADAPTER_SECONDS)
        except (asyncio.TimeoutError, SidecarError):
            pass  # `close` has the agent end it by force, if there still is a link
        finally:
            self._adapter.close()


async def _first_words(adapter: Stream) -> bytes:
    """What the adapter says when it is up: an event, before it was asked anything.

    Raises:
        RunError: it says nothing.
    """
    try:
        said = await asyncio.wait_for(adapter.read(), START_SECONDS)
    except asyncio.TimeoutError:
        raise RunError(
            "The debugger could not be started on the remote",
            f"debugpy's adapter said nothing for {START_SECONDS:.0f} seconds",
            code="debugger-start",
        ) from None
    if not said:
        raise await _problem(adapter)
    return said


async def _problem(adapter: Stream) -> RunError:
    """Why the adapter ended by itself."""
    status = await adapter.wait()
    words = (await adapter.read_error()).decode(errors="backslashreplace").strip()
    return RunError(
        "The debugger could not be started on the remote",
        words[-_WORDS:] or f"debugpy's adapter ended with status {status}",
        "run it without the debugger" if status == guard.EXIT_NO_GUARD else "",
        code="debugger-start",
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
