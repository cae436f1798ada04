"""The folder there holds something already: nothing is written before somebody decides."""

from __future__ import annotations

from pathlib import Path

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from tests.debug.client import DapClient, DapFailure
from tests.hub.laptop import Laptop
from tests.lsp.editor import Editor
from tests.servers.box import Box


@pytest.fixture
def there(nearby: Laptop, embedded: Box) -> Path:
    """A folder there: a file that is the same, one that differs, and files of its own."""
    there = embedded.home / "model"
    for path, text in {
        "same.py": "same\n",
        "a.py": "theirs\n",
        "runs/1/log.txt": "epoch 1\n",
        "notes.md": "mine alone\n",
    }.items():
        (there / path).parent.mkdir(parents=True, exist_ok=True)
        (there / path).write_text(text)
    nearby.write("same.py", "same\n")
    nearby.write("a.py", "mine\n")
    nearby.write("new.py", "new\n")
    return there


def contents(there: Path) -> dict[str, str]:
    return {
        str(path.relative_to(there)): path.read_text()
        for path in there.rglob("*")
        if path.is_file() and ".sidecar" not in path.parts
    }


def test_a_shell_is_told_what_differs_and_how_to_decide(nearby: Laptop, there: Path) -> None:
    before = contents(there)
    for command, status in ((("sync",), 1), (("run", "a.py"), 125)):
        done = nearby.sidecar(*command)
        assert done.returncode == status
        assert done.stderr.count("sidecar: ") == 1
        for word in ("already holds something", "nothing was written", "1 equal", "1 different"):
            assert word in done.stderr
        assert "(a.py: 5 B here, 7 B there)" in done.stderr
        assert "2 only there (notes.md; runs/)" in done.stderr
        assert "--prefer local" in done.stderr
    assert contents(there) == before
    assert not (there / ".sidecar").exists()

    planned = nearby.sidecar("sync", "-n", "--prefer", "local")
    assert planned.returncode == 0, planned.stderr
    assert contents(there) == before
    assert not (there / ".sidecar").exists()

    done = nearby.sidecar("sync", "--prefer", "local")
    assert done.returncode == 0, done.stderr
    assert contents(there) == {**before, "a.py": "mine\n", "new.py": "new\n"}
    # What was written over is kept.
    kept = [path.read_text() for path in (there / ".sidecar/trash").rglob("*") if path.is_file()]
    assert "theirs\n" in kept
    assert nearby.sidecar("sync").returncode == 0
    assert nearby.sidecar("run", "sh", "-c", "cat a.py").stdout == "mine\n"


def test_theirs_may_be_preferred(nearby: Laptop, there: Path) -> None:
    before = contents(there)
    done = nearby.sidecar("sync", "--prefer", "remote")
    assert done.returncode == 0, done.stderr
    assert contents(there) == {**before, "new.py": "new\n"}
    assert (nearby.project / "a.py").read_text() == before["a.py"]


async def test_an_editor_sees_a_question_as_a_state_and_saves_wait(
    nearby: Laptop, editor: Editor, there: Path
) -> None:
    before = contents(there)
    await editor.start()
    state = await editor.wait("sidecar/didChangeStatus", lambda one: one.state == "question")
    assert "already holds something" in state.text
    assert "--prefer local" in state.fix
    editor.save(nearby.project / "a.py", "mine, saved\n")
    status = await editor.request("sidecar/status")
    assert status.sessions[0].state == "question"
    assert editor.asked == []
    # What the person does may be answered by a question; dismissed, it changes nothing.
    with pytest.raises(JsonRpcException, match="already holds something"):
        await editor.request("sidecar/sync")
    assert len(editor.asked) == 1
    assert contents(there) == before
    assert not (there / ".sidecar").exists()
    # Decided from a shell, while the editor looks on.
    assert nearby.sidecar("sync", "--prefer", "local").returncode == 0
    await editor.ready()
    assert contents(there) == {**before, "a.py": "mine, saved\n", "new.py": "new\n"}
    editor.save(nearby.project / "new.py", "newer\n")
    await editor.wait("sidecar/synced", lambda note: "new.py" in note.paths)
    assert (there / "new.py").read_text() == "newer\n"


async def test_an_editors_person_may_answer_the_question(
    nearby: Laptop, editor: Editor, there: Path
) -> None:
    await editor.start()
    await editor.wait("sidecar/didChangeStatus", lambda one: one.state == "question")
    editor.answers = ["Push mine (theirs to the trash)"]
    await editor.request("sidecar/sync")
    assert (there / "a.py").read_text() == "mine\n"


async def test_an_edit_on_the_remote_is_shown_and_never_written_over(
    nearby: Laptop, editor: Editor, embedded: Box
) -> None:
    path, there = nearby.write("a.py", "base\n"), embedded.home / "model/a.py"
    await editor.start()
    await editor.ready()
    there.write_text("theirs, and longer\n")
    editor.save(path, "mine\n")
    shown = await editor.wait(
        types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS, lambda one: bool(one.diagnostics)
    )
    assert shown.uri == editor.uri(path)
    assert there.read_text() == "theirs, and longer\n"
    with pytest.raises(JsonRpcException, match=r"a\.py"):
        await editor.request("sidecar/run", target=str(path))
    # A debug session waits for the barrier when its client comes.
    debug = await editor.request("sidecar/debug", target=str(path))
    async with DapClient.connected(debug.port) as debugger:
        await debugger.ask("initialize", adapterID="python")
        with pytest.raises(DapFailure, match=r"a\.py"):
            await debugger.ask("attach")
    done = nearby.sidecar("sync", "--prefer", "local", "a.py")
    assert done.returncode == 0, done.stderr
    assert there.read_text() == "mine\n"
    gone = await editor.wait(
        types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS, lambda one: not one.diagnostics
    )
    assert gone.uri == editor.uri(path)
