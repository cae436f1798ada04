"""What goes wrong on the way there: told the same in a shell and in an editor, and nothing lost.

Each is one message that says what, why and what next; a command that exits with 1; a state that an
editor shows; no traceback anywhere, and no wait beyond each test's deadline.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pygls.exceptions import JsonRpcException

from tests.cli.test_bad_input import TerminalSession
from tests.hub.laptop import Laptop
from tests.lsp.editor import Editor
from tests.servers.box import Box, write_ssh_config
from tests.servers.embedded import EmbeddedBox
from tests.servers.keys import make_key
from tests.servers.loop_thread import LoopThread
from tests.servers.programs import need_program
from tests.whole import traces
from tests.whole.waiting import soon


def configure(box: Box, **options: Any) -> None:
    """Writes the box's Host anew, with options of the test's own."""
    write_ssh_config(box.ssh_config, {box.alias: {**box.options(), **options}})


def one_message(stderr: str, *words: str) -> None:
    assert stderr.count("sidecar: ") == 1, stderr
    assert stderr.startswith("sidecar: ")
    assert "Traceback" not in stderr
    assert "Error(" not in stderr
    for word in words:
        assert word.lower() in stderr.lower(), stderr


async def refused_alike(editor: Editor, laptop: Laptop, *words: str) -> Any:
    """The failure is a state for an editor that only shows the project, an error for one that
    asks for something, and one message in a shell. Returns the state."""
    path = laptop.write("a.py", "x = 1\n")
    await editor.start()
    state = await editor.wait(
        "sidecar/didChangeStatus", lambda one: one.state in ("disconnected", "question")
    )
    editor.open(path)
    editor.save(path, "x = 2\n")
    with pytest.raises(JsonRpcException) as caught:
        await editor.request("sidecar/sync")
    problem = caught.value.data
    assert problem["code"], problem
    assert problem["what"], problem
    assert problem["fix"], problem
    for word in words:
        assert word.lower() in str(caught.value.message).lower()
    done = laptop.sidecar("sync")
    assert done.returncode == 1
    one_message(done.stderr, *words)
    run = laptop.sidecar("run", "a.py")
    assert run.returncode == 125
    one_message(run.stderr, *words)
    assert editor.asked == []
    assert await editor.quit() == 0
    await editor.client.stop()
    assert editor.client.stderr == ""
    assert "Traceback" not in laptop.log, laptop.log
    return state


async def test_no_such_host(connected: Laptop, editor: Editor, box: Box) -> None:
    configure(box, HostName="no.such.host.invalid")
    state = await refused_alike(editor, connected, "no.such.host.invalid")
    assert state.state == "disconnected"
    assert "no.such.host.invalid" in state.text


async def test_nobody_listens(connected: Laptop, editor: Editor, box: Box) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        configure(box, Port=taken.getsockname()[1])
        await refused_alike(editor, connected, "refuses connections", "Port")


async def test_a_wrong_key(connected: Laptop, editor: Editor, box: Box, tmp_path: Path) -> None:
    configure(box, IdentityFile=make_key(tmp_path / "other").path)
    state = await refused_alike(editor, connected, "box")
    assert state.fix


async def test_a_key_file_that_is_not_there(
    connected: Laptop, editor: Editor, box: Box, tmp_path: Path
) -> None:
    configure(box, IdentityFile=tmp_path / "nothing")
    await refused_alike(editor, connected, "box")


async def test_a_changed_host_key(
    connected: Laptop, editor: Editor, box: Box, tmp_path: Path
) -> None:
    other = make_key(tmp_path / "other")
    box.known_hosts.write_text(f"[127.0.0.1]:{box.port} {other.public}\n")
    before = box.known_hosts.read_text()
    await refused_alike(editor, connected, "key", "changed", str(box.known_hosts))
    assert box.known_hosts.read_text() == before


async def test_an_unknown_host_key_and_nobody_to_ask(
    connected: Laptop, editor: Editor, box: Box
) -> None:
    box.known_hosts.write_text("")
    path = connected.write("a.py", "x = 1\n")
    await editor.start()
    state = await editor.wait("sidecar/didChangeStatus", lambda one: one.state == "disconnected")
    assert "key" in state.text
    assert editor.asked == []
    done = connected.sidecar("sync")
    assert done.returncode == 1
    one_message(done.stderr, "key", "box")
    # Who does something is asked; who dismisses the question gets a refusal, and no key is kept.
    # The ssh program asks nobody but its own terminal.
    with pytest.raises(JsonRpcException, match="key"):
        await editor.request("sidecar/sync")
    assert len(editor.asked) == (0 if box.transport == "openssh" else 1)
    assert box.known_hosts.read_text() == ""
    assert not (box.home / "model").exists()
    assert path.exists()


def no_python(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose PATH has programs, and no Python among them."""
    folder = box.home / "bin"
    folder.mkdir()
    for name in ("sh", "cat", "rm", "echo"):
        (folder / name).symlink_to(f"/bin/{name}")
    if isinstance(box, EmbeddedBox):
        environment = {"HOME": str(box.home), "PATH": str(folder), "USER": "x", "SHELL": "/bin/sh"}
        monkeypatch.setattr(
            "tests.servers.embedded.clean_environment", lambda home: dict(environment)
        )
    else:
        # A bash that was started by sshd reads this file.
        (box.home / ".bashrc").write_text(f"PATH={folder}\n")


