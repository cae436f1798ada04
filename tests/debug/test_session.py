"""Whole sessions: our client, our proxy, a real agent, real debugpy."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from sidecar.core.pathmap import PathMap
from sidecar.debug import dap
from sidecar.errors import RunError, UsageError
from tests.debug.client import DapClient, DapFailure
from tests.debug.conftest import Bench

SCORE = 2
"""The line of model.py where `doubled` is made."""


@pytest.mark.parametrize("command", ["attach", "launch"])
async def test_a_breakpoint_set_with_a_local_path_hits_and_everything_shows_local_paths(
    bench: Bench, command: str
) -> None:
    session = await bench.start()
    model, main = str(bench.here / "model.py"), str(bench.here / "main.py")
    async with DapClient.connected(session.port) as client:
        frames = await client.stop_at(model, SCORE, start=command)
        (found,) = await client.verified()
        assert found["source"]["path"] == model
        where = [(frame["name"], frame["source"]["path"], frame["line"]) for frame in frames]
        assert where == [("score", model, 2), ("work", main, 7), ("<module>", main, 11)]
        assert (await client.variables(frames[0]))["row"] == "1"
        evaluated = await client.ask("evaluate", expression="row + 41", frameId=frames[0]["id"])
        assert evaluated["result"] == "42"

        await client.ask("next", threadId=1)
        frames = await client.stack(2)
        assert (frames[0]["line"], (await client.variables(frames[0]))["doubled"]) == (3, "2")
        await client.ask("setBreakpoints", source={"path": model}, breakpoints=[])
        await client.ask("continue", threadId=1)
        await client.output("total 12")
        assert (await client.event("exited"))["exitCode"] == 0
        await client.event("terminated")
        assert str(bench.there) not in str(client.events)
        assert client.printed("stderr") == ""
        await client.ask("disconnect")
        await client.ended()
    assert await asyncio.wait_for(session.closed(), 10) == ""
    await bench.nothing_is_left()


async def test_a_condition_decides_whether_a_breakpoint_stops(bench: Bench) -> None:
    session = await bench.start()
    async with DapClient.connected(session.port) as client:
        frames = await client.stop_at(str(bench.here / "model.py"), SCORE, condition="row == 3")
        assert (await client.variables(frames[0]))["row"] == "3"


async def test_a_log_point_prints_and_does_not_stop(bench: Bench) -> None:
    session = await bench.start()
    async with DapClient.connected(session.port) as client:
        number = await client.begin()
        await client.ask(
            "setBreakpoints",
            source={"path": str(bench.here / "model.py")},
            breakpoints=[{"line": SCORE, "logMessage": "row is {row}"}],
        )
        await client.ask("configurationDone")
        await client.answer(number)
        await client.output("row is 3")
        await client.event("terminated")


async def test_an_uncaught_exception_stops_and_its_details_name_local_files(bench: Bench) -> None:
    session = await bench.start(args=["fail"])
    async with DapClient.connected(session.port) as client:
        number = await client.begin()
        await client.ask("setExceptionBreakpoints", filters=["uncaught"])
        await client.ask("configurationDone")
        await client.answer(number)
        frames = await client.stack()
        main = str(bench.here / "main.py")
        assert (frames[0]["source"]["path"], frames[0]["line"]) == (main, 13)
        details = (await client.ask("exceptionInfo", threadId=1))["details"]
        assert details["message"] == "as asked"
        assert details["source"] == main
        assert f'File "{main}", line 13' in details["stackTrace"]


async def test_steps_go_in_and_out_and_values_can_be_set(bench: Bench) -> None:
    session = await bench.start()
    async with DapClient.connected(session.port) as client:
        await client.stop_at(str(bench.here / "main.py"), 7)
        await client.ask("stepIn", threadId=1)
        frames = await client.stack(2)
        assert frames[0]["name"] == "score"
        scopes = await client.ask("scopes", frameId=frames[0]["id"])
        reference = scopes["scopes"][0]["variablesReference"]
        await client.ask("setVariable", variablesReference=reference, name="row", value="100")
        await client.ask("stepOut", threadId=1)
        assert (await client.stack(3))[0]["name"] == "work"
        await client.ask("setBreakpoints", source={"path": str(bench.here / "main.py")})
        await client.ask("continue", threadId=1)
        await client.output("total 210")


async def test_a_module_runs_with_its_arguments_environment_and_folder(bench: Bench) -> None:
    bench.write("tool.py", "import os, sys\nprint(sys.argv[1:], os.getcwd(), os.environ['NAME'])\n")
    session = await bench.start("tool", module=True, args=["a b", "ü"], env={"NAME": "x"})
    async with DapClient.connected(session.port) as client:
        number = await client.begin()
        await client.ask("configurationDone")
        await client.answer(number)
        await client.output(f"['a b', 'ü'] {bench.there} x\n")


async def test_the_client_may_choose_to_stop_at_the_entry(bench: Bench) -> None:
    session = await bench.start()
    async with DapClient.connected(session.port) as client:
        number = await client.begin(stopOnEntry=True, connect={"host": "evil", "port": 1})
        await client.ask("configurationDone")
        await client.answer(number)
        assert (await client.event("stopped"))["reason"] == "entry"


async def test_a_source_that_is_only_there_is_read_from_there(bench: Bench) -> None:
    bench.write("main.py", "import json\nprint(json.loads('[1]'))\n")
    session = await bench.start(just_my_code=False)
    async with DapClient.connected(session.port) as client:
        await client.stop_at(str(bench.here / "main.py"), 2)
        await client.ask("stepIn", threadId=1)
        source = (await client.stack(2))[0]["source"]
        assert source["path"].endswith("json/__init__.py")
        assert source["sourceReference"] > 0
        found = await client.ask("source", sourceReference=source["sourceReference"], source=source)
        assert "def loads" in found["content"]


async def test_a_root_with_two_spellings_is_shown_as_the_editor_spells_it(
    bench: Bench, tmp_path: Path
) -> None:
    link_here, link_there = tmp_path / "link-here", tmp_path / "link-there"
    link_here.symlink_to(bench.here)
    link_there.symlink_to(bench.there)
    pathmap = PathMap([str(bench.here), str(link_here)], [str(link_there), str(bench.there)])
    session = await bench.start(pathmap=pathmap)
    async with DapClient.connected(session.port) as client:
        frames = await client.stop_at(str(link_here / "model.py"), SCORE)
        assert frames[0]["source"]["path"] == str(link_here / "model.py")
        assert frames[1]["source"]["path"] == str(link_here / "main.py")


# --- ends ------------------------------------------------------------------------------------


async def test_the_program_starts_only_when_the_barrier_lets_it(bench: Bench) -> None:
    asked, allowed = asyncio.Event(), asyncio.Event()

    async def barrier() -> None:
        asked.set()
        await allowed.wait()

    session = await bench.start(barrier=barrier)
    async with DapClient.connected(session.port) as client:
        await client.ask("initialize", adapterID="python")
        number = client.send("attach")
        await asked.wait()
        bench.write("main.py", "print('the newest')\n")
        allowed.set()
        await client.event("initialized")
        await client.ask("configurationDone")
        await client.answer(number)
        await client.output("the newest")


async def test_a_barrier_that_refuses_is_told_in_its_own_words(bench: Bench) -> None:
    async def barrier() -> None:
        raise RunError("model.py differs there", "changed by somebody", "choose one {of} them")

    session = await bench.start(barrier=barrier)
    async with DapClient.connected(session.port) as client:
        await client.ask("initialize", adapterID="python")
        with pytest.raises(DapFailure, match=r"model\.py differs there.*Choose one {of} them"):
            await client.ask("attach")
        await client.event("terminated")
        with pytest.raises(DapFailure, match="differs"):
            await client.ask("threads")
        await client.ask("disconnect")
    assert "model.py differs there" in await asyncio.wait_for(session.closed(), 10)
    await bench.nothing_is_left()


async def test_a_start_can_be_called_off_while_the_barrier_is_waited_for(bench: Bench) -> None:
    session = await bench.start(barrier=asyncio.Event().wait)  # type: ignore[arg-type]
    async with DapClient.connected(session.port) as client:
        await client.ask("initialize", adapterID="python")
        number = client.send("attach")
        await client.ask("disconnect")
        with pytest.raises(DapFailure, match="cancelled"):
            await client.answer(number)
    assert await asyncio.wait_for(session.closed(), 10) == ""


@pytest.mark.parametrize("way", ["disconnect", "terminate", "vanish", "close"])
async def test_however_the_client_ends_it_nothing_is_left_there(bench: Bench, way: str) -> None:
    bench.write(
        "main.py",
        "import subprocess, sys, time\n"
        # It keeps the program's stdout open, out of reach of a signal to the process group.
        "child = 'import os, time; os.setsid(); print(\"started\", flush=True); time.sleep(600)'\n"
        "subprocess.Popen([sys.executable, '-c', child])\n"
        "time.sleep(600)\n",
    )
    session = await bench.start()
    async with DapClient.connected(session.port) as client:
        number = await client.begin()
        await client.ask("configurationDone")
        await client.answer(number)
        await client.output("started")
        if way == "vanish":
            await client.close()
        elif way == "close":
            closing = asyncio.create_task(session.close("the hub ends"))
            await client.event("terminated")
            assert "the hub ends" in client.printed("important")
            await client.close()
            await closing
        else:
            # An editor that attached would leave the program running.
            await client.ask(way, **({"terminateDebuggee": False} if way == "disconnect" else {}))
            await client.event("terminated")
    await asyncio.wait_for(session.closed(), 10)
    await bench.nothing_is_left()


async def test_when_the_link_goes_the_client_is_told_and_nothing_is_left_there(
    bench: Bench,
) -> None:
    session = await bench.start()
    async with DapClient.connected(session.port) as client:
        frames = await client.stop_at(str(bench.here / "model.py"), SCORE)
        bench.transport.processes[-1].child.kill()
        await client.event("terminated")
        assert client.printed("important")
        with pytest.raises(DapFailure):
            await client.variables(frames[0])
    assert await asyncio.wait_for(session.closed(), 10) != ""
    await bench.nothing_is_left()


async def test_a_killed_program_ends_the_session(bench: Bench) -> None:
    session = await bench.start()
    async with DapClient.connected(session.port) as client:
        frames = await client.stop_at(str(bench.here / "model.py"), SCORE)
        expression = "__import__('os').kill(__import__('os').getpid(), 9)"
        client.send("evaluate", expression=expression, frameId=frames[0]["id"])
        await client.event("terminated")
    await asyncio.wait_for(session.closed(), 10)


# --- who may connect -------------------------------------------------------------------------


async def test_a_browsers_post_gets_nothing_and_does_not_use_up_the_session(bench: Bench) -> None:
    session = await bench.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", session.port)
    message = dap.encode(dap.request("initialize", {"adapterID": "x"}, seq=1))
    writer.write(b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n" + message)
    assert await _all(reader) == b""
    writer.close()
    async with DapClient.connected(session.port) as client:
        await client.ask("initialize", adapterID="python")


async def test_who_does_not_begin_with_initialize_gets_nothing(bench: Bench) -> None:
    session = await bench.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", session.port)
    writer.write(dap.encode(dap.request("attach", {}, seq=1)))
    assert await _all(reader) == b""
    writer.close()


async def test_where_the_token_is_asked_for_nobody_else_starts_the_program(bench: Bench) -> None:
    session = await bench.start(strict=True)
    async with DapClient.connected(session.port) as client:
        await client.ask("initialize", adapterID="python")
        with pytest.raises(DapFailure, match="another debug session"):
            await client.ask("attach")
    session = await bench.start(strict=True)
    async with DapClient.connected(session.port) as client:
        number = await client.begin(sidecarSession=session.token)
        await client.ask("configurationDone")
        await client.answer(number)
        await client.output("total 12")


async def test_there_is_one_client_and_no_second(bench: Bench) -> None:
    session = await bench.start()
    async with DapClient.connected(session.port) as client:
        early_reader, early = await asyncio.open_connection("127.0.0.1", session.port)
        await client.ask("initialize", adapterID="python")
        assert await _all(early_reader) == b""
        early.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", session.port)


async def _all(reader: asyncio.StreamReader) -> bytes:
    """What comes until the other side closes, however it does."""
    try:
        return await asyncio.wait_for(reader.read(), 10)
    except ConnectionResetError:
        return b""


# --- what cannot be debugged -----------------------------------------------------------------


async def test_a_file_outside_the_project_is_refused(bench: Bench) -> None:
    with pytest.raises(UsageError, match="not in the project"):
        await bench.start("/etc/passwd")


async def test_an_old_python_is_named_with_what_to_do(bench: Bench) -> None:
    with pytest.raises(RunError, match=r"/opt/py/bin/python is 3\.7\.2.*sidecar envs use"):
        await bench.start(interpreter="/opt/py/bin/python", version="3.7.2")


async def test_an_adapter_that_does_not_come_up_is_told_with_its_words(bench: Bench) -> None:
    with pytest.raises(RunError, match="could not be started"):
        await bench.start(interpreter="/bin/false")


async def test_when_the_adapter_is_killed_the_client_is_told_and_nothing_is_left(
    bench: Bench,
) -> None:
    session = await bench.start()
    async with DapClient.connected(session.port) as client:
        await client.stop_at(str(bench.here / "model.py"), SCORE)
        os.kill(session._adapter.stream.pid, 9)
        await client.event("terminated")
    await asyncio.wait_for(session.closed(), 10)
    await bench.nothing_is_left()
