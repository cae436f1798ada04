"""Real agents and real supervisors on this machine."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.agent.supervisor import records
from sidecar.core import messages as m
from sidecar.jobs.client import JobsClient
from sidecar.remote.connection import AgentConnection
from tests.agent.desk import end
from tests.remote.local_transport import LocalTransport


class Place:
    """A remote that is this machine: a home folder, agents, and a client of their jobs."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.transport = LocalTransport(home)
        self.client = JobsClient("box")
        self.folder = home / "project"

    async def connect(self) -> AgentConnection:
        """Another agent, with the project opened as root 1."""
        agent = await AgentConnection.start(self.transport, state=str(self.home / "state"))
        self.agent = agent
        await agent.request(lambda number: m.Open(number, 1, str(self.folder)))
        await agent.request(lambda number: m.Claim(number, 1, "marker", "tests"))
        return agent

    async def cut(self) -> None:
        """The agent is killed, as it would be with its machine's memory full."""
        process = self.transport.processes[-1]
        os.killpg(process.child.pid, signal.SIGKILL)
        await self.agent.closed()
        await self.agent.close()
        self.client.disconnected()

    def records(self) -> list[records.Record]:
        folders = (self.home / "state").glob("*/jobs/*")
        return [records.read(str(folder)) for folder in folders]

    async def close(self) -> None:
        self.client.close()
        await self.agent.close()
        await self.transport.close()
        for record in self.records():
            await asyncio.to_thread(end, record)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    place = Place(tmp_path)
    await place.connect()
    yield place
    await place.close()
