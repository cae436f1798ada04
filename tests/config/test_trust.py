"""A cloned repository's configuration is a stranger's until the person says otherwise."""

from __future__ import annotations

import os
import stat
import subprocess

import pytest

from sidecar.config import places
from sidecar.config.trust import distrust, trust
from sidecar.errors import ConfigError
from tests.config.conftest import Desk


def refused(desk: Desk, name: str = "") -> str:
    with pytest.raises(ConfigError) as caught:
        desk.load().host(name)
    assert caught.value.code == "untrusted"
    assert "sidecar trust" in caught.value.fix
    return caught.value.why


@pytest.mark.parametrize(
    "line",
    [
        'ssh = "evil.example"',
        'ssh = "ssh://me@gpu1:2222"',
        'setup = "curl x | sh"',
        'launch = "nice"',
        'via = "docker exec -i x"',
        'transport = "openssh"',
        'path = "~/.ssh"',
        'path = "~/x/../.config"',
        'path = "$XDG_CONFIG_HOME/x"',
        'state = "~/.local/x"',
        'path = "~/bin"',
        'path = "/usr/local/x"',
        'path = "~/Library/LaunchAgents"',
        'state = "/var/x"',
        'python = "~/{folder}/python"',
        'python = "/tmp/python"',
    ],
)
def test_what_runs_commands_or_chooses_a_machine_waits_for_trust(desk: Desk, line: str) -> None:
    desk.ssh_config("Host gpu1\n  HostName 192.0.2.1\n")
    desk.write("sidecar.toml", f"[hosts.gpu1]\n{line}\n")
    loaded = desk.load()
    assert loaded.untrusted == [f"hosts.gpu1.{line}"]
    assert f"hosts.gpu1.{line}" in refused(desk)
    key = line.split(" =")[0]
    withheld = [value for value in loaded.values() if value.withheld]
    assert [value.key for value in withheld] == [f"hosts.gpu1.{key}"]
    assert withheld[0].origin == "sidecar.toml:2"
    assert not getattr(loaded.config.hosts["gpu1"], key)
    trust(desk.project, loaded.untrusted)
    assert desk.load().untrusted == []
    assert getattr(desk.load().config.hosts["gpu1"], key) == line.split('"')[1]


@pytest.mark.parametrize(
    "line",
    [
        'ssh = "gpu1"',
        'path = "~/code/x"',
        'path = "$SCRATCH/{folder}"',
        'path = "/data/binary/x"',
        'python = "conda:ml"',
        'python = ".venv/bin/python"',
        'env = { OMP_NUM_THREADS = "8" }',
        "git = false",
    ],
)
def test_what_is_harmless_counts_at_once(desk: Desk, line: str) -> None:
    desk.ssh_config("Host other gpu1\n")
    desk.write("sidecar.toml", f"[hosts.gpu1]\n{line}\n")
    assert desk.load().untrusted == []
    desk.load().host()


def test_a_table_without_ssh_names_a_machine_by_its_own_name(desk: Desk) -> None:
    desk.write("sidecar.toml", '[hosts."evil.example"]\n')
    assert 'hosts."evil.example".ssh = "evil.example"' in refused(desk)
    trust(desk.project, desk.load().untrusted)
    assert desk.load().host()[1].ssh == "evil.example"


def test_a_wildcard_of_the_ssh_configuration_vouches_for_nobody(desk: Desk) -> None:
    desk.ssh_config("Host *\n  User me\nHost !x gpu*\n")
    desk.write("sidecar.toml", "[hosts.gpu1]\n")
    assert 'ssh = "gpu1"' in refused(desk)


def test_hosts_of_included_files_are_the_persons_own_too(desk: Desk) -> None:
    desk.ssh_config("Include conf.d/*\n")
    folder = desk.home / ".ssh" / "conf.d"
    folder.mkdir()
    (folder / "lab").write_text('Host "gpu1"\n')
    desk.write("sidecar.toml", "[hosts.gpu1]\n")
    assert desk.load().host()[1].ssh == "gpu1"


def test_what_the_person_says_needs_no_trust(desk: Desk) -> None:
    for name in ("config.toml", "sidecar.local.toml"):
        path = desk.write(name, '[hosts.gpu1]\nssh = "x"\nvia = "y"\n')
        assert desk.load().host()[1].via == "y"
        path.unlink()


def test_a_host_that_the_person_has_too_may_get_a_path_from_the_team(desk: Desk) -> None:
    desk.write("config.toml", "[hosts.gpu1]\n")
    desk.write("sidecar.toml", '[hosts.gpu1]\npath = "~/x"\n')
    assert desk.load().host()[1].path == "~/x"


def test_a_personal_value_takes_the_place_of_an_untrusted_one(desk: Desk) -> None:
    desk.write("sidecar.toml", '[hosts.gpu1]\nvia = "evil"\n')
    desk.write("sidecar.local.toml", '[hosts.gpu1]\nvia = "mine"\n')
    assert desk.load().untrusted == []
    assert desk.load().host()[1].via == "mine"