async def test_a_remote_without_python(
    connected: Laptop, editor: Editor, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_python(box, monkeypatch)
    await refused_alike(editor, connected, "No usable Python on box", "hosts.box.python")


@pytest.mark.real
@pytest.mark.parametrize("transport", ["asyncssh", "openssh"])
async def test_a_login_shell_that_prints_and_ends(
    laptop: Laptop, editor: Editor, sshd: Box, transport: str
) -> None:
    laptop.configure(f'[hosts.box]\ntransport = "{transport}"\n')
    (sshd.home / ".bashrc").write_text("echo 'This account is closed.'\nexit 0\n")
    await refused_alike(editor, laptop, "This account is closed")


async def test_a_file_where_the_remote_folder_should_be(
    connected: Laptop, editor: Editor, box: Box
) -> None:
    (box.home / "model").write_text("mine")
    await refused_alike(editor, connected, "model")
    assert (box.home / "model").read_text() == "mine"


@pytest.fixture
def mount() -> Iterator[Callable[..., None]]:
    """Mounts for one test; what it takes is root and a kernel that lets it."""
    mounted: list[Path] = []

    def mount(target: Path, *arguments: str) -> None:
        target.mkdir(exist_ok=True)
        done = subprocess.run(["mount", *arguments, str(target)], capture_output=True, check=False)
        if done.returncode:
            pytest.skip("only on machines where the tests may mount")
        mounted.append(target)

    yield mount
    for target in reversed(mounted):
        subprocess.run(["umount", "-l", str(target)], check=True)


async def test_a_remote_folder_that_cannot_be_written(
    connected: Laptop, editor: Editor, box: Box, mount: Callable[..., None]
) -> None:
    mount(box.home / "model", "-t", "tmpfs", "-o", "ro,size=64k", "tmpfs")
    await refused_alike(editor, connected, "box", "model", "hosts.box.path")


async def test_a_full_disk_keeps_the_old_file_and_takes_the_new_one_when_there_is_room(
    connected: Laptop, editor: Editor, box: Box, mount: Callable[..., None]
) -> None:
    there = box.home / "model"
    mount(there, "-t", "tmpfs", "-o", "size=2m", "tmpfs")
    old = os.urandom(400_000)
    (connected.project / "data.bin").write_bytes(old)
    small = connected.write("small.py", "x = 1\n")
    await editor.start()
    await editor.ready()
    (there / "other-peoples.bin").write_bytes(b"x" * 1_200_000)
    new = os.urandom(500_000)
    (connected.project / "data.bin").write_bytes(new)
    done = connected.sidecar("sync")
    assert done.returncode == 1
    assert "data.bin" in done.stderr
    assert "the disk is full; nothing was changed there; see to its disk" in done.stderr
    assert "Traceback" not in done.stderr
    assert (there / "data.bin").read_bytes() == old
    # A run would see the old file: it is not started.
    run = connected.sidecar("run", "small.py")
    assert run.returncode == 125
    one_message(run.stderr, "data.bin")
    # What still has room goes there.
    editor.save(small, "x = 2\n")
    await soon(lambda: (there / "small.py").read_text() == "x = 2\n", "the small file there")
    (there / "other-peoples.bin").unlink()
    done = connected.sidecar("sync")
    assert done.returncode == 0, done.stderr
    assert (there / "data.bin").read_bytes() == new
    assert traces.staged(box) == []


async def test_a_file_that_cannot_be_read_here_is_named_and_the_rest_goes_on(
    nearby: Laptop, editor: Editor, embedded: Box
) -> None:
    nearby.write("a.py", "x = 1\n")
    os.mkfifo(nearby.project / "pipe")
    done = nearby.sidecar("sync")
    assert "pipe" in done.stderr
    assert (embedded.home / "model/a.py").exists()
    assert not (embedded.home / "model/pipe").exists()


CONFIGURATIONS = {
    "typing error": ('[hosts.box]\npyhton = "x"\n', ("sidecar.local.toml", "pyhton", "python")),
    "wrong type": ("[hosts.box]\npath = 5\n", ("sidecar.local.toml", "hosts.box.path")),
    "no TOML": ("[hosts.box\n", ("sidecar.local.toml",)),
    "an option": ('[hosts.box]\nssh = "-oProxyCommand=x"\n', ("hosts.box.ssh",)),
    "no host": ("", ("sidecar init",)),
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
async def test_a_wrong_configuration(
    laptop: Laptop, editor: Editor, embedded: Box, name: str
) -> None:
    text, words = CONFIGURATIONS[name]
    before = embedded.accepted
    laptop.configure(text)
    state = await refused_alike(editor, laptop, *words)
    assert state.state == "question"
    assert embedded.accepted == before


async def test_a_configuration_that_is_put_right_is_taken_without_a_restart(
    nearby: Laptop, editor: Editor, embedded: Box
) -> None:
    right = (nearby.project / "sidecar.local.toml").read_text()
    nearby.configure(right.replace("path", "pathh"))
    path = nearby.write("a.py", "x = 1\n")
    await editor.start()
    await editor.wait("sidecar/didChangeStatus", lambda one: one.state == "question")
    nearby.configure(right)
    await editor.request("sidecar/sync")
    assert (embedded.home / "model/a.py").read_text() == "x = 1\n"
    editor.save(path, "x = 2\n")
    await soon(lambda: (embedded.home / "model/a.py").read_text() == "x = 2\n", "the save there")


async def test_settings_of_a_stranger_do_nothing(
    laptop: Laptop, editor: Editor, embedded: Box
) -> None:
    before = embedded.accepted
    shared = '[hosts.far]\nssh = "far.example"\nsetup = "touch pwned"\nlaunch = "sh -c"\n'
    laptop.write("sidecar.toml", shared)
    await editor.start()
    state = await editor.wait("sidecar/didChangeStatus", lambda one: one.state == "question")
    assert "trust" in state.fix
    for command in (("sync",), ("run", "a.py"), ("debug", "a.py"), ("jobs",)):
        done = laptop.sidecar(*command)
        assert done.returncode in (1, 125)
        one_message(done.stderr, "waits for your trust", "touch pwned", "sidecar trust")
    assert embedded.accepted == before
    assert editor.asked == []


def test_a_folder_without_any_configuration(laptop: Laptop) -> None:
    for command, status in ((("sync",), 1), (("run", "a.py"), 125), (("debug", "a.py"), 125)):
        done = laptop.sidecar(*command)
        assert done.returncode == status
        one_message(done.stderr, "belongs to no project", "sidecar init")


@pytest.fixture
def guarded(
    server_thread: LoopThread,
    tmp_path: Path,
    laptop: Laptop,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[EmbeddedBox]:
    """A machine that wants a password, and a project that goes there."""
    folder = tmp_path / "guarded"
    folder.mkdir()
    box = EmbeddedBox(server_thread, folder, password="s3cret", key=False)
    monkeypatch.setenv("SIDECAR_SSH_CONFIG", str(box.ssh_config))
    laptop.configure('[hosts.box]\npath = "~/model"\ntransport = "asyncssh"\n')
    laptop.write("a.py", "x = 1\n")
    yield box
    box.close()


def test_a_password_that_is_refused(laptop: Laptop, guarded: EmbeddedBox) -> None:
    terminal = TerminalSession(laptop, "sync")
    for _ in range(3):
        terminal.expect("assword", "wrong\n")
    assert terminal.wait() == 1
    assert "box does not let" in terminal.text
    assert "was not accepted" in terminal.text
    assert "Traceback" not in terminal.text
    assert "wrong" not in laptop.log
    assert not (guarded.home / "model").exists()
    guarded.line.wait_empty()


@pytest.mark.parametrize("transport", ["asyncssh", "openssh"])
def test_a_password_and_nobody_to_type_it(
    laptop: Laptop, guarded: EmbeddedBox, transport: str
) -> None:
    if transport == "openssh":
        need_program("ssh")
    laptop.configure(f'[hosts.box]\npath = "~/model"\ntransport = "{transport}"\n')
    done = laptop.sidecar("sync")
    assert done.returncode == 1
    one_message(done.stderr, "box", "password")
    guarded.line.wait_empty()
