"""`sidecar debug --stdio`: the real command as an editor's adapter, the hub, a machine there."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager

import pytest

from tests.debug.client import DapClient, DapFailure
from tests.debug.conftest import MODEL, PROGRAM, gone
from tests.hub.laptop import COMMAND, Laptop, connected, laptop, nearby
from tests.servers.box import Box

__all__ = ["connected", "laptop", "nearby"]


def editor(laptop: Laptop) -> AbstractAsyncContextManager[DapClient]:
    return DapClient.of(*COMMAND, "debug", "--stdio", cwd=laptop.project)


async def test_a_launch_of_a_local_file_stops_in_the_remote_process(
    connected: Laptop, box: Box
) -> None:
    main = connected.write("main.py", PROGRAM)
    model = connected.write("model.py", MODEL)
    async with editor(connected) as client:
        frames = await client.stop_at(
            str(model), 2, start="launch", asked={"program": str(main), "args": ["ok"]}
        )
        (found,) = await client.verified()
        assert (found["source"]["path"], found["line"]) == (str(model), 2)
        assert (frames[0]["source"]["path"], frames[0]["line"]) == (str(model), 2)
        there = await client.ask("evaluate", expression="__file__", frameId=frames[0]["id"])
        assert there["result"] == repr(str(box.home / "model" / "model.py"))
        process = await client.event("process")
        assert (process["name"], process["isLocalProcess"]) == (str(main), False)
        pid = await client.ask(
            "evaluate", expression="__import__('os').getpid()", frameId=frames[0]["id"]
        )
        assert str(process["systemProcessId"]) == pid["result"]
        await client.ask("setBreakpoints", source={"path": str(model)}, breakpoints=[])
        await client.ask("continue", threadId=1)
        await client.output("total 12")
        await client.event("terminated")
        await client.ask("disconnect")
        await client.ended()
        assert client.process is not None
        assert await asyncio.wait_for(client.process.wait(), 30) == 0
    await gone(str(box.home / "model"))


@pytest.mark.parametrize(
    ("asked", "prints"),
    [
        ({"module": "tool", "args": ["a", "b"]}, "tool a b"),
        ({"code": "import os, tool; print('code', os.environ['MINE'])"}, "code yes"),
        ({"program": "tool.py", "noDebug": True, "args": "'a b'"}, "tool a b"),
    ],
    ids=["module", "code", "without the debugger"],
)
async def test_it_launches_modules_and_code_as_well(
    nearby: Laptop, asked: dict[str, object], prints: str
) -> None:
    nearby.write("tool.py", "import sys\nprint('tool', *sys.argv[1:])\n")
    async with editor(nearby) as client:
        await client.ask("initialize", adapterID="sidecar")
        start = client.send("launch", env={"MINE": "yes"}, **asked)
        await client.event("initialized")
        await client.ask("configurationDone")
        await client.answer(start)
        await client.output(prints)
        await client.event("terminated")
        await client.ask("disconnect")


IMPOSSIBLE = [
    ({}, "names nothing to run"),
    ({"program": "missing.py"}, r"missing\.py is no file here"),
    ({"program": "main.py", "args": 7}, "args"),
    ({"program": "/etc/hosts.py"}, "belongs to no project"),
    ({"program": "main.py", "python": "/no/such/python"}, "no/such/python"),
    ({"sidecarSession": "0" * 32, "sidecarChild": 1}, "session is over"),
]


async def test_what_cannot_be_launched_is_told_in_words(nearby: Laptop) -> None:
    nearby.write("main.py", "print('never')\n")
    for asked, words in IMPOSSIBLE:
        async with editor(nearby) as client:
            await client.ask("initialize", adapterID="sidecar")
            with pytest.raises(DapFailure, match=words):
                await client.ask("launch", **asked)
            await client.event("terminated")
            await client.ask("disconnect")
            await client.ended()
