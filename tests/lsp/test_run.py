"""Runs and debug sessions as an editor asks for them."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from tests.debug.client import DapClient
from tests.hub.laptop import Laptop, until_gone
from tests.lsp.editor import Editor
from tests.servers.box import Box


def said(editor: Editor, job: str, stream: str = "stdout") -> str:
    """What a job printed, joined."""
    parts = editor.told["sidecar/output"]
    return "".join(part.data for part in parts if (part.job, part.stream) == (job, stream))


async def test_output_streams_back_and_the_end_is_told(
    connected: Laptop, editor: Editor, box: Box
) -> None:
    path = connected.write("main.py", "import sys\nprint('héllo')\nprint('no', file=sys.stderr)\n")
    await editor.start()
    started = await editor.request("sidecar/run", target=str(path))
    assert started.host == "box"
    assert started.job in started.headline
    end = await editor.wait("sidecar/exited")
    assert (end.job, end.status) == (started.job, 0)
    assert said(editor, started.job) == "héllo\n"
    assert said(editor, started.job, "stderr") == "no\n"


async def test_a_run_right_behind_a_save_runs_what_was_saved(
    nearby: Laptop, editor: Editor
) -> None:
    path = nearby.write("main.py", "print(0)\n")
    await editor.start()
    await editor.ready()
    for number in range(1, 6):
        editor.save(path, f"print({number})\n")
        started = await editor.request("sidecar/run", target=str(path))
        await editor.wait("sidecar/exited", lambda end, job=started.job: end.job == job)
        assert said(editor, started.job) == f"{number}\n"


async def test_an_editor_is_asked_where_the_remote_does_not_have_what_is_here(
    nearby: Laptop, editor: Editor, embedded: Box
) -> None:
    path = nearby.write("main.py", "print('mine')\n")
    await editor.start()
    await editor.ready()
    there = embedded.home / "model" / "main.py"
    there.write_text("print('theirs')\n")
    with pytest.raises(JsonRpcException, match="--as-is"):  # the question is dismissed
        await editor.request("sidecar/run", target=str(path))
    editor.answers += ["Run what is there", "Push mine"]
    for printed in ("theirs", "mine"):
        started = await editor.request("sidecar/run", target=str(path))
        await editor.wait("sidecar/exited", lambda end, job=started.job: end.job == job)
        assert said(editor, started.job) == f"{printed}\n"
    assert len(editor.asked) == 3
    assert all("1 file on box is not as it is here" in question for question in editor.asked)


async def test_a_debugger_is_asked_the_same(nearby: Laptop, editor: Editor, embedded: Box) -> None:
    path = nearby.write("main.py", "print('mine')\n")
    await editor.start()
    await editor.ready()
    (embedded.home / "model" / "main.py").write_text("print('theirs')\n")
    editor.answers += ["Take theirs"]
    debug = await editor.request("sidecar/debug", target=str(path))
    async with DapClient.connected(debug.port) as debugger:
        await debugger.stop_at(str(path), 1)
        assert path.read_text() == "print('theirs')\n"
        await debugger.ask("continue", threadId=1)
    assert len(editor.asked) == 1


async def test_input_reaches_the_job_in_order_and_bytes_come_back_as_base64(
    nearby: Laptop, editor: Editor
) -> None:
    path = nearby.write("echo.py", "import sys\nsys.stdout.buffer.write(sys.stdin.buffer.read())\n")
    await editor.start()
    started = await editor.request("sidecar/run", target=str(path))
    pieces = [base64.b64encode(bytes([n, 255 - n])).decode() for n in range(50)]
    for piece in pieces:
        # Not awaited one by one: an editor types faster than a round trip.
        editor.client.protocol.send_request(
            "sidecar/input", {"job": started.job, "data": piece, "encoding": "base64"}
        )
    await editor.request("sidecar/input", job=started.job, eof=True)
    await editor.wait("sidecar/exited")
    data = b"".join(
        base64.b64decode(part.data) if part.encoding == "base64" else part.data.encode()
        for part in editor.told["sidecar/output"]
    )
    assert data == b"".join(bytes([n, 255 - n]) for n in range(50))


async def test_a_traceback_is_shown_where_it_is_and_goes_with_the_next_run(
    nearby: Laptop, editor: Editor
) -> None:
    path = nearby.write("main.py", "import lib\nlib.step()\n")
    lib = nearby.write("lib.py", "def step():\n    raise ValueError('no')\n")
    await editor.start()
    await editor.request("sidecar/run", target=str(path))
    end = await editor.wait("sidecar/exited")
    assert end.error == "ValueError: no"
    assert [(frame.path, frame.line) for frame in end.frames if frame.local] == [
        (str(path), 2),
        (str(lib), 2),
    ]
    shown = await editor.wait(
        types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS, lambda one: bool(one.diagnostics)
    )
    assert shown.uri == editor.uri(lib)
    assert shown.diagnostics[0].range.start.line == 1
    editor.told.clear()
    editor.save(lib, "def step():\n    pass\n")
    await editor.request("sidecar/run", target=str(path))
    gone = await editor.wait(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
    assert (gone.uri, len(gone.diagnostics)) == (editor.uri(lib), 0)


async def test_unsaved_changes_are_said_on_the_run(nearby: Laptop, editor: Editor) -> None:
    path = nearby.write("main.py", "print(1)\n")
    await editor.start()
    await editor.ready()
    editor.open(path)
    editor.client.text_document_did_change(
        types.DidChangeTextDocumentParams(
            types.VersionedTextDocumentIdentifier(2, editor.uri(path)),
            [types.TextDocumentContentChangeWholeDocument("print(2)\n")],
        )
    )
    started = await editor.request("sidecar/run", target=str(path))
    assert "not saved: main.py" in started.headline
    editor.save(path, "print(2)\n")
    started = await editor.request("sidecar/run", target=str(path))
    assert "not saved" not in started.headline


async def test_a_job_is_stopped(nearby: Laptop, editor: Editor) -> None:
    path = nearby.write("wait.py", "import time\nprint('x', flush=True)\ntime.sleep(60)\n")
    await editor.start()
    started = await editor.request("sidecar/run", target=str(path))
    await editor.wait("sidecar/output")
    await editor.request("sidecar/signal", job=started.job)
    end = await editor.wait("sidecar/exited")
    assert end.signal == "INT"


async def test_plain_lsp_is_enough(nearby: Laptop, editor: Editor) -> None:
    path = nearby.write("main.py", "print('one')\nprint('two')\nraise SystemExit(3)\n")
    await editor.start(knows_sidecar=False)
    result = await editor.command("sidecar.run", editor.uri(path))
    assert result.host == "box" if hasattr(result, "host") else result["host"] == "box"
    end = await editor.wait(
        types.WINDOW_SHOW_MESSAGE, lambda params: "ended with status 3" in params.message
    )
    assert end.type == types.MessageType.Error
    logged = "\n".join(params.message for params in editor.told[types.WINDOW_LOG_MESSAGE])
    assert "one\ntwo" in logged
    assert editor.told["sidecar/output"] == []
    assert editor.told["sidecar/didChangeStatus"] == []
    await editor.command("sidecar.sync")
    await editor.command("sidecar.showStatus")
    await editor.wait(types.WINDOW_SHOW_MESSAGE, lambda params: "box: ready" in params.message)
    with pytest.raises(JsonRpcException, match="There is no job"):
        await editor.command("sidecar.stop", {"job": "nothing"})


async def test_two_jobs_at_once_are_told_apart_and_a_slow_one_holds_up_nobody(
    nearby: Laptop, editor: Editor
) -> None:
    much = nearby.write("much.py", "print('x' * 20_000_000)\n")
    quick = nearby.write("quick.py", "print('quick')\n")
    await editor.start()
    await editor.ready()
    first = await editor.request("sidecar/run", target=str(much))
    second = await editor.request("sidecar/run", target=str(quick))
    await editor.wait("sidecar/exited", lambda end: end.job == second.job)
    await editor.wait("sidecar/exited", lambda end: end.job == first.job)
    parts = [part for part in editor.told["sidecar/output"] if part.job == first.job]
    assert parts[0].offset == 0
    torn = [pair for pair in itertools.pairwise(parts) if pair[0].end != pair[1].offset]
    assert [(one.offset, one.end, two.offset) for one, two in torn] == []
    assert {part.stream for part in parts} == {"stdout"}
    assert len(said(editor, first.job)) == 20_000_001
    assert said(editor, first.job) == "x" * 20_000_000 + "\n"


async def test_a_selection_runs_as_it_is_shown_in_an_editor_that_knows_only_lsp(
    nearby: Laptop, editor: Editor
) -> None:
    path = nearby.write("main.py", "raise SystemExit(9)\nx = 20\nx + 1\n")
    await editor.start(knows_sidecar=False)
    editor.open(path)
    await editor.wait(types.WORKSPACE_CODE_LENS_REFRESH)
    whole = types.TextDocumentContentChangeWholeDocument("y = 3\ny * 14\n1 / 0\n")
    document = types.VersionedTextDocumentIdentifier(2, editor.uri(path))
    editor.client.text_document_did_change(types.DidChangeTextDocumentParams(document, [whole]))

    async def run(first: int, last: int) -> None:
        # As the code action of a selection has it (test_lenses.py).
        await editor.command("sidecar.run", {"target": str(path), "first": first, "last": last})

    await run(1, 2)
    await editor.wait(types.WINDOW_LOG_MESSAGE, lambda params: params.message == "42")
    await run(3, 3)
    shown = await editor.wait(
        types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS, lambda params: params.diagnostics != []
    )
    assert shown.uri == editor.uri(path)
    assert shown.diagnostics[0].range.start.line == 2
    assert "ZeroDivisionError" in shown.diagnostics[0].message


async def test_a_frozen_runs_traceback_leads_to_the_files_here(
    nearby: Laptop, editor: Editor
) -> None:
    path = nearby.write("main.py", "import lib\nlib.step()\n")
    lib = nearby.write("lib.py", "def step():\n    raise ValueError('no')\n")
    await editor.start()
    started = await editor.request("sidecar/run", target=str(path), frozen=True)
    assert [folder.here for folder in started.folders] == [str(nearby.project)] * 2
    end = await editor.wait("sidecar/exited")
    assert [(frame.path, frame.line, frame.local) for frame in end.frames] == [
        (str(path), 2, True),
        (str(lib), 2, True),
    ]


class Debugger:
    """A DAP client, as small as can be."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._number = 0

    def send(self, command: str, **arguments: Any) -> None:
        self._number += 1
        body = json.dumps(
            {"seq": self._number, "type": "request", "command": command, "arguments": arguments}
        ).encode()
        self._writer.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)

    async def wait(self, kind: str, name: str) -> Any:
        while True:
            header = await self._reader.readuntil(b"\r\n\r\n")
            body = await self._reader.readexactly(int(header.split(b":")[1]))
            message = json.loads(body)
            if message["type"] == kind and message[{"event": "event"}.get(kind, "command")] == name:
                return message.get("body")

    def close(self) -> None:
        self._writer.close()


