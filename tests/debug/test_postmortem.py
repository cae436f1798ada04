"""What failed last, once more under the debugger."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from sidecar.debug import dap, rewrite
from sidecar.errors import UsageError
from sidecar.hub import postmortem
from sidecar.jobs.listing import Listed
from tests.debug.client import DapClient
from tests.debug.test_command import end
from tests.debug.test_stdio import editor
from tests.hub.laptop import Laptop, laptop, nearby
from tests.servers.box import Box

__all__ = ["laptop", "nearby"]

PROGRAM = """\
import sys

def divide(by):
    return 1 / by

def main():
    if len(sys.argv) > 1:
        divide(int(sys.argv[1]))

main()
"""

TEST = """\
def test_sum():
    values = [1, 2]
    assert sum(values) == 4
"""


def job(name: str, status: int | None, state: str = "exited", request: str = "{}") -> Listed:
    return Listed(
        id=name,
        argv=["x"],
        cwd="/p",
        state=state,
        started=0.0,
        status=status,
        record={"request": request},
    )


JOBS = [
    job("running", None, "running"),
    job("stopped", -15),
    job("interrupted", 130),
    job("fine", 0),
    job("a-cell", 1, request=""),
    job("failed", 1),
    job("failed-before", 2),
]


def test_the_last_failure_is_the_newest_run_that_ended_by_itself_and_not_well() -> None:
    assert postmortem.last(JOBS, "", "box").id == "failed"
    assert postmortem.last(JOBS, "failed-before", "box").id == "failed-before"
    assert postmortem.last(JOBS, "failed", "box").id == "failed"
    assert postmortem.last(JOBS, "failed-b", "box").id == "failed-before"
    with pytest.raises(UsageError, match="Write more of it"):
        postmortem.last(JOBS, "f", "box")


@pytest.mark.parametrize("name", ["", "unheard-of"])
def test_where_there_is_none_that_is_said(name: str) -> None:
    with pytest.raises(UsageError, match="sidecar jobs"):
        postmortem.last(JOBS[:5], name, "box")


def test_filters_of_the_editor_are_kept_beside_ours() -> None:
    request = dap.request("setExceptionBreakpoints", {"filters": ["raised", "uncaught"]}, seq=1)
    changed = rewrite.stopping_at(request, ["uncaught", "userUnhandled"])
    assert changed["arguments"]["filters"] == ["raised", "uncaught", "userUnhandled"]
    assert rewrite.stopping_at(dap.request("x", {}), ["a"])["arguments"] == {"filters": ["a"]}


async def said(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    line = await asyncio.to_thread(process.stdout.readline)
    return line.decode().strip()


async def test_the_command_stops_where_the_exception_leaves_the_program(
    nearby: Laptop, embedded: Box
) -> None:
    main = nearby.write("main.py", PROGRAM)
    assert (await asyncio.to_thread(nearby.sidecar, "run", "main.py", "0")).returncode == 1
    # What ran well since is not meant.
    assert (await asyncio.to_thread(nearby.sidecar, "run", "main.py")).returncode == 0
    command = nearby.start("debug", "--last-failure")
    first = await said(command)
    assert first, command.stderr and command.stderr.read()
    port = int(first.partition(":")[2])
    async with DapClient.connected(port) as client:
        number = await client.begin()
        # It says nothing of exceptions, as an editor does whose person wants to stop at none.
        await client.ask("setExceptionBreakpoints", filters=[])
        await client.ask("configurationDone")
        await client.answer(number)
        frames = await client.stack()
        assert (await client.event("stopped"))["reason"] == "exception"
        assert (frames[0]["name"], frames[0]["source"]["path"]) == ("divide", str(main))
        assert (await client.variables(frames[0]))["by"] == "0"
        await client.ask("disconnect")
    assert await end(command) == 0


async def test_a_run_can_be_debugged_when_it_fails(nearby: Laptop, embedded: Box) -> None:
    main = nearby.write("main.py", PROGRAM)
    command = nearby.start("run", "--debug-on-failure", "main.py", "0")
    port = int((await said(command)).partition(":")[2])
    async with DapClient.connected(port) as client:
        number = await client.begin()
        await client.ask("configurationDone")
        await client.answer(number)
        frame = (await client.stack())[0]
        assert (frame["name"], frame["source"]["path"]) == ("divide", str(main))
        await client.ask("disconnect")
    assert await end(command) == 1


async def test_an_editor_launches_it_and_a_test_stops_where_it_failed(nearby: Laptop) -> None:
    text = (nearby.project / "sidecar.local.toml").read_text()
    nearby.configure(f'{text}python = "{sys.executable}"\n')  # which has pytest
    test = nearby.write("test_sums.py", TEST)
    done = await asyncio.to_thread(nearby.sidecar, "run", "test_sums.py::test_sum")
    assert done.returncode == 1, done.stderr
    async with editor(nearby) as client:
        number = await client.begin("launch", lastFailure=True)
        await client.ask("configurationDone")
        await client.answer(number)
        frames = await client.stack()
        # debugpy adds "(Current frame)" where an exception leaves to a library.
        assert (frames[0]["name"].split()[0], frames[0]["line"]) == ("test_sum", 3)
        assert frames[0]["source"]["path"] == str(test)
        await client.ask("disconnect")
