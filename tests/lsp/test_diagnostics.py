from __future__ import annotations

import pytest
from lsprotocol import types

from sidecar import api
from sidecar.lsp import failed as failures
from sidecar.lsp.commands import COMMANDS
from sidecar.lsp.diagnostics import Board


class Editor:
    """What an editor shows: the last diagnostics of each file."""

    def __init__(self) -> None:
        self.shown: dict[str, list[types.Diagnostic]] = {}
        self.told = 0
        self.board = Board(self._publish, lambda path, line: 7)

    def _publish(self, params: types.PublishDiagnosticsParams) -> None:
        self.told += 1
        self.shown[params.uri] = list(params.diagnostics)

    def messages(self, uri: str) -> list[str]:
        return [one.message for one in self.shown.get(uri, [])]


def frame(path: str, line: int, *, local: bool = True) -> api.Frame:
    return api.Frame(path=path, line=line, name="step", local=local)


def failed(*frames: api.Frame) -> api.Exited:
    return api.Exited(job="j", host="gpu1", status=1, error="ValueError: no", frames=list(frames))


def test_a_traceback_is_shown_at_its_innermost_frame_that_is_here() -> None:
    editor = Editor()
    editor.board.traceback(
        failed(frame("/p/a.py", 3), frame("/p/b.py", 9), frame("/lib/x.py", 1, local=False))
    )
    assert list(editor.shown) == ["file:///p/b.py"]
    (shown,) = editor.shown["file:///p/b.py"]
    assert shown.message == "ValueError: no"
    assert (shown.range.start.line, shown.range.end.character) == (8, 7)
    (related,) = shown.related_information or []
    assert (related.location.uri, related.location.range.start.line) == ("file:///p/a.py", 2)


def test_the_job_is_known_in_the_file_that_its_traceback_is_shown_in() -> None:
    editor = Editor()
    assert editor.board.failed_in("file:///p/b.py") == ("", "")
    editor.board.traceback(failed(frame("/p/a.py", 3), frame("/p/b.py", 9)))
    assert editor.board.failed_in("file:///p/b.py") == ("j", "gpu1")
    assert editor.board.failed_in("file:///p/a.py") == ("", "")
    editor.board.traceback(None)
    assert editor.board.failed_in("file:///p/b.py") == ("", "")


@pytest.mark.parametrize(
    ("only", "offered"),
    [
        (None, True),
        ([""], True),
        (["source"], True),
        (["source.sidecar"], True),
        (["source.sidecar.debugLastFailure"], True),
        (["source.sidecar.run"], False),
        (["quickfix"], False),
    ],
)
def test_there_it_can_be_debugged(only: list[str] | None, offered: bool) -> None:
    actions = failures.actions("j", "gpu1", "/p/b.py", only)
    assert [action.title for action in actions] == ["Debug last failure on gpu1"] * offered
    for action in actions:
        assert action.command is not None
        assert action.command.command in COMMANDS
        assert action.command.arguments == [{"job": "j", "host": "gpu1", "path": "/p/b.py"}]


def test_every_failed_test_is_shown_where_it_failed() -> None:
    editor = Editor()
    failures = [
        api.Failure(
            error="E: one", message="E: one\nmore", frames=[frame("/p/a.py", 3)], test="t1"
        ),
        api.Failure(error="E: led", frames=[frame("/p/a.py", 5)], kind="chained"),
        api.Failure(error="E: two", frames=[frame("/p/b.py", 4)], test="t2"),
        api.Failure(error="E: two", frames=[frame("/p/b.py", 4)], test="t2"),
        api.Failure(error="E: no", frames=[frame("/p/b.py", 9)], kind="ignored"),
        api.Failure(error="KeyboardInterrupt", frames=[frame("/p/b.py", 9)]),
    ]
    end = api.Exited(
        job="j",
        host="gpu1",
        status=1,
        error="E: two",
        frames=failures[2].frames,
        failures=failures,
        advice="x exists here",
    )
    editor.board.traceback(end)
    assert editor.messages("file:///p/a.py") == [
        "t1: E: one\nmore",
        "E: led\n(another exception followed from it)",
    ]
    assert editor.messages("file:///p/b.py") == ["t2: E: two\nx exists here"]
    severities = [one.severity for one in editor.shown["file:///p/a.py"]]
    assert severities == [types.DiagnosticSeverity.Error, types.DiagnosticSeverity.Information]


def test_the_next_run_takes_the_old_traceback_away() -> None:
    editor = Editor()
    editor.board.traceback(failed(frame("/p/a.py", 3)))
    editor.board.traceback(None)
    assert editor.messages("file:///p/a.py") == []


def test_conflicts_and_tracebacks_of_one_file_stand_side_by_side() -> None:
    editor = Editor()
    note = api.PathNote(path="a.py", kind="conflict", text="changed on both sides")
    editor.board.notes("/p", "gpu1", [note])
    editor.board.traceback(failed(frame("/p/a.py", 3)))
    assert len(editor.messages("file:///p/a.py")) == 2
    editor.board.notes("/p", "gpu1", [])
    assert editor.messages("file:///p/a.py") == ["ValueError: no"]


def test_what_is_shown_already_is_not_told_again() -> None:
    editor = Editor()
    note = api.PathNote(path="a.py", kind="conflict", text="changed on both sides")
    editor.board.notes("/p", "gpu1", [note])
    editor.board.notes("/p", "gpu1", [note])
    assert editor.told == 1