async def test_a_breakpoint_in_a_local_file_hits_there(
    connected: Laptop, editor: Editor, box: Box
) -> None:
    path = connected.write("main.py", "x = 41\nx += 1\nprint(x)\n")
    await editor.start()
    started = await editor.request("sidecar/debug", target=str(path))
    assert started.configuration.port == started.port
    debugger = Debugger(*await asyncio.open_connection("127.0.0.1", started.port))

    async def session() -> None:
        debugger.send("initialize", adapterID="sidecar", pathFormat="path")
        await debugger.wait("response", "initialize")
        debugger.send("attach")
        await debugger.wait("event", "initialized")
        debugger.send("setBreakpoints", source={"path": str(path)}, breakpoints=[{"line": 3}])
        await debugger.wait("response", "setBreakpoints")
        debugger.send("configurationDone")
        stopped = await debugger.wait("event", "stopped")
        debugger.send("stackTrace", threadId=stopped["threadId"])
        frame = (await debugger.wait("response", "stackTrace"))["stackFrames"][0]
        assert (frame["source"]["path"], frame["line"]) == (str(path), 3)
        debugger.send("evaluate", expression="x", frameId=frame["id"])
        assert (await debugger.wait("response", "evaluate"))["result"] == "42"
        debugger.send("continue", threadId=stopped["threadId"])
        await debugger.wait("event", "terminated")
        debugger.send("disconnect")

    await asyncio.wait_for(session(), 40)
    debugger.close()
    end = await editor.wait("sidecar/debugEnded")
    assert end.port == started.port


