"""Processes that a debugged program starts: each is a session of the editor's own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sidecar.debug import processes
from sidecar.debug.dap import Message
from tests.debug.client import DapClient, DapFailure
from tests.debug.conftest import Bench, gone
from tests.debug.test_stdio import editor
from tests.hub.laptop import Laptop, laptop, nearby
from tests.servers.box import Box

__all__ = ["laptop", "nearby"]

MAIN = """\
import multiprocessing, subprocess, sys
import job

if __name__ == "__main__":
    if sys.argv[1] == "subprocess":
        subprocess.run([sys.executable, "job.py"])
    elif sys.argv[1] == "ranks":
        import os
        one = lambda k: {**os.environ, "RANK": str(k), "LOCAL_RANK": str(k), "WORLD_SIZE": "3"}
        all_ = [subprocess.Popen([sys.executable, "-u", "job.py"], env=one(k)) for k in range(3)]
        print("ended", *[each.wait() for each in all_])
    else:
        child = multiprocessing.get_context(sys.argv[1]).Process(target=job.work, args=(1,))
        child.start()
        child.join()
    print("parent done")
"""

JOB = """\
import os

def work(number):
    rank = os.environ.get("RANK", "")
    print("worked", rank)

if __name__ == "__main__":
    work(2)
"""

LINE = 5


@contextlib.asynccontextmanager
async def child_of(parent: DapClient, port: int, count: int = 1) -> AsyncIterator[DapClient]:
    """The session that an editor begins when the parent's asks for it: its client is stopped."""
    offered = await parent.request("startDebugging", count)
    async with DapClient.connected(port) as child:
        child.offered = offered["configuration"]
        yield child


async def begin(client: DapClient, bench: Bench, start: str = "attach", **asked: Any) -> None:
    """Begins with a breakpoint in the job."""
    number = await client.begin(start, **asked)
    await client.ask(
        "setBreakpoints",
        source={"path": str(bench.here / "job.py")},
        breakpoints=[{"line": LINE}],
    )
    await client.ask("configurationDone")
    await client.answer(number)


@pytest.mark.parametrize("way", ["fork", "spawn"])
async def test_a_breakpoint_is_hit_in_a_child_process(bench: Bench, way: str) -> None:
    bench.write("main.py", MAIN)
    bench.write("job.py", JOB)
    session = await bench.start(args=[way])
    async with DapClient.connected(session.port) as parent:
        parent.holds_several = True
        await begin(parent, bench, type="mine")
        async with child_of(parent, session.port) as child:
            assert child.offered["type"] == "mine"
            await begin(child, bench, **child.offered)
            (frame, *_) = await child.stack()
            assert (frame["source"]["path"], frame["line"]) == (str(bench.here / "job.py"), LINE)
            assert (await child.variables(frame))["number"] == "1"
            await child.ask("continue", threadId=1)
            await child.event("terminated")
            await child.ask("disconnect")
        await parent.output("parent done")
        await parent.event("terminated")
        # The helper that `spawn` starts besides is nobody's business.
        assert len(parent.asked) == 1
        assert str(bench.there) not in str(child.events)
        await parent.ask("disconnect")
    await session.closed()


async def test_ranks_are_named_each_is_stopped_and_the_parents_end_ends_all(bench: Bench) -> None:
    bench.write("main.py", MAIN)
    bench.write("job.py", JOB)
    session = await bench.start(args=["ranks"])
    async with DapClient.connected(session.port) as parent, contextlib.AsyncExitStack() as stack:
        parent.holds_several = True
        await begin(parent, bench)
        children = [
            await stack.enter_async_context(child_of(parent, session.port, count))
            for count in (1, 2, 3)
        ]
        assert {child.offered["name"] for child in children} == {"rank 0", "rank 1", "rank 2"}
        for child in children:
            await begin(child, bench, **child.offered)
        for child in children:
            (frame, *_) = await child.stack()
            assert f"rank {(await child.variables(frame))['rank'][1:-1]}" == child.offered["name"]
        await parent.ask("terminate")
        for child in children:
            await child.event("terminated")
    await asyncio.wait_for(session.closed(), 30)
    await bench.nothing_is_left()


async def test_only_the_rank_that_is_asked_for_stops(bench: Bench) -> None:
    bench.write("main.py", MAIN)
    bench.write("job.py", JOB)
    session = await bench.start(args=["ranks"], only_rank="1")
    async with DapClient.connected(session.port) as parent:
        parent.holds_several = True
        await begin(parent, bench)
        async with child_of(parent, session.port) as child:
            assert child.offered["name"] == "rank 1"
            await begin(child, bench, **child.offered)
            await child.stack()
            await child.ask("continue", threadId=1)
            await child.event("terminated")
        await parent.output("ended 0 0 0")
        assert len(parent.asked) == 1


async def test_an_editor_of_one_session_is_told_what_runs_free(bench: Bench) -> None:
    bench.write("main.py", MAIN)
    bench.write("job.py", JOB)
    session = await bench.start(args=["subprocess"])
    async with DapClient.connected(session.port) as parent:
        await begin(parent, bench)
        await parent.output("worked")
        await parent.output("parent done")
        assert "(job.py) runs without the debugger" in parent.printed("console")
        assert parent.asked == []


@pytest.mark.parametrize(
    "wrong", [{"sidecarChild": 77}, {"sidecarSession": "0" * 32}, {"sidecarSession": ""}]
)
async def test_who_does_not_name_the_process_that_was_offered_gets_none(
    bench: Bench, wrong: Message
) -> None:
    bench.write("main.py", MAIN)
    bench.write("job.py", JOB)
    session = await bench.start(args=["subprocess"])
    async with DapClient.connected(session.port) as parent:
        parent.holds_several = True
        await begin(parent, bench)
        async with child_of(parent, session.port) as child:
            await child.ask("initialize", adapterID="mine")
            with pytest.raises(DapFailure, match="no such process"):
                await child.ask("attach", **{**child.offered, **wrong})


async def test_an_editor_with_an_executable_adapter_starts_another_for_a_child(
    nearby: Laptop, embedded: Box
) -> None:
    nearby.write("main.py", MAIN)
    job = nearby.write("job.py", JOB)
    async with editor(nearby) as parent, editor(nearby) as child:
        parent.holds_several = True
        start = await parent.begin("launch", program="main.py", args=["subprocess"], type="sidecar")
        await parent.ask("configurationDone")
        await parent.answer(start)
        offered = (await parent.request("startDebugging"))["configuration"]
        frames = await child.stop_at(str(job), LINE, asked=offered)
        assert frames[0]["source"]["path"] == str(job)
        await parent.ask("disconnect")
        await child.event("terminated")
        await child.ask("disconnect")
    await gone(str(embedded.home / "model"))


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["python", "/x/pydevd.py", "--port", "1", "--file", "/p/job.py", "--lr"], "job.py"),
        (["python", "-m", "torch.distributed.run", "x.py"], "torch.distributed.run"),
        (["python", "-c", "from multiprocessing.spawn import spawn_main"], "multiprocessing"),
        (["python", "-u", "/p/main.py"], "main.py"),
        (["python", "-c", "print(1)"], ""),
        ([], ""),
    ],
)
def test_a_process_is_named_by_what_a_person_started(words: list[str], name: str) -> None:
    assert processes.named(words) == name
