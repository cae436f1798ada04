"""`sidecar debug`: the real command, the real hub, a machine behind SSH, and a DAP client."""

from __future__ import annotations

import asyncio
import subprocess

import pytest

from tests.debug.client import DapClient
from tests.debug.conftest import MODEL, PROGRAM, gone
from tests.hub.laptop import Laptop, connected, laptop, nearby
from tests.servers.box import Box

__all__ = ["connected", "laptop", "nearby"]


async def line(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    read = asyncio.to_thread(process.stdout.readline)
    return (await asyncio.wait_for(read, 30)).decode().strip()


async def end(process: subprocess.Popen[bytes]) -> int:
    status = await asyncio.to_thread(process.wait, 30)
    for stream in (process.stdin, process.stdout, process.stderr):
        assert stream is not None
        stream.close()
    return status


async def test_it_names_a_port_where_a_breakpoint_set_here_stops_there(
    connected: Laptop, box: Box
) -> None:
    connected.write("main.py", PROGRAM)
    model = connected.write("model.py", MODEL)
    command = connected.start("debug", "main.py", "--", "ok")
    host, _, port = (await line(command)).partition(":")
    assert host == "127.0.0.1"
    async with DapClient.connected(int(port)) as client:
        frames = await client.stop_at(str(model), 2)
        assert (frames[0]["source"]["path"], frames[0]["line"]) == (str(model), 2)
        assert (await client.variables(frames[0]))["row"] == "1"
        there = await client.ask("evaluate", expression="__file__", frameId=frames[0]["id"])
        assert there["result"] == repr(str(box.home / "model" / "model.py"))
        await client.ask("setBreakpoints", source={"path": str(model)}, breakpoints=[])
        await client.ask("continue", threadId=1)
        await client.output("total 12")
        await client.event("terminated")
        await client.ask("disconnect")
    assert await end(command) == 0
    await gone(str(box.home / "model"))


@pytest.mark.parametrize("how", ["terminate", "kill"])
async def test_when_the_command_is_ended_nothing_of_the_session_is_left(
    nearby: Laptop, embedded: Box, how: str
) -> None:
    nearby.write("main.py", "import time\nprint('up', flush=True)\ntime.sleep(600)\n")
    command = nearby.start("debug", "main.py")
    port = int((await line(command)).partition(":")[2])
    async with DapClient.connected(port) as client:
        number = await client.begin()
        await client.ask("configurationDone")
        await client.answer(number)
        await client.output("up")
        getattr(command, how)()
        await client.event("terminated")
    await end(command)
    await gone(str(embedded.home / "model" / "main.py"))


async def test_a_missing_script_is_said_before_a_client_is_waited_for(
    nearby: Laptop, embedded: Box
) -> None:
    before = embedded.accepted
    command = nearby.start("debug", "missing.py")
    assert await line(command) == ""
    assert command.stderr is not None
    words = command.stderr.read().decode()
    assert await end(command) == 125
    assert "missing.py is no file here" in words
    assert embedded.accepted == before


async def test_a_debugged_program_has_the_environment_of_jobs_and_stands_behind_launch(
    nearby: Laptop, embedded: Box
) -> None:
    programs = embedded.home / "programs"
    programs.mkdir()
    (programs / "behind").write_text('#!/bin/sh\nexport BEHIND="$1"; shift; exec "$@"\n')
    (programs / "behind").chmod(0o755)
    text = (nearby.project / "sidecar.local.toml").read_text()
    nearby.configure(
        f'{text}launch = "behind it"\nenv = {{ OWN = "mine" }}\n'
        f'setup = "export PATH={programs}:$PATH LOADED=cuda"\n'
    )
    names = "BEHIND", "OWN", "LOADED"
    nearby.write("main.py", f"import os\nprint('has', *(os.environ[n] for n in {names}))\n")
    command = nearby.start("debug", "main.py")
    _, _, port = (await line(command)).partition(":")
    async with DapClient.connected(int(port)) as client:
        attach = await client.begin()
        await client.ask("configurationDone")
        await client.answer(attach)
        await client.output("has it mine cuda")
        await client.event("terminated")
        await client.ask("disconnect")
    assert await end(command) == 0
