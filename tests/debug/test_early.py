"""What an editor is told before debugpy is there, and how it is corrected."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.debug import dap, early
from sidecar.debug.dap import Message
from sidecar.debug.early import Early

RECORDED = [
    json.loads(line)["message"]
    for line in (Path(__file__).parent / "data" / "session.jsonl").read_text().splitlines()
]


def told(session: Early, command: str, **arguments: Any) -> Message:
    answer = session.answer(dap.request(command, arguments, seq=5))
    assert answer is not None
    assert (answer["request_seq"], answer["command"]) == (5, command)
    body: Message = answer["body"]
    return body


def test_initialize_is_answered_as_the_debugpy_that_we_send_answers_it() -> None:
    (answer,) = [one for one in RECORDED if one.get("command") == "initialize" and "body" in one]
    assert answer["body"] == early.CAPABILITIES


def test_breakpoints_are_taken_as_unverified_with_their_lines_and_source() -> None:
    source = {"path": "/here/a.py"}
    body = told(Early(), "setBreakpoints", source=source, breakpoints=[{"line": 3}, {"line": 7}])
    assert [(one["line"], one["verified"]) for one in body["breakpoints"]] == [
        (3, False),
        (7, False),
    ]
    assert len({one["id"] for one in body["breakpoints"]}) == 2
    assert all(one["source"] == source for one in body["breakpoints"])


def test_a_later_word_about_a_file_replaces_the_earlier_one() -> None:
    session = Early()
    for line in (1, 2):
        told(session, "setBreakpoints", source={"path": "/a.py"}, breakpoints=[{"line": line}])
    told(session, "setBreakpoints", source={"path": "/b.py"}, breakpoints=[{"line": 9}])
    told(session, "setFunctionBreakpoints", breakpoints=[{"name": "f"}])
    told(session, "setExceptionBreakpoints", filters=["raised"])
    assert [one["arguments"].get("breakpoints") for one in session.replay()] == [
        [{"line": 2}],
        [{"line": 9}],
        [{"name": "f"}],
        None,
    ]


def test_debugpys_answer_becomes_events_about_the_ids_that_the_editor_knows() -> None:
    session = Early()
    wanted = [{"line": 3}, {"line": 7}]
    body = told(session, "setBreakpoints", source={"path": "/a.py"}, breakpoints=wanted)
    first, second = (one["id"] for one in body["breakpoints"])
    found = [{"id": 0, "verified": True, "line": 4}, {"id": 1, "verified": False, "message": "no"}]
    (request,) = session.replay()
    events = session.corrected(request, dap.success(1, "setBreakpoints", {"breakpoints": found}))
    assert [event["body"]["breakpoint"] for event in events] == [
        {"id": first, "verified": True, "line": 4},
        {"id": second, "verified": False, "message": "no"},
    ]
    assert all(event["body"]["reason"] == "changed" for event in events)

    moved = {"reason": "changed", "breakpoint": {"id": 1, "verified": True}}
    assert session.as_told(dap.event("breakpoint", moved))["body"]["breakpoint"]["id"] == second
    stopped = session.as_told(dap.event("stopped", {"hitBreakpointIds": [0, 8]}))
    assert stopped["body"]["hitBreakpointIds"] == [first, 8]


def test_breakpoints_that_debugpy_refuses_are_told_as_such() -> None:
    session = Early()
    told(session, "setBreakpoints", source={"path": "/a.py"}, breakpoints=[{"line": 1}])
    (request,) = session.replay()
    (event,) = session.corrected(request, dap.failure(1, "setBreakpoints", "no such file"))
    assert event["body"]["breakpoint"]["verified"] is False
    assert event["body"]["breakpoint"]["message"] == "no such file"


@pytest.mark.parametrize("command", ["threads", "evaluate", "continue", "source"])
def test_what_only_debugpy_knows_waits_for_it(command: str) -> None:
    assert Early().answer(dap.request(command, {}, seq=1)) is None


def test_files_with_breakpoints_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(early, "MAX_SOURCES", 2)
    session = Early()
    for name in ("a", "b"):
        told(session, "setBreakpoints", source={"path": name}, breakpoints=[])
    more = dap.request("setBreakpoints", {"source": {"path": "c"}}, seq=1)
    answer = session.answer(more)
    assert answer is not None
    assert answer["success"] is False


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
NAMES = st.sampled_from(["source", "breakpoints", "lines", "filters", "path"])


@given(
    st.sampled_from(["setBreakpoints", "setFunctionBreakpoints", "setExceptionBreakpoints"]),
    st.dictionaries(NAMES, JSON),
    st.dictionaries(NAMES, JSON),
)
def test_whatever_either_side_says_is_answered(
    command: str, arguments: Message, answer: Message
) -> None:
    session = Early()
    request = dap.request(command, arguments, seq=1)
    assert session.answer(request) is not None
    for replayed in session.replay():
        session.corrected(replayed, dap.success(1, command, answer))
    session.as_told(dap.event("breakpoint", answer))
    session.as_told(dap.event("stopped", answer))
