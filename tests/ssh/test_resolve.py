"""Our reading of a configuration against the ssh program's, and without it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.errors import ConnectError
from sidecar.ssh.destination import Destination
from sidecar.ssh.resolve import resolve
from tests.servers.programs import need_program

CONFIG = """\
Host gpu*
    HostName %h.example
    User me
    Port 2222
    IdentityFile ~/.ssh/id_%n_%r
    UserKnownHostsFile ~/known
    ServerAliveInterval 7
    ProxyJump you@bastion:22

Host piped
    ProxyCommand nc %h %p

Match originalhost special exec true
    User matched

Host *
    User anybody
    StrictHostKeyChecking accept-new
"""


@pytest.fixture(params=["program", "parser"])
def config(
    request: pytest.FixtureRequest,
    isolated: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A configuration, read by the ssh program and by asyncssh's parser."""
    if request.param == "program":
        need_program("ssh")
    else:
        monkeypatch.setenv("PATH", "/nowhere")
    file = tmp_path / "config"
    file.write_text(CONFIG)
    monkeypatch.setenv("SIDECAR_SSH_CONFIG", str(file))
    return file


async def test_a_host_is_resolved(config: Path, isolated: Path) -> None:
    found = await resolve("gpu1")
    assert (found.host, found.port, found.user) == ("gpu1.example", 2222, "me")
    assert found.identity_files == (f"{isolated}/.ssh/id_gpu1_me",)
    assert found.known_hosts[0].endswith("/known")
    assert found.alive_interval == 7
    assert found.jumps == (Destination("bastion", "you", 22),)
    assert found.destination == Destination("gpu1")


async def test_what_is_typed_wins(config: Path) -> None:
    found = await resolve("ssh://root@gpu1:1")
    assert (found.host, found.port, found.user) == ("gpu1.example", 1, "root")


async def test_a_proxy_command_is_ready_for_a_shell(config: Path) -> None:
    assert (await resolve("piped")).proxy_command == "nc piped 22"


async def test_match_exec_is_run(config: Path) -> None:
    assert (await resolve("special")).user == "matched"


async def test_an_unknown_host_gets_what_is_for_all(config: Path) -> None:
    found = await resolve("anything")
    assert (found.host, found.user) == ("anything", "anybody")
    assert len(found.identity_files) >= 4


async def test_a_file_may_be_named(config: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("Host gpu1\n    Port 5\n")
    assert (await resolve("gpu1", config_file=str(other))).port == 5


async def test_a_wrong_file_is_told(config: Path) -> None:
    config.write_text("Host x\n    Port many\n")
    with pytest.raises(ConnectError) as caught:
        await resolve("x")
    assert caught.value.code == "bad-config"
    assert "line 2" in caught.value.why


async def test_only_ssh_reads_how_strict_to_be_and_otherwise_it_asks(config: Path) -> None:
    assert (await resolve("x")).strict in ("accept-new", "ask")
