"""Rewriting, by a table, and over a session of debugpy 1.8.22 as it was recorded
(data/session.jsonl: an editor in /home/me/proj, the program in /gpfs/me/proj)."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from sidecar.core.pathmap import PathMap
from sidecar.debug import dap, rewrite
from sidecar.debug.dap import Message

HERE, THERE = "/home/me/proj", "/gpfs/me/proj"
MAP = PathMap([HERE], [THERE])

RECORDED = [
    json.loads(line)
    for line in (Path(__file__).parent / "data" / "session.jsonl").read_text().splitlines()
]
FROM_DEBUGPY = [row["message"] for row in RECORDED if row["from"] == "debugpy"]


def source(path: str, reference: int = 0) -> Message:
    return {"name": path.rpartition("/")[2], "path": path, "sourceReference": reference}


# --- editor to debugpy -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "command", ["setBreakpoints", "gotoTargets", "breakpointLocations", "source"]
)
def test_requests_that_name_a_source_name_the_remote_one(command: str) -> None:
    sent = dap.request(command, {"source": source(f"{HERE}/a.py"), "line": 3})
    before = copy.deepcopy(sent)
    changed = rewrite.request_to_remote(sent, MAP)
    assert changed["arguments"] == {"source": source(f"{THERE}/a.py"), "line": 3}
    assert sent == before


@pytest.mark.parametrize(
    "arguments",
    [
        {"source": source("/opt/py/lib/json/__init__.py", 4), "line": 3},
        {"source": {"name": "<cell>", "sourceReference": 9}},
        {"source": {"path": 7}},
        {"source": None},
        {"source": []},
        {},
    ],
)
def test_requests_about_other_sources_stay_as_they_are(arguments: Message) -> None:
    sent = dap.request("setBreakpoints", arguments)
    assert rewrite.request_to_remote(sent, MAP) == sent


def test_an_editor_that_leaves_takes_the_program_along() -> None:
    sent = dap.request("disconnect", {"restart": False, "terminateDebuggee": False})
    assert rewrite.request_to_remote(sent, MAP)["arguments"] == {
        "restart": False,
        "terminateDebuggee": True,
    }


def test_an_editor_that_leaves_what_it_attached_to_may_leave_it_running() -> None:
    sent = dap.request("disconnect", {"terminateDebuggee": False})
    assert rewrite.request_to_remote(sent, MAP, owned=False) == sent


def test_debugpy_is_told_what_we_can_do_and_not_what_the_editor_can() -> None:
    offers = {"supportsRunInTerminalRequest": False, "supportsArgsCanBeInterpretedByShell": True}
    said = rewrite.initialize({"adapterID": "python", "supportsVariableType": True, **offers})
    assert said == {
        "adapterID": "python",
        "pathFormat": "path",
        "supportsVariableType": True,
        "supportsRunInTerminalRequest": True,
        "supportsStartDebuggingRequest": True,
    }


def test_expressions_are_not_touched() -> None:
    sent = dap.request("evaluate", {"expression": f"open('{HERE}/a.txt')", "context": "repl"})
    assert rewrite.request_to_remote(sent, MAP) == sent


# --- debugpy to editor -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "body"),
    [
        ("stackTrace", {"stackFrames": [{"id": 1, "source": source("ROOT/a.py")}]}),
        ("setBreakpoints", {"breakpoints": [{"id": 0, "source": source("ROOT/a.py")}]}),
        ("setFunctionBreakpoints", {"breakpoints": [{"source": source("ROOT/a.py")}]}),
        ("loadedSources", {"sources": [source("ROOT/a.py"), source("/usr/b.py", 3)]}),
        ("scopes", {"scopes": [{"name": "Locals", "source": source("ROOT/a.py")}]}),
        ("modules", {"modules": [{"id": 0, "path": "ROOT/a.py"}, {"id": 1, "name": "sys"}]}),
        ("gotoTargets", {"targets": [{"id": 0, "label": "ROOT/a.py:3", "line": 3}]}),
        (
            "exceptionInfo",
            {
                "details": {
                    "source": "ROOT/a.py",
                    "stackTrace": 'Traceback\n  File "ROOT/a.py", line 3, in f\n    x = "ROOT/a.py"'
                    '\n  File "/usr/b.py", line 1, in g\n'.replace('x = "ROOT', 'x = "/keep'),
                    "innerException": [{"source": "ROOT/b.py", "innerException": []}],
                }
            },
        ),
    ],
)
def test_answers_name_local_paths(command: str, body: Message) -> None:
    there = json.loads(json.dumps(body).replace("ROOT", THERE))
    here = json.loads(json.dumps(body).replace("ROOT", HERE))
    answer = dap.success(7, command, there)
    before = copy.deepcopy(answer)
    assert rewrite.response_to_client(answer, MAP) == dap.success(7, command, here)
    assert answer == before


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("output", {"category": "stdout", "output": "x", "source": source("ROOT/a.py")}),
        ("breakpoint", {"reason": "changed", "breakpoint": {"source": source("ROOT/a.py")}}),
        ("loadedSource", {"reason": "new", "source": source("ROOT/a.py")}),
        ("module", {"reason": "new", "module": {"id": 0, "path": "ROOT/a.py"}}),
    ],
)
def test_events_name_local_paths(name: str, body: Message) -> None:
    there = json.loads(json.dumps(body).replace("ROOT", THERE))
    here = json.loads(json.dumps(body).replace("ROOT", HERE))
    assert rewrite.event_to_client(dap.event(name, there), MAP) == dap.event(name, here)


def test_a_programs_output_is_never_changed() -> None:
    text = f'  File "{THERE}/a.py", line 1, in f\n'
    said = dap.event("output", {"category": "stderr", "output": text})
    assert rewrite.event_to_client(said, MAP) == said


def test_the_process_is_known_to_run_elsewhere() -> None:
    body = {"name": f"{THERE}/a.py", "systemProcessId": 7, "isLocalProcess": True}
    event = rewrite.event_to_client(dap.event("process", body), MAP)
    assert event is not None
    assert event["body"] == {"name": f"{HERE}/a.py", "systemProcessId": 7, "isLocalProcess": False}


@pytest.mark.parametrize(
    "event",
    [
        dap.event("debugpySockets", {"sockets": []}),
        dap.event("debugpyAttach", {"connect": {"host": "127.0.0.1", "port": 1}}),
        dap.event("debugpyWaitingForServer", {"host": "127.0.0.1", "port": 1}),
        dap.event("output", {"category": "telemetry", "output": "debugpy"}),
        dap.event("somethingNew"),
    ],
)
def test_what_would_make_an_editor_act_does_not_pass(event: Message) -> None:
    assert rewrite.event_to_client(event, MAP) is None


def test_a_source_of_the_project_is_read_here_whatever_the_remote_says() -> None:
    body = {"stackFrames": [{"source": source(f"{THERE}/a.py", 12)}]}
    answer = rewrite.response_to_client(dap.success(1, "stackTrace", body), MAP)
    assert answer["body"]["stackFrames"][0]["source"] == source(f"{HERE}/a.py", 0)


@pytest.mark.parametrize("command", [*rewrite._RESPONSE_SOURCES, "modules", "exceptionInfo"])
@pytest.mark.parametrize("body", [{}, {"stackFrames": None}, {"breakpoints": [None, 3, {}]}])
def test_answers_of_another_shape_pass_as_they_are(command: str, body: Message) -> None:
    answer = dap.success(1, command, body)
    assert rewrite.response_to_client(answer, MAP) == answer


def test_exceptions_that_cause_each_other_without_end_end() -> None:
    deep: dict[str, Any] = {"source": f"{THERE}/a.py"}
    for _ in range(300):
        deep = {"source": f"{THERE}/a.py", "innerException": [deep]}
    answer = rewrite.response_to_client(dap.success(1, "exceptionInfo", {"details": deep}), MAP)
    assert answer["body"]["details"]["source"] == f"{HERE}/a.py"


# --- the recorded session --------------------------------------------------------------------


def to_client(message: Message) -> Message | None:
    if message["type"] == "event":
        return rewrite.event_to_client(message, MAP)
    return rewrite.response_to_client(message, MAP)


def test_in_a_whole_session_only_values_and_output_still_name_remote_paths() -> None:
    kept = [message for message in map(to_client, FROM_DEBUGPY) if message is not None]
    remote = [message for message in kept if THERE in json.dumps(message)]
    assert [message.get("command") or message["event"] for message in remote] == [
        "evaluate",
        "output",
    ]
    assert len([message for message in kept if HERE in json.dumps(message)]) >= 10


def test_in_a_whole_session_nothing_but_paths_changes() -> None:
    for message in FROM_DEBUGPY:
        changed = to_client(message)
        if changed is None or message.get("event") == "process":
            continue
        output = message.get("event") == "output" or message.get("command") == "evaluate"
        text = json.dumps(message)
        assert json.dumps(changed) == (text if output else text.replace(THERE, HERE))


def test_what_an_editor_sent_is_what_debugpy_got() -> None:
    for row in RECORDED:
        message = row["message"]
        if row["from"] == "editor" and message["command"] not in ("launch", "disconnect"):
            local = json.loads(json.dumps(message).replace(THERE, HERE))
            assert rewrite.request_to_remote(local, MAP) == message
