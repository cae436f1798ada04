"""What is to be decided, in an editor that knows nothing but LSP."""

from __future__ import annotations

import ast
import os
import pwd
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types

from tests.hub.laptop import Laptop
from tests.lsp.editor import Editor
from tests.servers.box import Box

DIAGNOSTICS = types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS
ME = pwd.getpwuid(os.getuid()).pw_name


@pytest.fixture
def there(embedded: Box) -> Path:
    return embedded.home / "model"


async def in_conflict(editor: Editor, laptop: Laptop, there: Path) -> types.Diagnostic:
    """`a.py` was changed on both sides, and the editor shows it."""
    file = laptop.write("a.py", "one\n")
    await editor.start()
    await editor.ready()
    editor.open(file)
    (there / "a.py").write_text("theirs\n")
    editor.save(file, "mine\n")
    told = await editor.wait(
        DIAGNOSTICS,
        lambda one: (
            one.uri == editor.uri(file) and any(ME in single.message for single in one.diagnostics)
        ),
    )
    [diagnostic] = told.diagnostics
    assert isinstance(diagnostic, types.Diagnostic)
    return diagnostic


async def actions(editor: Editor, file: Path, *shown: types.Diagnostic) -> dict[str, Any]:
    place = types.Range(types.Position(0, 0), types.Position(0, 0))
    found = await editor.within(
        editor.client.text_document_code_action_async(
            types.CodeActionParams(
                types.TextDocumentIdentifier(editor.uri(file)),
                place,
                types.CodeActionContext(list(shown)),
            )
        )
    )
    return {one.title.partition(" (")[0]: one for one in found or []}


async def do(editor: Editor, action: Any) -> Any:
    # lsprotocol takes any action with a command for a bare command, and its command for text.
    command = ast.literal_eval(action.command)
    return await editor.command(command["command"], *command["arguments"])


async def test_a_conflict_says_who_and_when_and_offers_the_ways_out(
    nearby: Laptop, editor: Editor, there: Path
) -> None:
    diagnostic = await in_conflict(editor, nearby, there)
    assert diagnostic.severity == types.DiagnosticSeverity.Warning
    assert diagnostic.message.startswith("conflict with box: changed both here and on the remote")
    assert f"by {ME}" in diagnostic.message
    assert "here " in diagnostic.message
    file = nearby.project / "a.py"
    found = await actions(editor, file, diagnostic)
    assert list(found)[:4] == ["Keep local", "Keep remote", "Keep both", "Show difference"]


@pytest.mark.parametrize(
    ("title", "here", "on_the_remote"),
    [
        ("Keep local", "mine\n", "mine\n"),
        ("Keep remote", "theirs\n", "theirs\n"),
        ("Keep both", "mine\n", "mine\n"),
    ],
)
async def test_an_action_settles_it_and_the_note_goes(
    nearby: Laptop, editor: Editor, there: Path, title: str, here: str, on_the_remote: str
) -> None:
    diagnostic = await in_conflict(editor, nearby, there)
    file = nearby.project / "a.py"
    result = await do(editor, (await actions(editor, file, diagnostic))[title])
    assert [one["path"] for one in result["done"]] == ["a.py"]
    assert (file.read_text(), (there / "a.py").read_text()) == (here, on_the_remote)
    await editor.wait(DIAGNOSTICS, lambda one: one.uri == editor.uri(file) and not one.diagnostics)
    assert await actions(editor, file) == {}
    if title == "Keep both":
        assert (nearby.project / "a.remote-box.py").read_text() == "theirs\n"


async def test_the_difference_is_shown_as_a_document(
    nearby: Laptop, editor: Editor, there: Path
) -> None:
    shown: list[str] = []

    def show(params: types.ShowDocumentParams) -> types.ShowDocumentResult:
        shown.append(Path(params.uri.removeprefix("file://")).read_text())
        return types.ShowDocumentResult(True)

    editor.client.feature(types.WINDOW_SHOW_DOCUMENT)(show)
    diagnostic = await in_conflict(editor, nearby, there)
    found = await actions(editor, nearby.project / "a.py", diagnostic)
    result = await do(editor, found["Show difference"])
    [text] = shown
    assert "-mine\n+theirs\n" in text
    assert result["text"] == text


async def test_a_file_of_which_nothing_is_to_be_decided_has_no_such_actions(
    nearby: Laptop, editor: Editor
) -> None:
    file = nearby.write("a.py", "one\n")
    await editor.start()
    await editor.ready()
    editor.open(file)
    assert await actions(editor, file) == {}


async def test_undo_and_why_are_commands(nearby: Laptop, editor: Editor, there: Path) -> None:
    file = nearby.write("a.py", "one\n")
    await editor.start()
    await editor.ready()
    editor.save(file, "two\n")
    await editor.wait("sidecar/synced")
    result = await editor.command("sidecar.undo", {"paths": [str(file)]})
    assert [one["side"] for one in result["restored"]] == ["remote"]
    assert (there / "a.py").read_text() == "one\n"
    result = await editor.command("sidecar.why", str(file))
    assert (result["synced"], result["managed"]) == (True, True)
    assert result["note"]["kind"] == "newer-there"
