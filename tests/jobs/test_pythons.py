from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.core import messages as m
from sidecar.remote.connection import AgentConnection
from tests.jobs.conftest import Place
from tests.jobs.test_client import Watcher
from tests.remote.pythons import PYTHONS


@pytest.mark.parametrize("python", PYTHONS)
async def test_a_job_runs_under_every_python_that_an_agent_may_have(
    tmp_path: Path, python: str
) -> None:
    place = Place(tmp_path)
    place.agent = await AgentConnection.start(
        place.transport, python=python, state=str(tmp_path / "state")
    )
    try:
        await place.agent.request(lambda number: m.Open(number, 1, str(place.folder)))
        await place.agent.request(lambda number: m.Claim(number, 1, "marker", "tests"))
        for rows in (0, 24):
            script = "echo out; read x; echo $x; exit 4"
            job = await place.client.run(
                place.agent, 1, ["sh", "-c", script], rows=rows, columns=80
            )
            watcher = Watcher()
            await job.view(0, watcher.output, watcher.exited)
            await job.input(b"in\n")
            assert (await watcher.end()).status == 4
            assert "out" in watcher.text()
            assert "in" in watcher.text()
        found = await place.agent.request(lambda number: m.Python(number, 1, python))
        assert isinstance(found, m.PythonFound)
        assert found.path == python
    finally:
        await place.close()
