"""What goes wrong for people: each gives one clear line, an orderly end, and loses nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.person import TerminalSession
from tests.hub.laptop import Laptop
from tests.servers.box import Box, write_ssh_config
from tests.servers.embedded import EmbeddedBox
from tests.servers.keys import make_key
from tests.servers.loop_thread import LoopThread


def refused(laptop: Laptop, *words: str, command: tuple[str, ...] = ("sync",)) -> None:
    """The command fails by one message that says all of these words."""
    done = laptop.sidecar(*command)
    assert done.returncode == 1, done
    assert done.stderr.startswith("sidecar: ")
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr, done.stderr


def test_a_folder_without_a_project(laptop: Laptop) -> None:
    refused(laptop, "belongs to no project", "sidecar init HOST")


def test_a_host_that_does_not_exist(laptop: Laptop) -> None:
    laptop.configure('[hosts.gpu1]\nssh = "no.such.host.invalid"\n')
    refused(laptop, "no.such.host.invalid")


def test_a_host_that_is_not_configured(nearby: Laptop) -> None:
    refused(nearby, "There is no host bx", "box", command=("sync", "-H", "bx"))


def test_a_typing_error_in_the_configuration(laptop: Laptop) -> None:
    laptop.configure('[hosts.gpu1]\nssh = "gpu1"\npyhton = "x"\n')
    refused(laptop, "sidecar.local.toml", "pyhton", "python")


def test_settings_of_a_stranger(laptop: Laptop, embedded: Box) -> None:
    before = embedded.accepted
    laptop.write("sidecar.toml", '[hosts.box]\nssh = "box"\nsetup = "touch pwned"\n')
    refused(laptop, "waits for your trust", "touch pwned", "sidecar trust")
    assert embedded.accepted == before


def test_a_destination_that_is_an_option(laptop: Laptop) -> None:
    laptop.configure('[hosts.gpu1]\nssh = "-oProxyCommand=touch pwned"\n')
    refused(laptop, "hosts.gpu1.ssh")
    assert not (laptop.project / "pwned").exists()


def changed_config(
    box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **options: str
) -> None:
    path = write_ssh_config(tmp_path / "ssh_config", {box.alias: {**box.options(), **options}})
    monkeypatch.setenv("SIDECAR_SSH_CONFIG", str(path))


def test_a_key_that_is_not_accepted(
    nearby: Laptop, embedded: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_key(tmp_path / "other")
    changed_config(embedded, tmp_path, monkeypatch, IdentityFile=str(other.path))
    refused(nearby, "box")


def test_an_unknown_host_key_without_anybody_to_ask(
    nearby: Laptop, embedded: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "known_hosts"
    empty.touch()
    changed_config(embedded, tmp_path, monkeypatch, UserKnownHostsFile=str(empty))
    refused(nearby, "key")
    assert empty.read_text() == ""


def test_a_changed_host_key(
    nearby: Laptop, embedded: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_key(tmp_path / "other")
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{embedded.port} {other.public}\n")
    changed_config(embedded, tmp_path, monkeypatch, UserKnownHostsFile=str(known))
    refused(nearby, "key", "changed")


def test_a_remote_without_a_usable_python(
    nearby: Laptop, embedded: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = embedded.home / "fake"
    path.mkdir()
    for name in ("python3", "python"):
        (path / name).write_text("#!/bin/sh\nexit 127\n")
        (path / name).chmod(0o755)
    monkeypatch.setattr(
        "tests.servers.embedded.clean_environment",
        lambda home: {"HOME": str(home), "PATH": str(path), "USER": "x", "SHELL": "/bin/sh"},
    )
    refused(nearby, "No usable Python on box", "hosts.box.python")


@pytest.mark.skipif(os.geteuid() == 0, reason="only on accounts that are not root")
def test_a_remote_folder_that_is_not_writable(nearby: Laptop, embedded: Box) -> None:
    folder = embedded.home / "model"
    folder.mkdir(mode=0o500)
    refused(nearby, "not writable")


def test_a_remote_folder_that_can_be_no_project(nearby: Laptop, embedded: Box) -> None:
    nearby.configure('[hosts.box]\npath = "/"\n')
    refused(nearby, "box:/")


def test_a_project_that_another_hub_has(nearby: Laptop, tmp_path: Path) -> None:
    watching = nearby.start("sync", "--watch")
    assert watching.stderr is not None
    for line in watching.stderr:
        if b"watching" in line:
            break
    runtime = tmp_path / "run2"
    done = nearby.sidecar("sync", env={"SIDECAR_RUNTIME_DIR": str(runtime)})
    assert done.returncode == 1
    assert "Another sidecar keeps" in done.stderr


@pytest.fixture
def guarded(
    server_thread: LoopThread,
    tmp_path: Path,
    laptop: Laptop,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[EmbeddedBox]:
    """A machine that wants a password."""
    folder = tmp_path / "guarded"
    folder.mkdir()
    box = EmbeddedBox(server_thread, folder, password="s3cret", key=False)
    monkeypatch.setenv("SIDECAR_SSH_CONFIG", str(box.ssh_config))
    laptop.configure('[hosts.box]\npath = "~/model"\ntransport = "asyncssh"\n')
    yield box
    box.close()


def test_a_password_without_a_terminal(laptop: Laptop, guarded: EmbeddedBox) -> None:
    refused(laptop, "box")


def test_a_password_is_asked_on_the_terminal_and_asked_again(
    laptop: Laptop, guarded: EmbeddedBox
) -> None:
    laptop.write("a.py", "x = 1\n")
    terminal = TerminalSession(laptop, "sync")
    terminal.expect("assword", "wrong\n")
    terminal.expect("assword", "s3cret\n")
    assert terminal.wait() == 0, terminal.text
    assert "s3cret" not in terminal.text
    assert (guarded.home / "model/a.py").exists()
    assert "s3cret" not in laptop.log


def test_a_choice_is_made_by_number_on_the_terminal(nearby: Laptop, embedded: Box) -> None:
    there = embedded.home / "model"
    there.mkdir()
    (there / "a.py").write_text("theirs\n")
    nearby.write("a.py", "mine\n")
    terminal = TerminalSession(nearby, "sync")
    terminal.expect("Choose 1-4", "1\n")
    assert terminal.wait() == 0, terminal.text
    assert (there / "a.py").read_text() == "mine\n"
