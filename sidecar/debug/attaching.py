"""Attaching to a program that runs there without a debugger: it is looked at, debugpy's adapter is
started with its interpreter and waits, and the program is made to connect to it (injector.py)."""

from __future__ import annotations

import asyncio
import json

from sidecar.core.messages import Spawn
from sidecar.core.pathmap import PathMap
from sidecar.debug import adapter as adapters
from sidecar.debug import bundle, launch
from sidecar.debug.adapter import RunningAdapter
from sidecar.debug.dap import Message
from sidecar.debug.proxy import Opened, Proxy
from sidecar.errors import RunError
from sidecar.remote.connection import AgentConnection
from sidecar.remote.stream import Stream

LOOK_SECONDS = 60.0
"""For an interpreter there to start, twice, on a slow file system."""


class Target:
    """A process to attach to. Made by `look`."""

    def __init__(self, pid: int, interpreter: str, version: str) -> None:
        self.pid, self.interpreter, self.version = pid, interpreter, version


async def look(agent: AgentConnection, pid: int, python: str, version: str) -> Target:
    """What a process there is.

    Args:
        python, version: of an interpreter there, which does the looking.
    Raises:
        RunError: it is no Python of ours.
    """
    folder = await adapters.sent(agent, python, version)
    argv = [python, "-I", f"{folder}/{bundle.INJECTOR}", "look", str(pid)]
    stream = await agent.open_stream(lambda number: Spawn(number, argv, {}, folder))
    try:
        said = await asyncio.wait_for(_all(stream), LOOK_SECONDS)
        if await stream.wait():
            raise await _refused(pid, stream)
    except asyncio.TimeoutError:
        raise _cannot(pid, f"nothing was heard for {LOOK_SECONDS:.0f} seconds") from None
    finally:
        stream.close()
    try:
        found = json.loads(said)
        return Target(pid, str(found["interpreter"]), str(found["version"]))
    except (ValueError, KeyError, TypeError) as error:
        raise _cannot(pid, f"what was said of it cannot be read: {error!r}") from None


def opened(
    agent: AgentConnection,
    target: Target,
    adapter: RunningAdapter,
    pathmap: PathMap,
    asked: Message,
    proxy: Proxy,
) -> Opened:
    """The conversation with a target, over an adapter that runs with its interpreter."""

    async def waits(host: str, port: int) -> None:
        """The adapter listens there; returns when the program was left alone again."""
        argv = [target.interpreter, "-I", f"{adapter.folder}/{bundle.INJECTOR}", "inject"]
        argv += [str(target.pid), adapter.folder, host, str(port)]
        stream = await agent.open_stream(lambda number: Spawn(number, argv, {}, adapter.folder))
        proxy.tell(
            f"Attaching to process {target.pid} (Python {target.version}); it loads the debugger "
            "at its next step in Python."
        )
        try:
            if await stream.wait():
                raise await _refused(target.pid, stream)
        finally:
            stream.close()

    listen = {"host": "127.0.0.1", "port": 0}
    arguments = launch.attach(pathmap, asked, listen=listen, subProcess=False)
    return Opened(
        adapter.stream, pathmap, "attach", arguments, adapter.said, owned=False, waits=waits
    )


async def _all(stream: Stream) -> bytes:
    said = b""
    while data := await stream.read():
        said += data
    return said


async def _refused(pid: int, stream: Stream) -> RunError:
    words = (await stream.read_error()).decode(errors="backslashreplace").strip()
    return _cannot(pid, words[-1000:] or "it was not said why")


def _cannot(pid: int, why: str) -> RunError:
    return RunError(
        f"The debugger cannot attach to process {pid}",
        why,
        "start the program with the debugger, or have it call `debugpy.listen`",
        code="debugger-attach",
    )