async def test_a_breakpoint_in_a_test_hits_there(nearby: Laptop, editor: Editor) -> None:
    nearby.configure(
        (nearby.project / "sidecar.local.toml").read_text() + f'python = "{sys.executable}"\n'
    )
    path = nearby.write(
        "tests/test_x.py",
        "def test_other():\n    assert 0\n\ndef test_it():\n    x = 41\n    assert x\n",
    )
    await editor.start()
    started = await editor.request("sidecar/debug", target=f"{path}::test_it")
    debugger = Debugger(*await asyncio.open_connection("127.0.0.1", started.port))

    async def session() -> None:
        debugger.send("initialize", adapterID="sidecar", pathFormat="path")
        await debugger.wait("response", "initialize")
        debugger.send("attach")
        await debugger.wait("event", "initialized")
        debugger.send("setBreakpoints", source={"path": str(path)}, breakpoints=[{"line": 6}])
        await debugger.wait("response", "setBreakpoints")
        debugger.send("configurationDone")
        stopped = await debugger.wait("event", "stopped")
        debugger.send("stackTrace", threadId=stopped["threadId"])
        frame = (await debugger.wait("response", "stackTrace"))["stackFrames"][0]
        assert (frame["source"]["path"], frame["line"], frame["name"]) == (str(path), 6, "test_it")
        debugger.send("continue", threadId=stopped["threadId"])
        await debugger.wait("event", "terminated")
        debugger.send("disconnect")

    await asyncio.wait_for(session(), 60)
    debugger.close()
    await editor.wait("sidecar/debugEnded")


