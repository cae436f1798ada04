"""What waits for a word, through the real command line, hub and editor."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from tests.cli.person import TerminalSession
from tests.hub.laptop import Laptop
from tests.lsp.editor import Editor
from tests.servers.box import Box


def status(laptop: Laptop) -> str:
    return laptop.sidecar("status").stdout


@pytest.fixture
def differing(nearby: Laptop, embedded: Box) -> Path:
    """The folder there, which has another main.py than the project."""
    there = embedded.home / "model"
    there.mkdir()
    (there / "main.py").write_text("theirs\n")
    nearby.write("main.py", "mine\n")
    nearby.write("new.py", "new\n")
    return there


# --- in a terminal ---------------------------------------------------------------------------


def test_first_contact_is_one_question_in_a_terminal(nearby: Laptop, differing: Path) -> None:
    person = TerminalSession(nearby, "sync")
    person.expect("1 different (main.py: 5 B here, 7 B there)")
    person.expect("1  Push mine (theirs to the trash)")
    person.expect("2  Take theirs where newer")
    person.expect("3  Look at each")
    person.expect("4  Not now")
    person.expect("Choose 1-4", "\r")
    person.expect("nothing was written there")
    assert person.wait() == 1
    assert not (differing / ".sidecar").exists()

    person = TerminalSession(nearby, "sync")
    person.expect("Choose 1-4", "3\r")
    person.expect("main.py: is here and on the remote with different content")
    assert person.wait() == 1
    assert (differing / "main.py").read_text() == "theirs\n"
    assert (differing / "new.py").read_text() == "new\n"


def test_a_dry_run_says_how_both_sides_compare(nearby: Laptop, differing: Path) -> None:
    done = nearby.sidecar("sync", "-n")
    assert done.returncode == 0, done.stderr
    assert "1 different (main.py: 5 B here, 7 B there), 1 only here (4 B)" in done.stderr
    assert done.stdout == "push new.py\ndecide main.py\n"


def test_a_folder_that_another_one_took_over_is_a_question(nearby: Laptop, embedded: Box) -> None:
    nearby.write("main.py", "mine\n")
    assert nearby.sidecar("sync").returncode == 0
    marker = embedded.home / "model/.sidecar/marker.json"
    state = json.loads(marker.read_text())
    marker.write_text(json.dumps({**state, "owner": "bob@desk:/home/bob/model"}))
    done = nearby.sidecar("sync")
    assert done.returncode == 1
    assert "was taken over by bob@desk" in done.stderr
    assert "--take-over" in done.stderr
    person = TerminalSession(nearby, "sync")
    person.expect("1  Take it over")
    person.expect("Choose 1-2", "1\r")
    assert person.wait() == 0
    assert json.loads(marker.read_text())["owner"] == state["owner"]
    marker.write_text(json.dumps({**state, "owner": "bob@desk:/home/bob/model"}))
    assert nearby.sidecar("sync", "--take-over").returncode == 0


def test_much_waits_and_status_says_so(nearby: Laptop, embedded: Box) -> None:
    config = nearby.project / "sidecar.local.toml"
    text = config.read_text() + '[sync]\nask_above = "1 MB"\n'
    config.write_text('linger = "10 min"\n' + text)
    nearby.write("main.py", "mine\n")
    nearby.write("data.txt", "x" * 9_000_000)
    there = embedded.home / "model"
    done = nearby.sidecar("sync")
    assert done.returncode == 1
    assert "waiting: data.txt: 9.0 MB; `sidecar sync --yes` sends it" in done.stderr
    assert (there / "main.py").exists()
    assert not (there / "data.txt").exists()
    assert "waits for your word: 1 file, 9.0 MB: data.txt 9.0 MB" in status(nearby)
    assert nearby.sidecar("run", "true").returncode == 125
    assert nearby.sidecar("sync", "--yes").returncode == 0
    assert (there / "data.txt").stat().st_size == 9_000_000


# --- by itself -------------------------------------------------------------------------------


async def test_a_folder_there_that_goes_is_a_state_and_syncing_goes_on_when_it_is_back(
    nearby: Laptop, editor: Editor, embedded: Box
) -> None:
    path = nearby.write("main.py", "one\n")
    nearby.write("other.py", "one\n")
    await editor.start()
    await editor.ready()
    there, aside = embedded.home / "model", embedded.home / "aside"
    there.rename(aside)
    editor.save(path, "two\n")
    state = await editor.wait("sidecar/didChangeStatus", lambda one: one.state == "question")
    assert "gone" in state.text
    assert "gone" in status(nearby)
    assert editor.asked == []
    assert not there.exists()
    editor.told["sidecar/didChangeStatus"].clear()
    aside.rename(there)
    await editor.ready()
    assert (there / "main.py").read_text() == "two\n"
    assert editor.asked == []


async def test_a_project_that_goes_is_a_state_and_syncing_goes_on_when_it_is_back(
    nearby: Laptop, editor: Editor, embedded: Box
) -> None:
    nearby.write("main.py", "one\n")
    nearby.write("other.py", "one\n")
    await editor.start()
    await editor.ready()
    there, aside = embedded.home / "model", nearby.home / "aside"
    nearby.project.rename(aside)
    state = await editor.wait("sidecar/didChangeStatus", lambda one: one.state == "question")
    assert "is gone" in state.text
    assert sorted(one.name for one in there.glob("*.py")) == ["main.py", "other.py"]
    editor.told["sidecar/didChangeStatus"].clear()
    (aside / "main.py").write_text("two\n")
    aside.rename(nearby.project)
    await editor.ready()
    assert (there / "main.py").read_text() == "two\n"
    assert editor.asked == []


async def test_a_project_replaced_by_an_older_copy_is_a_state_and_a_question_only_if_asked(
    nearby: Laptop, editor: Editor, embedded: Box
) -> None:
    nearby.write("main.py", "old\n")
    copy = nearby.home / "copy"
    shutil.copytree(nearby.project, copy)
    nearby.write("main.py", "the work of today\n")
    await editor.start()
    await editor.ready()
    nearby.project.rename(nearby.home / "aside")
    copy.rename(nearby.project)
    state = await editor.wait("sidecar/didChangeStatus", lambda one: one.state == "question")
    assert "another folder than it was" in state.text
    with pytest.raises(JsonRpcException, match="another folder than it was"):
        await editor.request("sidecar/sync")
    (asked,) = editor.asked
    assert "1 different (main.py" in asked
    assert (embedded.home / "model/main.py").read_text() == "the work of today\n"
    editor.told["sidecar/didChangeStatus"].clear()
    nearby.project.rename(copy)
    (nearby.home / "aside").rename(nearby.project)
    await editor.ready()


async def test_a_mass_deletion_is_a_state_and_the_persons_sync_asks(
    nearby: Laptop, editor: Editor, embedded: Box
) -> None:
    for number in range(60):
        nearby.write(f"pkg/file{number}.py", "x\n")
    nearby.write("main.py", "x\n")
    await editor.start()
    await editor.ready()
    shutil.rmtree(nearby.project / "pkg")
    state = await editor.wait("sidecar/didChangeStatus", lambda one: "removals" in one.text)
    assert (state.state, editor.asked) == ("question", [])
    there = embedded.home / "model/pkg"
    assert list(there.iterdir()) != []
    editor.answers = ["Remove them there (to the trash)"]
    await editor.request("sidecar/sync")
    assert not there.exists()


async def test_an_editor_that_shows_no_states_gets_a_message(
    nearby: Laptop, editor: Editor, embedded: Box
) -> None:
    nearby.write("main.py", "one\n")
    nearby.write("other.py", "one\n")
    await editor.start(knows_sidecar=False)
    await editor.command("sidecar.sync")
    (embedded.home / "model").rename(embedded.home / "aside")
    shown = await editor.wait(types.WINDOW_SHOW_MESSAGE, lambda one: "is gone" in one.message)
    assert shown.type == types.MessageType.Warning
    assert editor.asked == []


async def test_two_names_of_one_folder_are_synced_once(
    laptop: Laptop, editor: Editor, embedded: Box
) -> None:
    hosts = [
        f'[hosts.{name}]\nssh = "{embedded.alias}"\npath = "~/model"\n'
        f'transport = "{embedded.transport}"\n'
        for name in ("gpu1", "gpu2")
    ]
    laptop.configure('host = "gpu1"\n' + "".join(hosts))
    laptop.write("main.py", "one\n")
    await editor.start()
    await editor.ready()
    done = laptop.sidecar("sync", "-H", "gpu2")
    assert done.returncode == 1
    assert "gpu2 and gpu1 show the same folder" in done.stderr
    assert "-H gpu1" in done.stderr
    editor.save(laptop.project / "main.py", "two\n")
    await editor.wait("sidecar/synced", lambda note: "main.py" in note.paths)
    there = embedded.home / "model/main.py"
    assert there.read_text() == "two\n"
    # Runs there wait for the same saves, and are refused for the same reasons.
    laptop.write("main.py", "three\n")
    done = laptop.sidecar("run", "-H", "gpu2", "cat", "main.py")
    assert done.stdout == "three\n", done.stderr
    there.write_text("edited there\n")
    laptop.write("main.py", "four\n")
    done = laptop.sidecar("run", "-H", "gpu2", "cat", "main.py")
    assert done.returncode == 125
    assert "main.py" in done.stderr
    assert there.read_text() == "edited there\n"
