"""The language server as an editor meets it: the real process, over stdio, to a real machine."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from typing import Any

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from tests.hub.laptop import PATIENCE, Laptop, until_gone
from tests.lsp.editor import Editor
from tests.servers.box import Box
from tests.whole.waiting import soon


async def visible(editor: Editor, box: Box, path: str, text: str) -> None:
    """The remote file, as soon as the server says that it is there."""
    await editor.wait("sidecar/synced", lambda note: path in note.paths)
    assert (box.home / "model" / path).read_text() == text


async def test_it_says_what_it_can(editor: Editor) -> None:
    result = await editor.start()
    can = result.capabilities
    assert isinstance(can.text_document_sync, types.TextDocumentSyncOptions)
    assert can.text_document_sync.save == types.SaveOptions(include_text=False)
    assert can.execute_command_provider is not None
    assert "sidecar.run" in can.execute_command_provider.commands
    assert can.code_lens_provider is not None
    assert can.position_encoding == types.PositionEncodingKind.Utf16
    assert await editor.quit() == 0


async def test_a_project_is_brought_in_step_when_an_editor_opens_it(
    connected: Laptop, editor: Editor, box: Box
) -> None:
    connected.write("pkg/a.py", "x = 1\n")
    await editor.start()
    ready = await editor.ready()
    assert (ready.host, ready.state, ready.files) == ("box", "ready", 2)
    assert ready.transport == box.transport
    assert (box.home / "model/pkg/a.py").read_text() == "x = 1\n"
    assert await editor.quit() == 0


async def test_a_save_is_visible_there(connected: Laptop, editor: Editor, box: Box) -> None:
    path = connected.write("a.py", "x = 1\n")
    await editor.start()
    await editor.ready()
    editor.open(path)
    editor.save(path, "x = 2\n")
    await visible(editor, box, "a.py", "x = 2\n")


async def test_files_that_an_editor_moves_and_removes_follow(
    nearby: Laptop, editor: Editor, embedded: Box
) -> None:
    old, gone = nearby.write("old.py", "x = 1\n"), nearby.write("gone.py", "y = 1\n")
    await editor.start()
    await editor.ready()
    new = old.with_name("new.py")
    old.rename(new)
    renamed = types.FileRename(editor.uri(old), editor.uri(new))
    editor.client.workspace_did_rename_files(types.RenameFilesParams([renamed]))
    await visible(editor, embedded, "new.py", "x = 1\n")
    editor.told.clear()
    gone.unlink()
    removed = types.FileDelete(editor.uri(gone))
    editor.client.workspace_did_delete_files(types.DeleteFilesParams([removed]))
    # Not by `synced`: the watcher may have been first, and then no editor's word was needed.
    await editor.wait("sidecar/didChangeStatus", lambda one: one.files == 1 and not one.queued)
    assert sorted(path.name for path in (embedded.home / "model").glob("*.py")) == ["new.py"]


async def test_nothing_is_dialled_without_a_configuration(
    laptop: Laptop, editor: Editor, embedded: Box
) -> None:
    before = embedded.accepted
    path = laptop.write("a.py", "x = 1\n")
    await editor.start()
    editor.open(path)
    editor.save(path, "x = 2\n")
    status = await editor.request("sidecar/status")
    assert status.sessions == []
    assert embedded.accepted == before
    with pytest.raises(JsonRpcException, match="belongs to no project"):
        await editor.request("sidecar/sync")
    assert await editor.quit() == 0


async def test_a_strangers_settings_wait_for_trust_as_a_state(
    laptop: Laptop, editor: Editor, embedded: Box
) -> None:
    before = embedded.accepted
    laptop.write("sidecar.toml", '[hosts.evil]\nssh = "somewhere.else"\nsetup = "touch x"\n')
    await editor.start()
    state = await editor.wait("sidecar/didChangeStatus")
    assert state.state == "question"
    assert "trust" in state.fix
    assert editor.asked == []
    assert embedded.accepted == before
    # What a person does themselves may be answered by a question.
    with pytest.raises(JsonRpcException, match="waits for your trust"):
        await editor.request("sidecar/sync")
    assert len(editor.asked) == 1
    assert "touch x" in editor.asked[0]


async def test_only_the_settings_that_a_person_was_shown_become_trusted(
    laptop: Laptop, editor: Editor
) -> None:
    laptop.write("sidecar.toml", '[hosts.a]\nssh = "one.host"\nsetup = "touch x"\n')
    await editor.start()
    asks = (await editor.request("sidecar/trust")).asks
    assert len(asks) == 2
    shown = next(one for one in asks if "one.host" in one)
    left = await editor.request("sidecar/trust", accept=True, settings=[shown])
    assert not left.trusted
    assert ["touch x" in one for one in left.asks] == [True]
    assert editor.asked == []


async def test_an_editor_is_told_to_ask_for_lenses_again_when_the_project_is_open(
    nearby: Laptop, editor: Editor
) -> None:
    nearby.write("train.py", 'if __name__ == "__main__":\n    print(1)\n')
    await editor.start()
    await editor.wait(types.WORKSPACE_CODE_LENS_REFRESH)


async def test_a_wrong_configuration_is_said_by_file_and_key(
    laptop: Laptop, editor: Editor
) -> None:
    laptop.configure('[hosts.gpu1]\npyton = "x"\n')
    await editor.start()
    state = await editor.wait("sidecar/didChangeStatus")
    assert "sidecar.local.toml" in state.text
    with pytest.raises(JsonRpcException, match="pyton"):
        await editor.request("sidecar/sync")


async def test_lenses_stand_over_main_blocks_of_a_configured_project(
    nearby: Laptop, editor: Editor, embedded: Box
) -> None:
    path = nearby.write("train.py", 'if __name__ == "__main__":\n    print(1)\n')
    await editor.start()
    await editor.ready()
    editor.open(path)
    lenses = await editor.within(
        editor.client.text_document_code_lens_async(
            types.CodeLensParams(types.TextDocumentIdentifier(editor.uri(path)))
        )
    )
    assert [lens.command.title for lens in lenses] == ["Run on box", "Debug on box"]
    actions = await editor.within(
        editor.client.text_document_code_action_async(
            types.CodeActionParams(
                types.TextDocumentIdentifier(editor.uri(path)),
                types.Range(types.Position(0, 0), types.Position(0, 0)),
                types.CodeActionContext([]),
            )
        )
    )
    assert [action.title for action in actions] == ["Run on box", "Debug on box"]


async def test_progress_is_shown_while_a_project_is_connected(
    nearby: Laptop, editor: Editor, embedded: Box
) -> None:
    for number in range(50):
        nearby.write(f"m{number}.py", f"x = {number}\n")
    await editor.start()
    await editor.ready()
    end = await editor.wait(types.PROGRESS, lambda params: kind(params) == "end")
    kinds = [kind(one) for one in editor.told[types.PROGRESS] if one.token == end.token]
    assert kinds[0] == "begin"
    assert kinds.count("begin") == kinds.count("end") == 1


def kind(params: types.ProgressParams) -> Any:
    value = params.value
    return value["kind"] if isinstance(value, dict) else value.kind


async def test_a_request_with_wrong_parameters_is_answered(editor: Editor) -> None:
    await editor.start()
    with pytest.raises(JsonRpcException, match=r"\$\.host"):
        await editor.request("sidecar/status", host=5)
    with pytest.raises(JsonRpcException):
        await editor.command("sidecar.run", 1, 2)
    assert await editor.quit() == 0


async def test_an_editor_that_closes_its_end_is_followed(laptop: Laptop, editor: Editor) -> None:
    await editor.start()
    hub = laptop.hub_pid()
    assert editor.process.stdin is not None
    editor.process.stdin.close()
    assert await editor.exited() == 1
    until_gone(hub)


async def test_an_editor_that_dies_while_others_hold_its_pipes_is_followed(
    laptop: Laptop, editor: Editor
) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as parent:
        await editor.start(process_id=parent.pid)
        hub = laptop.hub_pid()
        parent.kill()
    await editor.exited()
    until_gone(hub)


async def test_a_hub_that_is_killed_is_said_in_one_line(laptop: Laptop, editor: Editor) -> None:
    await editor.start()
    os.kill(laptop.hub_pid(), signal.SIGKILL)
    assert await editor.exited() == 1
    await editor.client.stop()
    assert editor.client.stderr.count("\n") == 1
    assert "The sidecar hub has gone" in editor.client.stderr


async def test_saves_while_the_hub_is_dead_are_found_by_the_next_one(
    nearby: Laptop, editor: Editor, embedded: Box
) -> None:
    path = nearby.write("a.py", "x = 1\n")
    await editor.start()
    await editor.ready()
    os.kill(nearby.hub_pid(), signal.SIGKILL)
    await editor.exited()
    path.write_text("x = 2\n")
    again = Editor(nearby)
    try:
        await again.start()
        await again.ready()
        assert (embedded.home / "model/a.py").read_text() == "x = 2\n"
    finally:
        await again.end()


@pytest.mark.parametrize(
    "garbage",
    [b"hello there\n", b"\xff\xfe\x00\x01", b"Content-Length: 99999999999\r\n\r\n", b"{}\r\n"],
)
def test_garbage_on_stdin_gets_one_clear_line(laptop: Laptop, garbage: bytes) -> None:
    done = laptop.sidecar("serve", stdin=garbage)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "What came on stdin is no LSP" in done.stderr


def test_it_ends_when_stdout_is_closed(laptop: Laptop) -> None:
    serve = laptop.serve()
    assert serve.stdout is not None
    hub = laptop.hub_pid()
    serve.stdout.close()
    assert serve.wait(PATIENCE) == 1
    until_gone(hub)


async def test_two_editors_share_one_connection_and_one_project(
    nearby: Laptop, editor: Editor, embedded: Box
) -> None:
    before = embedded.accepted
    path = nearby.write("a.py", "x = 1\n")
    await editor.start()
    await editor.ready()
    other = Editor(nearby)
    try:
        await other.start()
        await other.ready()
        assert embedded.accepted == before + 1
        await editor.quit()
        other.save(path, "x = 2\n")
        await visible(other, embedded, "a.py", "x = 2\n")
    finally:
        await other.end()


async def test_a_lost_connection_is_a_state_and_comes_back_with_what_was_saved(
    connected: Laptop, editor: Editor, box: Box
) -> None:
    path = connected.write("a.py", "x = 1\n")
    await editor.start()
    await editor.ready()
    box.cut()
    await editor.wait("sidecar/didChangeStatus", lambda one: one.state == "disconnected")
    editor.told.clear()
    editor.save(path, "x = 2\n")
    await editor.ready()
    assert (box.home / "model/a.py").read_text() == "x = 2\n"


async def test_a_configuration_that_is_saved_counts_from_then_on(
    nearby: Laptop, editor: Editor, embedded: Box
) -> None:
    nearby.write("a.py", "x = 1\n")
    await editor.start()
    await editor.ready()
    editor.told.clear()
    config = nearby.project / "sidecar.local.toml"
    editor.save(config, config.read_text() + '[sync]\nignore = ["skip.py"]\n')
    await editor.ready()
    nearby.write("skip.py", "x = 1\n")
    nearby.write("send.py", "x = 1\n")
    await editor.request("sidecar/sync")
    there = sorted(path.name for path in (embedded.home / "model").glob("*.py"))
    assert there == ["a.py", "send.py"]


async def test_a_host_is_chosen_by_any_editor_and_its_lenses_follow(
    nearby: Laptop, editor: Editor
) -> None:
    ssh = "box"
    nearby.configure(
        'host = "gpu1"\n'
        f'[hosts.gpu1]\nssh = "{ssh}"\npath = "~/one"\n'
        f'[hosts.gpu2]\nssh = "{ssh}"\npath = "~/two"\n'
    )
    path = nearby.write("main.py", "if __name__ == '__main__':\n    pass\n")
    await editor.start(knows_sidecar=False)
    editor.open(path)
    document = types.TextDocumentIdentifier(editor.uri(path))

    async def titles() -> list[str]:
        params = types.CodeLensParams(document)
        found = await editor.within(editor.client.text_document_code_lens_async(params))
        return [lens.command.title for lens in found or []]

    await editor.wait(types.WORKSPACE_CODE_LENS_REFRESH)
    assert await titles() == ["Run on gpu1", "Debug on gpu1"]
    editor.told[types.WORKSPACE_CODE_LENS_REFRESH].clear()
    editor.answers = ["gpu2"]
    await editor.command("sidecar.selectHost")
    assert editor.asked == ["Where should saves and runs go, from gpu1?"]
    await editor.wait(types.WINDOW_SHOW_MESSAGE, lambda params: "go to gpu2" in params.message)
    await editor.wait(types.WORKSPACE_CODE_LENS_REFRESH)
    assert await titles() == ["Run on gpu2", "Debug on gpu2"]
    with pytest.raises(JsonRpcException, match="gpu9"):
        await editor.command("sidecar.selectHost", "gpu9")


async def test_who_named_a_host_keeps_it_when_another_one_is_chosen(
    nearby: Laptop, editor: Editor, embedded: Box
) -> None:
    nearby.configure(
        'host = "gpu1"\n'
        '[hosts.gpu1]\nssh = "box"\npath = "~/one"\n[hosts.gpu2]\nssh = "box"\npath = "~/two"\n'
    )
    path = nearby.write("main.py", "0\n")
    watching = nearby.start("sync", "--watch", "-H", "gpu1")
    assert watching.stderr is not None
    await asyncio.to_thread(watching.stderr.readline)
    await editor.start()
    await editor.wait(
        "sidecar/didChangeStatus", lambda one: (one.host, one.text) == ("gpu1", "in step")
    )
    await editor.command("sidecar.selectHost", "gpu2")
    told = await editor.wait(
        "sidecar/didChangeStatus", lambda one: one.host == "gpu1" and not one.inUse
    )
    assert told.project == str(nearby.project)
    await editor.wait(
        "sidecar/didChangeStatus", lambda one: (one.host, one.text) == ("gpu2", "in step")
    )
    editor.save(path, "1\n")
    await editor.wait(
        "sidecar/synced", lambda note: note.host == "gpu2" and note.paths == ["main.py"]
    )
    assert (embedded.home / "two" / "main.py").read_text() == "1\n"
    one = embedded.home / "one" / "main.py"
    await soon(lambda: one.read_text() == "1\n", "the save on the other host")
    assert watching.poll() is None
