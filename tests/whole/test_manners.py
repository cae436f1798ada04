"""Who was asked for something at a sign-in is never dialled for again unasked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pygls.exceptions import JsonRpcException

from tests.cli.test_bad_input import TerminalSession
from tests.hub.laptop import Laptop
from tests.lsp.editor import Editor
from tests.servers.embedded import EmbeddedBox
from tests.servers.loop_thread import LoopThread
from tests.whole.waiting import never

WATCHED = 2.5
"""Seconds: four times as long as a lost connection waits before it dials again."""

PASSWORD = "s3cret"


class TypingEditor(Editor):
    """An editor whose person types a password when asked."""

    def __init__(self, laptop: Laptop) -> None:
        super().__init__(laptop)
        self.secrets: list[str] = []
        self.client.feature("sidecar/askSecret")(lambda params: self._type(params))

    def _type(self, params: Any) -> dict[str, str]:
        self.secrets.append(params.prompt)
        return {"value": PASSWORD}


@pytest.fixture
async def guarded(
    server_thread: LoopThread,
    tmp_path: Path,
    laptop: Laptop,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[EmbeddedBox]:
    """A machine that wants a password, and a project that goes there."""
    folder = tmp_path / "guarded"
    folder.mkdir()
    box = EmbeddedBox(server_thread, folder, password=PASSWORD, key=False)
    monkeypatch.setenv("SIDECAR_SSH_CONFIG", str(box.ssh_config))
    laptop.configure('[hosts.box]\npath = "~/model"\ntransport = "asyncssh"\n')
    laptop.write("a.py", "x = 1\n")
    yield box
    box.close()


@pytest.fixture
async def typing(laptop: Laptop) -> AsyncIterator[TypingEditor]:
    editor = TypingEditor(laptop)
    yield editor
    await editor.end()


async def test_after_a_cut_a_host_that_asked_waits_for_the_person(
    laptop: Laptop, guarded: EmbeddedBox, typing: TypingEditor
) -> None:
    path = laptop.project / "a.py"
    await typing.start()
    # Opening a project is no wish to sign in.
    await typing.wait("sidecar/didChangeStatus", lambda one: one.state == "disconnected")
    assert typing.secrets == []
    await typing.request("sidecar/sync")
    assert len(typing.secrets) == 1
    await typing.ready()

    guarded.cut()
    typing.told.clear()
    state = await typing.wait("sidecar/didChangeStatus", lambda one: one.state == "disconnected")
    assert "sidecar sync" in state.fix
    dialled = guarded.accepted
    # A save, a look, another editor, another shell: none of them is a wish to sign in.
    typing.save(path, "x = 2\n")
    assert (await typing.request("sidecar/status")).sessions[0].state == "disconnected"
    laptop.sidecar("status")
    other = TypingEditor(laptop)
    await other.start()
    await other.wait("sidecar/didChangeStatus", lambda one: one.state == "disconnected")
    await never(lambda: guarded.accepted > dialled, "it dialled unasked", WATCHED)
    assert other.secrets == []
    await other.quit()
    await other.end()

    # The person does something: asked once more, and what was saved meanwhile is there.
    await typing.request("sidecar/sync")
    assert len(typing.secrets) == 2
    assert (guarded.home / "model/a.py").read_text() == "x = 2\n"
    assert PASSWORD not in laptop.log


async def test_the_next_day_an_editor_does_not_dial_a_host_that_asked(
    laptop: Laptop, guarded: EmbeddedBox, typing: TypingEditor
) -> None:
    terminal = TerminalSession(laptop, "sync")
    terminal.expect("assword", f"{PASSWORD}\n")
    assert terminal.wait() == 0, terminal.text
    guarded.line.wait_empty()
    dialled = guarded.accepted
    # Another hub, hours later: it remembers.
    await typing.start()
    state = await typing.wait("sidecar/didChangeStatus", lambda one: one.state == "disconnected")
    assert "sidecar sync" in state.fix
    typing.save(laptop.project / "a.py", "x = 2\n")
    await never(lambda: guarded.accepted > dialled, "it dialled unasked", 0.5)
    assert typing.secrets == []
    await typing.request("sidecar/run", target=str(laptop.project / "a.py"))
    assert len(typing.secrets) == 1


async def test_a_person_who_dismisses_the_prompt_is_left_alone(
    laptop: Laptop, guarded: EmbeddedBox, editor: Editor
) -> None:
    """An editor that knows nothing of our questions answers them with an error."""
    await editor.start()
    await editor.wait("sidecar/didChangeStatus", lambda one: one.state == "disconnected")
    with pytest.raises(JsonRpcException, match="box"):
        await editor.request("sidecar/sync")
    dialled = guarded.accepted
    await never(lambda: guarded.accepted > dialled, "it tried again", WATCHED)
    assert await editor.quit() == 0