async def test_a_debug_session_ends_with_its_editor(nearby: Laptop, editor: Editor) -> None:
    path = nearby.write("main.py", "print(1)\n")
    await editor.start()
    started = await editor.request("sidecar/debug", target=str(path))
    hub = nearby.hub_pid()
    await editor.quit()
    until_gone(hub)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", started.port)


async def test_a_file_outside_of_any_project_is_refused(
    nearby: Laptop, editor: Editor, tmp_path: Path
) -> None:
    await editor.start()
    with pytest.raises(JsonRpcException, match="belongs to no project"):
        await editor.command("sidecar.run", str(tmp_path / "x.py"))


async def test_a_quit_editor_ends_its_jobs_where_that_is_wanted_and_a_killed_one_never(
    nearby: Laptop, editor: Editor
) -> None:
    settings = nearby.project / "sidecar.local.toml"
    settings.write_text(settings.read_text() + 'on_quit = "stop"\n')
    path = nearby.write("wait.py", "import time\nprint('x', flush=True)\ntime.sleep(300)\n")
    await editor.start()
    await editor.request("sidecar/run", target=str(path))
    await editor.wait("sidecar/output")
    editor.process.kill()
    await editor.exited()
    (job,) = await asyncio.to_thread(listed, nearby)
    assert job["state"] == "running"
    assert (await asyncio.to_thread(nearby.sidecar, "stop")).returncode == 0

    second = Editor(nearby)
    await second.start()
    started = await second.request("sidecar/run", target=str(path))
    await second.wait("sidecar/output")
    assert await second.quit() == 0
    await second.end()

    def over() -> dict[str, Any]:
        while (job := listed(nearby)[0])["state"] == "running":
            pass  # each look takes a while, and there is a deadline on the test's side
        return job

    job = await asyncio.wait_for(asyncio.to_thread(over), 30.0)
    assert (job["id"], job["signal"]) == (started.job, "INT")


async def test_an_editor_is_told_what_runs_there_from_earlier_sessions(
    nearby: Laptop, editor: Editor
) -> None:
    nearby.write("wait.py", "import time\ntime.sleep(300)\n")
    assert (await asyncio.to_thread(nearby.sidecar, "run", "-d", "wait.py")).returncode == 0
    await editor.start()
    told = await editor.wait(
        types.WINDOW_SHOW_MESSAGE, lambda params: "still running" in params.message
    )
    assert told.message.startswith("1 job still running on box, for ")
    assert (await asyncio.to_thread(nearby.sidecar, "stop")).returncode == 0


def listed(laptop: Laptop) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(laptop.sidecar("jobs", "--json").stdout)
    return found
