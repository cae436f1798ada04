"""What a person does with a debugger, in one session each, over a real OpenSSH server."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.debug.dap import Message
from tests.debug.client import DapClient
from tests.debug.conftest import gone
from tests.debug.test_stdio import editor
from tests.hub.laptop import Laptop, laptop
from tests.servers.openssh import SshdBox

__all__ = ["laptop"]

PROGRAM = """\
import asyncio
import threading

def inner(value):
    doubled = value * 2
    return doubled

def outer(value):
    result = inner(value)
    return result

def numbers():
    for number in range(3):
        yield number

async def fetch(value):
    await asyncio.sleep(0)
    return value

def worker():
    name = threading.current_thread().name
    print("in", name)

for index in range(6):
    total = outer(index)
print("total", total)
print("sum", sum(numbers()))
print("fetched", asyncio.run(fetch(8)))
thread = threading.Thread(target=worker, name="own-thread")
thread.start()
thread.join()
try:
    raise KeyError("caught")
except KeyError:
    pass
raise ValueError("the end")
"""


def line(text: str) -> int:
    """The number of the first line of the program with this text."""
    return next(count for count, one in enumerate(PROGRAM.splitlines(), 1) if text in one)


@pytest.fixture
async def client(laptop: Laptop, sshd: SshdBox) -> AsyncIterator[DapClient]:
    laptop.configure(f'[hosts.{sshd.alias}]\nssh = "{sshd.alias}"\npath = "~/model"\n')
    laptop.write("main.py", PROGRAM)
    async with editor(laptop) as client:
        yield client
    await gone(str(sshd.home / "model"))


class Steps:
    """A session that goes from stop to stop."""

    def __init__(self, client: DapClient, path: Path) -> None:
        self.client, self.path = client, str(path)
        self.stops = 0
        self.thread = 0

    async def set(self, *breakpoints: Message) -> None:
        source = {"path": self.path}
        await self.client.ask("setBreakpoints", source=source, breakpoints=list(breakpoints))

    async def begin(self, *breakpoints: Message, functions: Any = (), filters: Any = ()) -> None:
        start = await self.client.begin("launch", program=self.path)
        await self.set(*breakpoints)
        wanted = [{"name": name} for name in functions]
        await self.client.ask("setFunctionBreakpoints", breakpoints=wanted)
        await self.client.ask("setExceptionBreakpoints", filters=list(filters))
        await self.client.ask("configurationDone")
        await self.client.answer(start)

    async def stopped(self) -> Message:
        """The frame of the next stop."""
        self.stops += 1
        frames = await self.client.stack(self.stops)
        self.thread = (await self.client.event("stopped", self.stops))["threadId"]
        assert frames[0]["source"]["path"] == self.path
        return frames[0]

    async def go(self, command: str = "continue") -> None:
        await self.client.ask(command, threadId=self.thread)


async def test_breakpoints_of_each_kind_stop_where_they_should(
    client: DapClient, laptop: Laptop
) -> None:
    steps = Steps(client, laptop.project / "main.py")
    await steps.begin(
        {"line": line("doubled ="), "condition": "value == 3"},
        {"line": line("return doubled"), "hitCondition": "5"},
        {"line": line("return result"), "logMessage": "result is {result}"},
        functions=["worker"],
        filters=["raised", "uncaught"],
    )
    frame = await steps.stopped()
    assert (await client.variables(frame))["value"] == "3"
    await steps.go()
    frame = await steps.stopped()
    assert (frame["line"], (await client.variables(frame))["value"]) == (
        line("return doubled"),
        "4",
    )
    await steps.go()
    assert (await steps.stopped())["name"] == "worker"
    threads = (await client.ask("threads"))["threads"]
    assert {"MainThread", "own-thread"} <= {thread["name"] for thread in threads}
    await steps.go()
    # The last one stops where it is raised, and again where nobody catches it.
    for words in ("caught", "the end", "the end"):
        await steps.stopped()
        info = await client.ask("exceptionInfo", threadId=steps.thread)
        assert words in info["description"]
        assert str(laptop.project) in info["details"]["stackTrace"]
        await steps.go()
    await client.event("terminated")
    logged = [event["body"]["output"] for event in client.events if event["event"] == "output"]
    assert sum("result is " in text for text in logged) == 6


async def test_a_person_steps_looks_and_changes(client: DapClient, laptop: Laptop) -> None:
    steps = Steps(client, laptop.project / "main.py")
    await steps.begin({"line": line("result = inner")})
    await steps.stopped()
    await steps.go("stepIn")
    frame = await steps.stopped()
    assert frame["name"] == "inner"
    await steps.go("next")
    frame = await steps.stopped()
    assert frame["line"] == line("return doubled")

    reference = (await client.ask("scopes", frameId=frame["id"]))["scopes"][0]["variablesReference"]
    await client.ask("setVariable", variablesReference=reference, name="doubled", value="70")
    for context, expression, result in [
        ("watch", "doubled + 1", "71"),
        ("repl", "value", "0"),
        ("hover", "doubled", "70"),
    ]:
        told = await client.ask(
            "evaluate", expression=expression, context=context, frameId=frame["id"]
        )
        assert told["result"] == result
    found = await client.ask("completions", text="doub", column=5, frameId=frame["id"])
    assert "doubled" in {one["label"] for one in found["targets"]}
    await steps.go("stepOut")
    assert (await steps.stopped())["name"] == "outer"

    await steps.set({"line": line("yield number")}, {"line": line("return value")})
    await steps.go()
    for number in range(3):
        frame = await steps.stopped()
        assert (frame["name"], (await client.variables(frame))["number"]) == (
            "numbers",
            str(number),
        )
        await steps.go()
    assert (await steps.stopped())["name"] == "fetch"
    await client.ask("disconnect")
    await client.ended()


async def test_it_is_started_again_with_what_was_saved_meanwhile(
    client: DapClient, laptop: Laptop
) -> None:
    steps = Steps(client, laptop.project / "main.py")
    await steps.begin({"line": line('print("total"')})
    await steps.stopped()
    await client.ask("disconnect", restart=True)
    await client.ended()
    laptop.write("main.py", PROGRAM.replace("value * 2", "value * 200"))
    async with editor(laptop) as second:
        again = Steps(second, laptop.project / "main.py")
        await again.begin({"line": line('print("total"')})
        assert (await second.variables(await again.stopped()))["total"] == "1000"
        await second.ask("terminate")
        await second.event("terminated")


async def test_when_the_command_is_killed_nothing_is_left_there(
    client: DapClient, laptop: Laptop
) -> None:
    steps = Steps(client, laptop.project / "main.py")
    await steps.begin({"line": line("doubled =")})
    await steps.stopped()
    assert client.process is not None
    client.process.kill()  # the fixture waits for the end of what is there


async def test_when_the_program_is_killed_the_editor_is_told(
    client: DapClient, laptop: Laptop
) -> None:
    steps = Steps(client, laptop.project / "main.py")
    await steps.begin({"line": line("doubled =")})
    await steps.stopped()
    process = await client.event("process")
    os.kill(process["systemProcessId"], 9)
    await client.event("terminated")
    await asyncio.wait_for(client.ask("disconnect"), 30)
