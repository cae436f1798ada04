"""A project here, its copy "there", and an agent there that is reached without a network."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from sidecar.core.pathmap import PathMap
from sidecar.debug.door import Door
from sidecar.debug.launch import Launch
from sidecar.remote.connection import AgentConnection
from tests.remote.local_transport import LocalTransport

PROGRAM = """\
import sys
import model

def work(rows):
    total = 0
    for row in rows:
        total += model.score(row)
    print("total", total)
    return total

work([1, 2, 3])
if "fail" in sys.argv:
    raise ValueError("as asked")
"""

MODEL = """\
def score(row):
    doubled = row * 2
    return doubled
"""


def processes_of(mark: str) -> list[int]:
    """Living processes with `mark` in their command line or environment."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            text = b"".join(
                Path("/proc", name, part).read_bytes() for part in ("cmdline", "environ")
            )
        except OSError:
            continue
        if mark.encode() in text and int(name) != os.getpid():
            found.append(int(name))
    return found


async def gone(mark: str) -> None:
    """Returns when no process has `mark` any more. They are nobody's children here, so there is
    no event to wait for."""
    end = time.monotonic() + 15
    while left := processes_of(mark):
        assert time.monotonic() < end, [_command_line(pid) for pid in left]
        await asyncio.sleep(0.02)


def _command_line(pid: int) -> bytes:
    try:
        return Path("/proc", str(pid), "cmdline").read_bytes()
    except OSError:
        return b""


class Bench:
    """What tests start sessions with."""

    def __init__(self, agent: AgentConnection, transport: LocalTransport, tmp: Path) -> None:
        self.agent, self.transport = agent, transport
        self.here, self.there = tmp / "laptop" / "proj", tmp / "remote" / "proj"
        for folder in (self.here, self.there):
            folder.mkdir(parents=True)
        self.write("main.py", PROGRAM)
        self.write("model.py", MODEL)
        self.pathmap = PathMap([str(self.here)], [str(self.there)])
        self.sessions: list[Door] = []
        self.mark = f"SIDECAR_TEST_MARK={tmp}"
        self.home = str(tmp / "remote")

    def write(self, name: str, text: str) -> None:
        for folder in (self.here, self.there):
            (folder / name).write_text(text)

    async def start(
        self,
        target: str = "main.py",
        *,
        barrier: Callable[[], Awaitable[None]] | None = None,
        pathmap: PathMap | None = None,
        interpreter: str = sys.executable,
        version: str = "3.11.7",
        env: dict[str, str] | None = None,
        only_rank: str = "",
        strict: bool = False,
        **launch: Any,
    ) -> Door:
        async def nothing() -> None:
            pass

        name, _, value = self.mark.partition("=")
        session = await Door.open(
            self.agent,
            pathmap=pathmap or self.pathmap,
            launch=Launch(interpreter, target, env={name: value, **(env or {})}, **launch),
            version=version,
            barrier=barrier or nothing,
            only_rank=only_rank,
            strict=strict,
        )
        self.sessions.append(session)
        return session

    async def nothing_is_left(self) -> None:
        """The program, all that it started, and the adapter are gone."""
        await gone(self.mark)
        await gone(f"{self.home}/.local/state/sidecar")


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    home = tmp_path / "remote"
    home.mkdir()
    transport = LocalTransport(home)
    agent = await AgentConnection.start(transport, python=sys.executable)
    bench = Bench(agent, transport, tmp_path)
    yield bench
    for session in bench.sessions:
        await session.close()
    await agent.close()
    await transport.close()
    await bench.nothing_is_left()
