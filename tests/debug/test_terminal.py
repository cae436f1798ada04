"""The program in the editor's own terminal."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sidecar.debug import terminal
from sidecar.errors import RunError
from tests.cli.person import TerminalSession
from tests.debug.conftest import gone
from tests.debug.test_stdio import editor
from tests.hub.laptop import Laptop, laptop, nearby
from tests.servers.box import Box

__all__ = ["laptop", "nearby"]

ASKS = """\
import sys
name = input("who? ")
print("hello", name, sys.stdin.isatty())
"""


async def test_a_program_in_the_editors_terminal_reads_what_is_typed_and_stops(
    nearby: Laptop, embedded: Box
) -> None:
    here = nearby.write("asks.py", ASKS)
    async with editor(nearby) as client:
        start = await client.begin("launch", program="asks.py", console="integratedTerminal")
        await client.ask("setBreakpoints", source={"path": str(here)}, breakpoints=[{"line": 3}])
        await client.ask("configurationDone")
        asked = await client.request("runInTerminal")
        assert (asked["kind"], asked["cwd"]) == ("integrated", str(nearby.project))
        words = asked["args"][asked["args"].index("run") :]
        person = TerminalSession(nearby, *words)
        try:
            await client.answer(start)
            await asyncio.to_thread(person.expect, "who? ", "ada\r")
            frames = await client.stack()
            assert (frames[0]["source"]["path"], frames[0]["line"]) == (str(here), 3)
            assert (await client.variables(frames[0]))["name"] == "'ada'"
            await client.ask("continue", threadId=1)
            await asyncio.to_thread(person.expect, "hello ada True")
            await client.event("terminated")
            assert await asyncio.to_thread(person.wait) == 0
        finally:
            person.process.kill()
        await client.ask("disconnect")


async def test_a_program_in_a_terminal_ends_with_its_session(nearby: Laptop, embedded: Box) -> None:
    nearby.write("asks.py", ASKS)
    async with editor(nearby) as client:
        start = await client.begin("launch", program="asks.py", console="integratedTerminal")
        await client.ask("configurationDone")
        asked = await client.request("runInTerminal")
        person = TerminalSession(nearby, *asked["args"][asked["args"].index("run") :])
        try:
            await client.answer(start)
            await asyncio.to_thread(person.expect, "who? ")
            await client.ask("disconnect")
            assert await asyncio.to_thread(person.wait) != 0
        finally:
            person.process.kill()
    await gone(str(embedded.home / "model"))


LAUNCHED = {"python": ["/py", "-O"], "args": ["a b"], "program": "/there/x.py"}


def test_of_what_debugpy_wants_to_run_only_a_port_is_taken() -> None:
    command = terminal.terminal("gpu1", "/cache/debugpy-1", LAUNCHED)
    words = command({"args": ["/bin/sh", "-c", "rm -rf ~", "40123", "--", "evil"]})
    assert words[words.index("run") :] == [
        *("run", "--as-is", "--host", "gpu1", "/py", "-O"),
        *("/cache/debugpy-1/debugpy/launcher", "40123", "--", "/there/x.py", "a b"),
    ]


@pytest.mark.parametrize("args", [None, [], ["--"], ["x", "--"], ["x", "0", "--"], ["; rm", "--"]])
def test_a_wish_without_a_port_is_refused(args: Any) -> None:
    with pytest.raises(RunError, match="not understood"):
        terminal.launcher_port({"args": args})
