"""Two sides for tests of the engine: a project folder here, and a real agent on "the remote"."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sidecar import api
from sidecar.config import model
from sidecar.core import frames, identity, messages
from sidecar.questions import Choice, Nobody, Secret
from sidecar.remote.connection import AgentConnection
from sidecar.sync.engine import SyncEngine
from sidecar.sync.steps.meeting import Terms
from sidecar.sync.trees.stored import Stored
from tests.remote.local_transport import LocalTransport

DEADLINE = 60.0


class Answering(Nobody):
    """A person who gives one answer, and remembers what was asked."""

    def __init__(self, answer: str | None = None) -> None:
        self.answer, self.asked = answer, list[Choice | Secret]()

    async def choose(self, question: Choice) -> str | None:
        self.asked.append(question)
        return self.answer


class Sides:
    """`here` is the project's folder, `there` the remote's; `engine` is made by `begin`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.here, self.home = folder / "laptop" / "project", folder / "home"
        self.there = self.home / "project"
        self.store = folder / "store"
        for each in (self.here, self.home, self.store):
            each.mkdir(parents=True)
        self.person = Answering()
        self.synced: list[api.Synced] = []
        self.engine: Any = None
        self.agent: AgentConnection | None = None
        self.settings: dict[str, Any] = {}
        """`[sync]` of every engine, besides what `begin` is given."""
        self.clock_offset = 0
        """Seconds that the remote's clock is said to be ahead; 0: as measured."""
        self.transport = LocalTransport(self.home)
        self._changed = asyncio.Event()
        self._number = 0

    async def begin(self, *, watch: bool = True, **settings: Any) -> SyncEngine:
        chosen = model.Sync(**settings)
        self.engine = SyncEngine(
            root=self.here,
            settings=chosen,
            stored=Stored.read(self.here, chosen, self.store),
            project=str(self.here),
            host="box",
            folder="~/project",
            owner="ada@laptop:/home/ada/project",
            person=self.person,
            on_synced=self._on_synced,
            on_change=self._changed.set,
        )
        if watch:
            await self.engine.start()
        return self.engine

    async def attach(self, prefer: Any = "", *, take_over: bool = False) -> None:
        await self.connect()
        assert self.agent is not None
        await self.engine.attach(self.agent, self.new_root(), Terms(prefer, take_over))

    async def connect(self) -> None:
        if self.agent is None:
            self.agent = await AgentConnection.start(
                self.transport, state=str(self.folder / "state")
            )
            if self.clock_offset:
                offset = self.clock_offset * 1_000_000_000
                self.agent.hello = self.agent.hello._replace(clock_offset_ns=offset)

    def new_root(self) -> int:
        """A number that no root of the connection has."""
        self._number += 1
        return self._number

    async def cut(self, number: int = signal.SIGTERM) -> None:
        """The connection goes away at once, and the agent is sent that signal."""
        agent, self.agent = self.agent, None
        assert agent is not None
        process = self.transport.processes[-1]
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.child.pid, number)
        process.close()
        await agent.closed()
        self.engine.detach()
        await agent.close()

    async def attend(self) -> None:
        """As the hub does: when this connection ends by itself, the engine is told."""
        agent = self.agent
        assert agent is not None
        await agent.closed()
        if self.agent is agent:
            self.agent = None
            self.engine.detach()
            await agent.close()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """The agent does nothing meanwhile: what is sent to it is on its way."""
        process = self.transport.processes[-1].child.pid
        os.killpg(process, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(process, signal.SIGCONT)

    async def rest(self) -> None:
        """Waits until nothing is left to be done for now."""
        await self.until(lambda: self.engine.queued == 0 and not self.engine.stepping)

    async def leave(self) -> None:
        """The connection is closed, and the agent has done what it does at its end."""
        agent, self.agent = self.agent, None
        assert agent is not None
        self.engine.detach()
        await agent.close()
        await self.transport.processes[-1].wait()

    async def restart(self, **settings: Any) -> None:
        """The sidecar ends, and another one begins."""
        await self.end()
        await self.begin(**settings)

    async def end(self) -> None:
        if self.engine is not None:
            await self.engine.close()
            self.engine = None
        if self.agent is not None:
            await self.agent.close()
            self.agent = None

    async def until(self, true: Callable[[], bool]) -> None:
        """Waits for the engine's changes until something holds."""

        async def wait() -> None:
            while not true():
                self._changed.clear()
                if not true():
                    await self._changed.wait()

        await asyncio.wait_for(wait(), DEADLINE)

    def write(self, path: str, content: str | bytes) -> Path:
        """A file here, as an editor writes it."""
        return _write(self.here / path, content)

    def write_there(self, path: str, content: str | bytes) -> Path:
        return _write(self.there / path, content)

    def read_there(self, path: str) -> str:
        return (self.there / path).read_text()

    def tree_there(self) -> dict[str, bytes]:
        """Every file there but our own."""
        return {
            str(path.relative_to(self.there)): path.read_bytes()
            for path in self.there.rglob("*")
            if path.is_file() and ".sidecar" not in path.relative_to(self.there).parts
        }

    @property
    def attachment(self) -> Any:
        """What the engine has of this connection; None where both sides are apart."""
        return self.engine._loop.attachment

    async def lists_are_equal(self) -> bool:
        """Whether the agent manages what the engine believes it does. Asked behind all that was
        told on the saves' lane, which a Sweep would overtake."""
        assert self.agent is not None
        number, nothing = self.attachment.there.number, identity.pack([])
        ask = self.agent.parts(
            lambda id: messages.Manage(id, number, False, True, nothing), frames.SAVES
        )
        parts = [part async for part in ask]
        assert isinstance(parts[-1], messages.Swept)
        return parts[-1].digest == identity.digest(self.engine._base.remote_entries())

    def notes(self) -> dict[str, str]:
        return {note.path: note.kind for note in self.engine.notes}

    def _on_synced(self, synced: api.Synced) -> None:
        self.synced.append(synced)
        self._changed.set()


def _write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path