def test_an_untrusted_host_does_not_spoil_another(desk: Desk) -> None:
    desk.write("sidecar.toml", "[hosts.evil]\n")
    desk.write("sidecar.local.toml", 'host = "gpu1"\n[hosts.gpu1]\n')
    assert desk.load().host()[0] == "gpu1"
    refused(desk, "evil")


def test_a_changed_setting_is_asked_about_again_and_the_others_are_not(desk: Desk) -> None:
    desk.write("sidecar.toml", '[hosts.gpu1]\nsetup = "a"\nlaunch = "b"\n')
    trust(desk.project, desk.load().untrusted)
    desk.write("sidecar.toml", '[hosts.gpu1]\nsetup = "a2"\nlaunch = "b"\n')
    assert desk.load().untrusted == ['hosts.gpu1.setup = "a2"']
    trust(desk.project, desk.load().untrusted)
    assert desk.load().untrusted == []


def test_trust_is_of_one_project_and_can_be_taken_back(desk: Desk) -> None:
    desk.write("sidecar.toml", "[hosts.gpu1]\n")
    trust(desk.project, desk.load().untrusted)
    assert desk.load().untrusted == []
    first, desk.root = desk.project, desk.home / "work" / "copy"
    desk.write("sidecar.toml", "[hosts.gpu1]\n")
    assert desk.load().untrusted
    desk.root = first.root
    distrust(first)
    assert desk.load().untrusted


def test_trust_is_kept_privately_and_outside_of_the_project(desk: Desk) -> None:
    desk.write("sidecar.toml", "[hosts.gpu1]\n")
    trust(desk.project, desk.load().untrusted)
    assert [path.name for path in desk.root.iterdir()] == ["sidecar.toml"]
    (file,) = (places.state_dir() / "trust").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "gpu1" not in file.read_text()


def test_trust_that_cannot_be_read_was_not_given(desk: Desk) -> None:
    desk.write("sidecar.toml", "[hosts.gpu1]\n")
    trust(desk.project, desk.load().untrusted)
    (file,) = (places.state_dir() / "trust").iterdir()
    for content in (b"", b"{", b'{"version": 2, "settings": []}', b"\xff"):
        file.write_bytes(content)
        assert desk.load().untrusted


def test_a_shared_destination_that_is_an_option_is_refused_outright(desk: Desk) -> None:
    desk.write("sidecar.toml", '[hosts.gpu1]\nssh = "-oProxyCommand=touch x"\n')
    with pytest.raises(ConfigError, match="never begins"):
        desk.load()


def test_what_is_asked_about_cannot_steer_the_terminal_that_shows_it(desk: Desk) -> None:
    desk.write("sidecar.toml", '[hosts.gpu1]\nsetup = "a\\u001b[2K\\u009b\\u202e\\nb"\n')
    (statement,) = (one for one in desk.load().untrusted if "setup" in one)
    assert statement.isprintable()
    assert "\\U0000202e" in statement


def test_variables_of_this_machine_are_not_passed_on_at_a_strangers_wish(desk: Desk) -> None:
    desk.ssh_config("Host gpu1\n")
    desk.write("sidecar.toml", '[hosts.gpu1]\nenv = ["AWS_SECRET_ACCESS_KEY", "HOME"]\n')
    loaded = desk.load()
    assert loaded.untrusted == ['hosts.gpu1.env = ["AWS_SECRET_ACCESS_KEY", "HOME"]']
    assert loaded.config.hosts["gpu1"].env == {}
    refused(desk)
    trust(desk.project, loaded.untrusted)
    assert desk.load().host()[1].env == ["AWS_SECRET_ACCESS_KEY", "HOME"]


def git(desk: Desk, *arguments: str) -> None:
    subprocess.run(["git", "-C", desk.root, *arguments], check=True, capture_output=True)


def test_a_local_file_that_came_with_a_clone_is_a_strangers(desk: Desk) -> None:
    git(desk, "init", "-q")
    file = desk.write("sidecar.local.toml", '[hosts.evil]\nvia = "sh -c x"\n')
    assert desk.load().untrusted == []  # as somebody writes it who has just made the repository
    git(desk, "add", "-f", file.name)
    file.touch()  # a clone writes it anew
    assert desk.load().untrusted == ['hosts.evil.via = "sh -c x"', 'hosts.evil.ssh = "evil"']
    refused(desk)


@pytest.mark.skipif(os.geteuid() != 0, reason="only on a machine where the tests are root")
def test_a_local_file_of_another_user_is_a_strangers(desk: Desk) -> None:
    file = desk.write("sidecar.local.toml", '[hosts.evil]\nvia = "sh -c x"\n')
    assert desk.load().untrusted == []
    os.chown(file, 65534, 65534)
    assert 'hosts.evil.via = "sh -c x"' in desk.load().untrusted
