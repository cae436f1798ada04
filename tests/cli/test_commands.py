"""The command line as a shell sees it: the real process, a real hub, a real machine."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import sidecar
from sidecar.cli import editor, main
from sidecar.errors import UsageError
from tests.hub.laptop import COMMAND, PATIENCE, Laptop, until_gone
from tests.servers.box import Box
from tests.servers.programs import need_program


def test_the_version_is_told() -> None:
    done = subprocess.run([*COMMAND, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"sidecar {sidecar.__version__}\n"


def test_a_command_reads_its_own_arguments_alone_as_it_does_beside_all_others() -> None:
    def helps(whole: argparse.ArgumentParser) -> dict[str, str]:
        (found,) = (one.choices for one in whole._actions if isinstance(one.choices, dict))
        return {name: command.format_help() for name, command in found.items()}

    known = helps(main.parser())
    assert {"run", "status", "hub"} <= known.keys()
    for name, text in known.items():
        assert helps(main.parser(name)) == {name: text}
    for word in ("", "--help", "statsu"):
        assert helps(main.parser(word)) == known


def test_a_command_imports_nothing_of_the_hub_and_its_faces() -> None:
    code = (
        "import sys, sidecar.cli.main as main\n"
        "main.parser()\n"
        "import sidecar.cli.status, sidecar.cli.run, sidecar.cli.serve\n"
        "heavy = {'asyncio', 'asyncssh', 'pygls', 'lsprotocol', 'watchfiles'}\n"
        "heavy |= {'subprocess', 'tempfile', 'hashlib', 'platformdirs', 'getpass'}\n"
        "heavy |= {'inspect'} if sys.version_info >= (3, 11) else set()\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_sync_brings_the_remote_up_to_date_and_leaves_nothing_running(
    connected: Laptop, box: Box
) -> None:
    connected.write("pkg/a.py", "x = 1\n")
    done = connected.sidecar("sync")
    assert done.returncode == 0, done.stderr
    assert (box.home / "model/pkg/a.py").read_text() == "x = 1\n"
    pid = connected.hub_pid()
    if pid:
        until_gone(pid)
    assert not (box.home / "model/sidecar.local.toml").exists()


def test_a_sync_for_scripts_is_one_object(nearby: Laptop) -> None:
    nearby.write("a.py", "x = 1\n")
    done = nearby.sidecar("sync", "--json")
    assert set(json.loads(done.stdout)) >= {"sent", "removed", "bytesSent", "notes"}


def test_first_contact_with_a_full_folder_stops_and_names_the_option(
    nearby: Laptop, embedded: Box
) -> None:
    there = embedded.home / "model"
    there.mkdir()
    (there / "a.py").write_text("theirs\n")
    nearby.write("a.py", "mine\n")
    done = nearby.sidecar("sync")
    assert done.returncode == 1
    assert "--prefer" in done.stderr
    assert "a.py" in done.stderr
    assert (there / "a.py").read_text() == "theirs\n"
    assert nearby.sidecar("sync", "--prefer", "local").returncode == 0
    assert (there / "a.py").read_text() == "mine\n"


def test_an_edit_on_the_remote_is_a_conflict_that_is_shown_and_decided(
    nearby: Laptop, embedded: Box
) -> None:
    nearby.write("a.py", "base\n")
    nearby.sidecar("sync")
    (embedded.home / "model/a.py").write_text("theirs, longer\n")
    nearby.write("a.py", "mine\n")
    done = nearby.sidecar("sync")
    assert done.returncode == 1
    assert "conflict" in done.stderr
    assert (embedded.home / "model/a.py").read_text() == "theirs, longer\n"
    assert nearby.sidecar("sync", "--prefer", "local", "a.py").returncode == 0
    assert (embedded.home / "model/a.py").read_text() == "mine\n"


def test_status_without_a_hub_starts_none(nearby: Laptop) -> None:
    done = nearby.sidecar("status")
    assert done.returncode == 0
    assert "Nothing runs" in done.stdout
    assert nearby.hub_pid() == 0
    assert json.loads(nearby.sidecar("status", "--json").stdout) == {"hubPid": 0, "sessions": []}


def test_status_shows_what_a_watching_sync_keeps(nearby: Laptop, embedded: Box) -> None:
    nearby.write("a.py", "x = 1\n")
    watching = nearby.start("sync", "--watch")
    assert watching.stderr is not None
    for line in watching.stderr:
        if b"watching" in line:
            break
    shown = json.loads(nearby.sidecar("status", "--json").stdout)
    (session,) = shown["sessions"]
    assert (session["host"], session["state"]) == ("box", "ready")
    table = nearby.sidecar("status").stdout
    assert table.splitlines()[0].split()[:2] == ["HOST", "STATE"]
    # No editor tells of this one: the watcher sees it.
    nearby.write("b.py", "y = 1\n")
    assert watching.stdout is not None
    while b"2 files, in step" not in watching.stdout.readline():
        pass
    assert (embedded.home / "model/b.py").read_text() == "y = 1\n"
    watching.send_signal(2)
    assert watching.wait(PATIENCE) == 0


def test_each_setting_is_shown_with_its_origin(nearby: Laptop) -> None:
    done = nearby.sidecar("config", "--json", env={"SIDECAR_SYNC_MODE": "mirror"})
    values = {one["key"]: one for one in json.loads(done.stdout)}
    assert values["hosts.box.path"]["value"] == "~/model"
    assert values["hosts.box.path"]["origin"].startswith("sidecar.local.toml:")
    assert values["sync.mode"] == {
        "key": "sync.mode",
        "value": "mirror",
        "origin": "SIDECAR_SYNC_MODE",
        "withheld": False,
    }
    one = nearby.sidecar("config", "hosts.box.path").stdout.splitlines()
    assert len(one) == 2
    assert nearby.sidecar("config", "hosts.box.pth").returncode == 2


def test_trust_is_given_to_what_was_shown(laptop: Laptop) -> None:
    laptop.write("sidecar.toml", '[hosts.far]\nssh = "far.example"\n')
    refused = laptop.sidecar("trust")
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    assert 'hosts.far.ssh = "far.example"' in refused.stderr
    assert laptop.sidecar("trust", "--yes").returncode == 0
    assert "Nothing" in laptop.sidecar("trust").stderr


def test_init_writes_a_host_and_keeps_the_file_from_git(laptop: Laptop) -> None:
    subprocess.run(["git", "init", "-q"], cwd=laptop.project, check=True)
    done = laptop.sidecar("init", "me@gpu1.example", "--python", "conda:ml")
    assert done.returncode == 0, done.stderr
    text = (laptop.project / "sidecar.local.toml").read_text()
    assert 'ssh = "me@gpu1.example"' in text
    assert 'path = "~/model"' in text
    assert "conda:ml" in text
    assert "sidecar.local.toml" in (laptop.project / ".git/info/exclude").read_text()
    again = laptop.sidecar("init", "me@gpu1.example")
    assert again.returncode == 1
    assert "already has" in again.stderr


def test_init_looks_at_the_folder_there_and_says_what_first_contact_would_do(
    laptop: Laptop, embedded: Box
) -> None:
    laptop.write("main.py", "mine\n")
    done = laptop.sidecar("init", embedded.alias)
    assert done.returncode == 0, done.stderr
    assert "/model is not there yet; 1 file, 5 B, would go there" in done.stderr
    (laptop.project / "sidecar.local.toml").unlink()
    (embedded.home / "model").mkdir()
    (embedded.home / "model/main.py").write_text("theirs\n")
    done = laptop.sidecar("init", embedded.alias)
    assert done.returncode == 0, done.stderr
    assert "1 different (main.py: 5 B here, 7 B there)" in done.stderr
    assert not (embedded.home / "model/.sidecar").exists()


def test_init_without_a_host_and_a_terminal_names_the_argument(laptop: Laptop) -> None:
    done = laptop.sidecar("init")
    assert done.returncode == 2
    assert "sidecar init HOST" in done.stderr


def test_the_neovim_client_is_put_in_place_and_replaced(laptop: Laptop, tmp_path: Path) -> None:
    done = laptop.sidecar("editor", "nvim", env={"XDG_DATA_HOME": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    target = Path(done.stdout.strip())
    assert target.is_relative_to(tmp_path)
    assert list(target.glob("plugin/*.lua"))
    (target / "stale.lua").touch()
    assert laptop.sidecar("editor", "nvim", env={"XDG_DATA_HOME": str(tmp_path)}).returncode == 0
    assert not (target / "stale.lua").exists()


def test_what_somebody_else_put_there_is_not_replaced(laptop: Laptop, tmp_path: Path) -> None:
    (tmp_path / "mine.lua").touch()
    done = laptop.sidecar("editor", "nvim", "--into", str(tmp_path))
    assert done.returncode == 2
    assert (tmp_path / "mine.lua").exists()


def test_the_hub_is_not_ended_under_others_without_force(laptop: Laptop, nearby: Laptop) -> None:
    serve = laptop.serve()
    pid = laptop.hub_pid()
    done = laptop.sidecar("hub", "stop")
    assert done.returncode == 2
    assert "1 program uses it" in done.stderr
    assert laptop.hub_pid() == pid
    assert laptop.sidecar("hub", "stop", "--force").returncode == 0
    until_gone(pid)
    assert serve.wait(PATIENCE) == 1
    assert "No hub is running" in laptop.sidecar("hub", "stop").stderr


@pytest.mark.parametrize(
    "arguments", [[], ["nonsense"], ["sync", "--prefer", "mine"], ["run"], ["editor", "ed"]]
)
def test_a_wrong_command_exits_2_without_a_traceback(laptop: Laptop, arguments: list[str]) -> None:
    done = laptop.sidecar(*arguments)
    assert done.returncode == 2
    assert "usage:" in done.stderr or "`sidecar --help`" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_reader_that_goes_ends_a_command_quietly(nearby: Laptop) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    done = subprocess.run(
        [*COMMAND, "config"], stdout=theirs, stderr=subprocess.PIPE, cwd=nearby.project, check=False
    )
    os.close(theirs)
    assert done.returncode == 141
    assert done.stderr == b""


def test_the_first_sync_says_what_it_sent(nearby: Laptop) -> None:
    nearby.write("a.py", "x = 1\n")
    nearby.write("b.py", "x = 1\n")
    assert json.loads(nearby.sidecar("sync", "--json").stdout)["sent"] == 2
    assert json.loads(nearby.sidecar("sync", "--json").stdout)["sent"] == 0


def test_a_dry_run_says_what_would_be_done_and_does_nothing(nearby: Laptop, embedded: Box) -> None:
    nearby.write("a.py", "mine\n")
    done = nearby.sidecar("sync", "-n")
    assert (done.stdout, done.returncode) == ("push a.py\n", 0)
    assert "nothing was done" in done.stderr
    assert not (embedded.home / "model").exists()
    there = embedded.home / "model"
    there.mkdir()
    (there / "a.py").write_text("theirs\n")
    assert nearby.sidecar("sync", "-n").stdout == "decide a.py\n"
    assert nearby.sidecar("sync", "-n", "--prefer", "local").stdout == "push a.py\n"
    assert (there / "a.py").read_text() == "theirs\n"
    assert not (there / ".sidecar").exists()
    nearby.sidecar("sync", "--prefer", "local")
    nearby.write("a.py", "mine again\n")
    nearby.write("b.py", "new\n")
    assert nearby.sidecar("sync", "-n").stdout == "push a.py\npush b.py\n"
    assert (there / "a.py").read_text() == "mine\n"


def test_a_hub_stays_as_long_as_the_ssh_configuration_has_connections_stay(
    nearby: Laptop, embedded: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_program("ssh")
    config = tmp_path / "ssh_config"
    config.write_text(f"{embedded.ssh_config.read_text()}\nHost *\n  ControlPersist 10m\n")
    monkeypatch.setenv("SIDECAR_SSH_CONFIG", str(config))
    monkeypatch.delenv("SIDECAR_LINGER", raising=False)
    nearby.write("a.py", "x = 1\n")
    assert nearby.sidecar("sync").returncode == 0
    pid = nearby.hub_pid()
    assert nearby.sidecar("sync").returncode == 0
    assert nearby.hub_pid() == pid


def test_a_hub_that_lingers_keeps_its_connection(
    nearby: Laptop, embedded: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIDECAR_LINGER", "60")
    before = embedded.accepted
    nearby.write("a.py", "x = 1\n")
    assert nearby.sidecar("sync").returncode == 0
    pid = nearby.hub_pid()
    assert "in step" in nearby.sidecar("status").stdout
    assert nearby.sidecar("sync").returncode == 0
    assert nearby.hub_pid() == pid
    assert embedded.accepted == before + 1


def test_every_vs_code_on_the_path_gets_the_extension(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    package = tmp_path / "sidecar.vsix"
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(UsageError, match="not built"):
        editor.install_vscode(package)
    package.touch()
    assert editor.install_vscode(package) == 0
    assert capsys.readouterr().out.strip() == str(package)
    program = tmp_path / "code"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/said\n')
    program.chmod(0o755)
    assert editor.install_vscode(package) == 0
    assert (tmp_path / "said").read_text() == f"--install-extension {package} --force\n"
    program.write_text("#!/bin/sh\necho no room >&2; exit 1\n")
    with pytest.raises(UsageError, match="no room"):
        editor.install_vscode(package)
