"""Attaching to what runs there without the debugger."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.debug import injector
from tests.debug.client import DapFailure
from tests.debug.conftest import processes_of
from tests.debug.strangers import ports_of, try_ports
from tests.debug.test_stdio import editor
from tests.hub.laptop import Laptop, laptop, nearby
from tests.servers.box import Box

__all__ = ["laptop", "nearby"]

LOOP = """\
import time

def tick(count):
    more = count + 1
    return more

count = 0
while True:
    count = tick(count)
    time.sleep(0.02)
"""

LISTENS = """\
import sys
import debugpy
host, port = debugpy.listen(("127.0.0.1", 0))
print(port, flush=True)
debugpy.wait_for_client()
value = 41
while value:
    value = value + 1
"""


@contextlib.asynccontextmanager
async def program(path: Path, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Runs there, as anybody may have started it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(path), *arguments, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_a_process_is_attached_to_stopped_and_left_running(
    nearby: Laptop, embedded: Box
) -> None:
    if shutil.which("gdb") is None and sys.version_info < (3, 14):
        pytest.skip("only on a machine with gdb, or Python 3.14")
    here = nearby.write("loop.py", LOOP)
    assert nearby.sidecar("sync").returncode == 0
    async with program(embedded.home / "model" / "loop.py") as running, editor(nearby) as client:
        frames = await client.stop_at(str(here), 4, asked={"processId": running.pid})
        assert (frames[0]["source"]["path"], frames[0]["name"]) == (str(here), "tick")
        assert int((await client.variables(frames[0]))["count"]) > 0
        if os.geteuid() == 0:  # a second user gets nowhere at the ports of this, either
            ports = ports_of(processes_of(str(embedded.home)))
            assert ports
            await asyncio.to_thread(try_ports, ports)
        await client.ask("setBreakpoints", source={"path": str(here)}, breakpoints=[])
        await client.ask("continue", threadId=1)
        await client.ask("disconnect")
        await client.ended()
        assert running.returncode is None


async def test_a_job_is_attached_to_by_its_id(nearby: Laptop, embedded: Box) -> None:
    if shutil.which("gdb") is None and sys.version_info < (3, 14):
        pytest.skip("only on a machine with gdb, or Python 3.14")
    here = nearby.write("loop.py", LOOP)
    job = nearby.sidecar("run", "-d", "loop.py").stdout.strip()
    async with editor(nearby) as client:
        frames = await client.stop_at(str(here), 4, asked={"job": job})
        assert frames[0]["source"]["path"] == str(here)
        await client.ask("disconnect", terminateDebuggee=False)
    (listed,) = json.loads(nearby.sidecar("jobs", "--json").stdout)
    assert listed["state"] == "running"
    assert nearby.sidecar("stop").returncode == 0


async def test_a_port_that_the_program_opened_is_connected_to(
    nearby: Laptop, embedded: Box
) -> None:
    here = nearby.write("listens.py", LISTENS)
    assert nearby.sidecar("sync").returncode == 0
    async with program(embedded.home / "model" / "listens.py") as running:
        assert running.stdout is not None
        port = int(await asyncio.wait_for(running.stdout.readline(), 30))
        for _ in range(2):  # whoever disconnects leaves it, for others as well
            async with editor(nearby) as client:
                frames = await client.stop_at(str(here), 8, asked={"connect": {"port": port}})
                assert int((await client.variables(frames[0]))["value"]) >= 41
                await client.ask("disconnect")
                await client.ended()


NOTHING = [
    ({}, "names nothing to attach to"),
    ({"processId": 1 << 30}, "there is no process"),
    ({"processId": "x"}, "is no process"),
    ({"job": "zz"}, "No job zz runs"),
    ({"connect": {"port": 1}}, "Nothing to debug at 127.0.0.1:1"),
]


async def test_what_cannot_be_attached_to_is_said(nearby: Laptop, embedded: Box) -> None:
    nearby.write("main.py", "")
    for asked, words in NOTHING:
        async with editor(nearby) as client:
            await client.ask("initialize", adapterID="sidecar")
            with pytest.raises(DapFailure, match=words):
                await client.ask("attach", **asked)  # type: ignore[arg-type]
            await client.ask("disconnect")


def test_a_process_that_runs_no_python_is_said_to() -> None:
    with subprocess.Popen(["/bin/sleep", "60"]) as process:
        try:
            with pytest.raises(injector.CannotBe, match="runs no Python"):
                injector.look(process.pid)
        finally:
            process.kill()


def test_where_neither_way_is_there_the_reason_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delattr(sys, "remote_exec", raising=False)
    with pytest.raises(injector.CannotBe, match=r"from 3\.14 on; gdb.*is not installed"):
        injector.inject(1, "/x", "127.0.0.1", 1)
