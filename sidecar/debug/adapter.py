"""debugpy's adapter on the remote: sent along, started behind our guard, and ended."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sidecar.core.messages import Spawn
from sidecar.debug import bundle, guard, releases
from sidecar.errors import RunError, SidecarError
from sidecar.remote.connection import AgentConnection
from sidecar.remote.install import install
from sidecar.remote.stream import Stream

START_SECONDS = 60.0
"""How long the adapter may take to come up: on a shared file system, imports are slow."""

END_SECONDS = 2.0
"""How long the adapter may take to end after its client has gone."""

_WORDS = 2000
"""Characters of the end of its stderr that a person is shown."""

ENVIRONMENT = {
    # Python's own modules are frozen, which debugpy would warn about in the program's output.
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    # A helper for threads that began before the debugger did, which does not travel; debugpy
    # would complain of that in the program's output.
    "PYDEVD_LOAD_NATIVE_LIB": "0",
}
"""For the adapter and for the program."""


class RunningAdapter:
    """Made by `start`. `said`: what was read of it already. `folder`: of debugpy there."""

    def __init__(self, stream: Stream, said: bytes, folder: str) -> None:
        self.stream, self.said, self.folder = stream, said, folder

    async def problem(self) -> RunError:
        """Why it ended by itself."""
        return await _problem(self.stream)

    async def end(self) -> None:
        """Ends it and waits for that, so that whoever was told the session is over finds nothing
        of it there."""
        try:
            await self.stream.write_eof()
            await asyncio.wait_for(self.stream.wait(), END_SECONDS)
        except (asyncio.TimeoutError, SidecarError):
            pass  # `close` has the agent end it by force, if there still is a link
        finally:
            self.stream.close()


async def start(
    agent: AgentConnection,
    *,
    interpreter: str,
    version: str,
    root: int = 0,
    behind: Sequence[str] = (),
) -> RunningAdapter:
    """Sends debugpy along where it is not there, and starts its adapter.

    Args:
        version: of the interpreter, like "3.11.7".
        root: the project's number with that agent, whose environment it gets; 0: the agent's.
        behind: what the adapter's command is put behind, and with it the program: they share a
            machine's loopback.
    Raises:
        RunError: no debugpy runs on that interpreter, or the adapter cannot be started.
        SidecarError: the link is over.
    """
    folder = await sent(agent, interpreter, version)
    # Isolated (-I): no module of the working directory or of the environment's variables can take
    # the place of the standard library's in the adapter. The program is not affected.
    argv = [*behind, interpreter, "-I", f"{folder}/{bundle.GUARD}"]
    stream = await agent.open_stream(lambda number: Spawn(number, argv, ENVIRONMENT, folder, root))
    try:
        return RunningAdapter(stream, await _first_words(stream), folder)
    except BaseException:
        stream.close()
        raise


async def sent(agent: AgentConnection, interpreter: str, version: str) -> str:
    """The folder there with the debugpy for an interpreter of that version.

    Raises:
        RunError: there is none.
    """
    release = releases.choose(version, interpreter)
    packed = await asyncio.to_thread(bundle.bundle, release)
    return await install(agent, packed.name, packed.archive)


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
    status = await adapter.wait()
    words = (await adapter.read_error()).decode(errors="backslashreplace").strip()
    return RunError(
        "The debugger could not be started on the remote",
        words[-_WORDS:] or f"debugpy's adapter ended with status {status}",
        "run it without the debugger" if status == guard.EXIT_NO_GUARD else "",
        code="debugger-start",
    )
