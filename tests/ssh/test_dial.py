"""Every way in which a dial fails, against real servers, and the ways around."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncssh
import pytest

from sidecar.errors import ConnectError
from sidecar.ssh.last_words import escaped
from sidecar.ssh.transport import Transport
from tests.servers.box import Box
from tests.servers.embedded import EmbeddedBox
from tests.servers.keys import make_key
from tests.servers.loop_thread import LoopThread
from tests.servers.openssh import AccountBox, SshdBox, free_port
from tests.servers.programs import need_program
from tests.ssh.conftest import Connect, configure
from tests.ssh.people import Scripted

NewBox = Callable[..., EmbeddedBox]


async def refusal(connecting: object) -> ConnectError:
    with pytest.raises(ConnectError) as caught:
        await connecting  # type: ignore[misc]
    failure = caught.value
    assert failure.what
    assert failure.why
    assert failure.fix
    assert escaped(str(failure).encode()) == str(failure)
    return failure


async def says(transport: Transport, command: str = "echo in") -> bytes:
    process = await transport.start(command)
    said = b""
    while piece := await process.read():
        said += piece
    return said


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


# Names and networks


@pytest.mark.parametrize("transport", ["asyncssh", "openssh"])
async def test_an_unknown_name_is_no_such_host(
    sshd: SshdBox, connect: Connect, transport: str
) -> None:
    configure(sshd, HostName="nowhere.invalid")
    failure = await refusal(connect(transport=transport))
    assert failure.code == "no-such-host"
    assert "box" in failure.what
    assert not failure.asks_person


@pytest.mark.parametrize("transport", ["asyncssh", "openssh"])
async def test_a_port_where_nothing_listens_refuses(
    sshd: SshdBox, connect: Connect, transport: str
) -> None:
    configure(sshd, Port=free_port())
    failure = await refusal(connect(transport=transport))
    assert failure.code == "refused"
    assert not failure.asks_person


@pytest.mark.parametrize("transport", ["asyncssh", "openssh"])
async def test_a_server_that_never_answers_is_given_up(
    sshd: SshdBox, connect: Connect, transport: str, silent_port: int
) -> None:
    configure(sshd, Port=silent_port, ConnectTimeout=1)
    started = time.monotonic()
    failure = await refusal(connect(transport=transport))
    assert failure.code == "unreachable"
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("transport", ["asyncssh", "openssh"])
async def test_what_is_no_ssh_server_is_told(
    sshd: SshdBox, connect: Connect, transport: str
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    configure(sshd, Port=server.sockets[0].getsockname()[1])
    failure = await refusal(connect(transport=transport))
    server.close()
    assert failure.code in ("not-ssh", "dropped")


async def test_a_server_that_hangs_up_is_told(embedded: Box, connect: Connect) -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    configure(embedded, Port=server.sockets[0].getsockname()[1])
    failure = await refusal(connect())
    server.close()
    assert failure.code == "dropped"


async def test_a_destination_that_is_an_option_is_refused(embedded: Box, connect: Connect) -> None:
    failure = await refusal(connect("-oProxyCommand=touch /tmp/owned"))
    assert failure.code == "bad-destination"


async def test_a_wrong_option_is_told_with_its_line(sshd: Box, connect: Connect) -> None:
    with sshd.ssh_config.open("a") as config:
        config.write("    NoSuchOption yes\n")
    failure = await refusal(connect())
    assert failure.code == "bad-config"
    assert re.search(r"line \d+", failure.why)


async def test_ciphers_that_nobody_has_here_are_told(embedded: Box, connect: Connect) -> None:
    need_program("ssh")
    configure(embedded, Ciphers="3des-cbc", MACs="hmac-sha2-256")
    failure = await refusal(connect())
    assert failure.code == "no-common-algorithm"


def key_exchange_offer(cipher: str) -> bytes:
    """A server's first bytes: its version, and a KEXINIT (RFC 4253, 7.1)."""
    ciphers, macs = [cipher] * 2, ["hmac-sha2-256"] * 2
    lists = ["curve25519-sha256", "ssh-ed25519", *ciphers, *macs, "none", "none", "", ""]
    payload = b"\x14" + bytes(16) + b"".join(ssh_string(names) for names in lists) + bytes(5)
    padding = 16 - (5 + len(payload)) % 8
    head = struct.pack(">IB", 1 + len(payload) + padding, padding)
    return b"SSH-2.0-Test\r\n" + head + payload + bytes(padding)


def ssh_string(text: str) -> bytes:
    return struct.pack(">I", len(text)) + text.encode()


async def test_what_a_server_offered_counts_though_it_hung_up_at_once(
    embedded: Box, connect: Connect
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(key_exchange_offer("3des-cbc"))
        writer.write_eof()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    configure(embedded, Port=server.sockets[0].getsockname()[1])
    failure = await refusal(connect())
    server.close()
    assert failure.code == "no-common-algorithm"
    assert "3des-cbc" in failure.why


# Host keys


async def test_an_unknown_key_is_asked_about_and_remembered(box: Box, connect: Connect) -> None:
    if box.transport == "openssh":
        return
    box.known_hosts.write_text("")
    person = Scripted(choice="yes")
    transport = await connect(person=person)
    assert await says(transport) == b"in\n"
    [question] = person.choices
    assert question.options == ("yes", "once", "no")
    printed = subprocess.run(
        [need_program("ssh-keygen"), "-lf", f"{box.host_key.path}.pub"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert printed.split()[1] in question.message
    assert f"[127.0.0.1]:{box.port}" in box.known_hosts.read_text()
    assert not transport.asked
    again = Scripted()
    await connect(person=again)
    assert again.choices == []


async def test_an_unknown_key_once_is_not_remembered(embedded: Box, connect: Connect) -> None:
    embedded.known_hosts.write_text("")
    transport = await connect(person=Scripted(choice="once"))
    assert embedded.known_hosts.read_text() == ""
    assert transport.asked


@pytest.mark.parametrize(("answer", "code"), [("no", "cancelled"), (None, "host-key-unknown")])
async def test_an_unknown_key_that_nobody_trusts_ends_it(
    embedded: Box, connect: Connect, answer: str | None, code: str
) -> None:
    embedded.known_hosts.unlink()
    failure = await refusal(connect(person=Scripted(choice=answer)))
    assert failure.code == code
    assert failure.asks_person
    assert "SHA256:" in failure.why
    assert not embedded.known_hosts.exists()


async def test_strict_checking_refuses_without_a_question(embedded: Box, connect: Connect) -> None:
    embedded.known_hosts.write_text("")
    configure(embedded, StrictHostKeyChecking="yes")
    need_program("ssh")
    person = Scripted(choice="yes")
    failure = await refusal(connect(person=person))
    assert failure.code == "host-key-unknown"
    assert person.choices == []


async def test_accept_new_takes_a_key_without_a_question(embedded: Box, connect: Connect) -> None:
    need_program("ssh")
    embedded.known_hosts.write_text("")
    configure(embedded, StrictHostKeyChecking="accept-new", HashKnownHosts="yes")
    steps: list[str] = []
    await connect(progress=steps.append)
    assert embedded.known_hosts.read_text().startswith("|1|")
    assert any("SHA256:" in step for step in steps)
    await connect()


async def test_batch_mode_asks_nothing(embedded: Box, connect: Connect) -> None:
    need_program("ssh")
    embedded.known_hosts.write_text("")
    configure(embedded, BatchMode="yes")
    person = Scripted(choice="yes")
    assert (await refusal(connect(person=person))).code == "host-key-unknown"
    assert person.choices == []


@pytest.mark.parametrize("strict", ["ask", "accept-new", "no"])
async def test_a_changed_key_is_refused_whatever_is_set(
    embedded: Box, connect: Connect, strict: str
) -> None:
    need_program("ssh-keygen")
    other = make_key(embedded.folder / f"other-{strict}")
    embedded.known_hosts.write_text(f"# a comment\n[127.0.0.1]:{embedded.port} {other.public}\n")
    configure(embedded, StrictHostKeyChecking=strict)
    failure = await refusal(connect(person=Scripted(choice="yes")))
    assert failure.code == "host-key-changed"
    assert failure.asks_person
    assert f"{embedded.known_hosts}:2" in failure.why
    assert "ssh-keygen -R" in failure.fix
    # What the message says to do is what helps.
    command = re.search(r"`(ssh-keygen [^`]*)`", failure.fix)
    assert command is not None
    subprocess.run(command[1], shell=True, check=True, capture_output=True)
    await connect(person=Scripted(choice="yes"))


async def test_a_changed_key_is_told_by_ssh_too(sshd: SshdBox, connect: Connect) -> None:
    other = make_key(sshd.folder / "other")
    sshd.known_hosts.write_text(f"[127.0.0.1]:{sshd.port} {other.public}\n")
    failure = await refusal(connect(transport="openssh"))
    assert failure.code == "host-key-changed"
    assert "ssh-keygen" in failure.fix


async def test_an_unknown_key_is_told_by_ssh_too(sshd: SshdBox, connect: Connect) -> None:
    sshd.known_hosts.write_text("")
    failure = await refusal(connect(transport="openssh"))
    assert failure.code == "host-key-unknown"
    assert failure.asks_person


async def test_a_revoked_key_is_refused(embedded: Box, connect: Connect) -> None:
    with embedded.known_hosts.open("a") as known:
        known.write(f"@revoked * {embedded.host_key.public}\n")
    failure = await refusal(connect(person=Scripted(choice="yes")))
    assert failure.code == "host-key-changed"
    assert "revoked" in str(failure)


async def test_a_key_of_another_kind_is_asked_about_with_a_warning(
    embedded: Box, connect: Connect
) -> None:
    other = make_key(embedded.folder / "ecdsa", algorithm="ecdsa-sha2-nistp256")
    embedded.known_hosts.write_text(f"[127.0.0.1]:{embedded.port} {other.public}\n")
    person = Scripted(choice="once")
    await connect(person=person)
    assert "another kind" in person.choices[0].message


async def test_host_key_alias_names_the_key(embedded: Box, connect: Connect) -> None:
    embedded.known_hosts.write_text(f"cluster {embedded.host_key.public}\n")
    configure(embedded, HostKeyAlias="cluster")
    await connect()


async def test_a_key_known_without_its_port_is_good(embedded: Box, connect: Connect) -> None:
    embedded.known_hosts.write_text(f"127.0.0.1 {embedded.host_key.public}\n")
    await connect()


# Signing in


@pytest.mark.parametrize("transport", ["asyncssh", "openssh"])
async def test_a_key_that_is_not_wanted_is_refused(
    sshd: SshdBox, connect: Connect, transport: str
) -> None:
    stranger = make_key(sshd.folder / f"stranger-{transport}")
    configure(sshd, IdentityFile=stranger.path)
    before = sshd.accepted
    failure = await refusal(connect(transport=transport))
    assert failure.code == "auth-failed"
    assert failure.asks_person
    assert sshd.accepted == before + 1
    if transport == "asyncssh":
        assert str(stranger.path) in failure.why
        assert "publickey" in failure.why


@pytest.mark.parametrize("algorithm", ["ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256"])
@pytest.mark.parametrize("beside", [True, False])
async def test_a_passphrase_is_asked_and_asked_again(
    sshd: SshdBox, connect: Connect, algorithm: str, beside: bool
) -> None:
    """`beside`: whether the public half is in a file of its own."""
    key = make_key(sshd.folder / f"{algorithm}-{beside}", "open sesame", algorithm)
    if not beside:
        key.path.with_name(key.path.name + ".pub").unlink()
    with (sshd.folder / "authorized_keys").open("a") as authorized:
        authorized.write(key.public + "\n")
    configure(sshd, IdentityFile=key.path)
    person = Scripted(["wrong", "open sesame"])
    transport = await connect(person=person)
    assert await says(transport) == b"in\n"
    assert transport.asked
    first, second = person.secrets
    assert str(key.path) in first.prompt
    assert not first.echo
    assert (first.problem, bool(second.problem)) == ("", True)


async def test_a_passphrase_is_not_asked_for_a_key_that_would_not_do(
    sshd: SshdBox, connect: Connect
) -> None:
    stranger = make_key(sshd.folder / "locked-stranger", "secret")
    configure(sshd, IdentityFile=[str(stranger.path), str(sshd.client_key.path)])
    person = Scripted(["secret"])
    transport = await connect(person=person)
    assert person.secrets == []
    assert not transport.asked


async def test_a_wrong_passphrase_is_given_up_after_the_configured_number(
    sshd: SshdBox, connect: Connect
) -> None:
    key = make_key(sshd.folder / "locked", "right")
    with (sshd.folder / "authorized_keys").open("a") as authorized:
        authorized.write(key.public + "\n")
    configure(sshd, IdentityFile=key.path, NumberOfPasswordPrompts=2)
    person = Scripted(["a", "b", "c", "d"])
    assert (await refusal(connect(person=person))).code == "auth-failed"
    assert len(person.secrets) == 2


async def test_an_agent_signs(
    sshd: SshdBox, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = sshd.folder / "agent"
    folder.mkdir()
    sock = folder / "sock"
    with subprocess.Popen(
        [need_program("ssh-agent"), "-D", "-a", str(sock)], stdout=subprocess.PIPE
    ) as agent:
        assert agent.stdout is not None
        agent.stdout.readline()
        monkeypatch.setenv("SSH_AUTH_SOCK", str(sock))
        subprocess.run(
            [need_program("ssh-add"), "-q", str(sshd.client_key.path)],
            check=True,
            capture_output=True,
        )
        configure(sshd, without=("IdentityAgent", "IdentityFile", "IdentitiesOnly"))
        assert await says(await connect()) == b"in\n"
        configure(sshd, without=("IdentityFile",), IdentityAgent=sock, IdentitiesOnly="yes")
        assert (await refusal(connect())).code == "auth-failed"
        agent.terminate()


async def test_an_agent_that_is_gone_does_not_keep_files_out(
    sshd: SshdBox, connect: Connect
) -> None:
    configure(sshd, IdentityAgent="/nowhere/agent")
    await connect()


async def test_a_password_is_asked_in_the_servers_words(new_box: NewBox, connect: Connect) -> None:
    new_box(password="hunter2", key=False)
    person = Scripted(["wrong", "hunter2"])
    transport = await connect(person=person)
    assert await says(transport) == b"in\n"
    assert transport.asked
    first, second = person.secrets
    assert first.host == "box"
    assert first.prompt.endswith("@127.0.0.1's password: ")
    assert first.problem == ""
    assert "denied" in second.problem


async def test_a_wrong_password_is_given_up(new_box: NewBox, connect: Connect) -> None:
    box = new_box(password="hunter2", key=False)
    person = Scripted(["a", "b", "c", "d", "e"])
    failure = await refusal(connect(person=person))
    assert failure.code == "auth-failed"
    assert failure.asks_person
    assert len(person.secrets) == 3
    assert box.accepted == 1
    assert all(secret not in str(failure) for secret in ("hunter2", "'a'"))


async def test_codes_are_asked_prompt_by_prompt(new_box: NewBox, connect: Connect) -> None:
    new_box(codes={"Password: ": "hunter2", "Verification code: ": "123456"}, key=False)
    person = Scripted(["hunter2", "000000", "hunter2", "123456"])
    transport = await connect(person=person)
    assert [question.prompt.partition(") ")[2] for question in person.secrets] == [
        "Password: ",
        "Verification code: ",
    ] * 2
    assert [bool(question.problem) for question in person.secrets] == [False, False, True, False]
    assert transport.asked


async def test_what_a_host_asks_is_never_taken_for_a_question_of_ours(
    new_box: NewBox, connect: Connect
) -> None:
    ours = "Enter passphrase for key '/home/me/.ssh/id_ed25519': "
    new_box(codes={ours: "a", f"Welcome\n{ours}": "b", "x" * 5000: "c"}, key=False)
    person = Scripted(["a", "b", "c"])
    await connect(person=person)
    for question in person.secrets:
        last = question.prompt.rpartition("\n")[2]
        assert re.match(r"\(\S+@127\.0\.0\.1\) ", last), question.prompt
        assert len(last) < 4200


async def test_a_message_without_a_question_is_shown(new_box: NewBox, connect: Connect) -> None:
    new_box(message="Pushed a login request to your \x1b[1mphone", key=False)
    steps: list[str] = []
    transport = await connect(person=Scripted(), progress=steps.append)
    assert steps[-1] == "box says: Pushed a login request to your \\x1b[1mphone"
    assert transport.asked


async def test_a_question_that_nobody_answers_ends_it_at_once(
    new_box: NewBox, connect: Connect
) -> None:
    new_box(password="hunter2", codes={"Code: ": "1"}, key=False)
    person = Scripted()
    failure = await refusal(connect(person=person))
    assert failure.code == "cancelled"
    assert failure.asks_person
    assert len(person.secrets) == 1


async def test_a_thinking_person_is_waited_for(new_box: NewBox, connect: Connect) -> None:
    box = new_box(password="hunter2", key=False)
    need_program("ssh")
    configure(box, ConnectTimeout=1)

    class Slow(Scripted):
        async def secret(self, question: object) -> str | None:
            await asyncio.sleep(1.5)
            return "hunter2"

    assert await says(await connect(person=Slow())) == b"in\n"


async def test_no_log_has_a_secret(
    new_box: NewBox, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    box = new_box(password="hunter2", codes={"Code: ": "hunter3"}, key=False)
    caplog.set_level(logging.DEBUG)
    # Level 3 writes down every packet before it is encrypted; nothing of ours may ever set it.
    asyncssh.set_debug_level(2)
    try:
        await connect(person=Scripted(["hunter3"]))
        configure(box, PreferredAuthentications="password")
        await connect(person=Scripted(["wrong2", "hunter2"]))
    finally:
        asyncssh.set_debug_level(1)
    assert caplog.text
    assert not any(secret in caplog.text for secret in ("hunter2", "hunter3", "wrong2"))


@pytest.fixture
def account(
    request: pytest.FixtureRequest,
    server_thread: LoopThread,
    isolated: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[AccountBox]:
    box = AccountBox(server_thread, request.param)
    monkeypatch.setenv("SIDECAR_SSH_CONFIG", str(box.ssh_config))
    yield box
    box.close()


@pytest.mark.real
@pytest.mark.parametrize(
    ("account", "prompt"),
    [
        (["PasswordAuthentication yes"], "tester@127.0.0.1's password: "),
        (["KbdInteractiveAuthentication yes"], "(tester@127.0.0.1) Password: "),
    ],
    indirect=["account"],
    ids=["password", "keyboard-interactive"],
)
async def test_a_real_sshd_takes_what_is_typed(
    account: AccountBox, connect: Connect, prompt: str
) -> None:
    person = Scripted(["wrong", account.password])
    transport = await connect(person=person)
    assert await says(transport, "id -un; pwd") == f"tester\n{account.home}\n".encode()
    assert [question.prompt for question in person.secrets] == [prompt, prompt]
    assert [bool(question.problem) for question in person.secrets] == [False, True]
    assert transport.asked
    # The ssh program of ours may ask nothing, and says what helps.
    failure = await refusal(connect(transport="openssh"))
    assert failure.code == "auth-failed"
    assert "ControlMaster" in failure.fix


# Ways around


@pytest.mark.parametrize("name", ["box-jumped", "box-piped"])
async def test_a_jump_is_dialled_by_ourselves(sshd: SshdBox, connect: Connect, name: str) -> None:
    before = sshd.jump_line.accepted
    transport = await connect(name)
    assert await says(transport) == b"in\n"
    assert sshd.jump_line.accepted == before + 1
    sshd.jump_line.cut()
    assert await asyncio.wait_for(transport.closed(), 10)


async def test_three_hops_are_dialled_one_through_the_other(
    sshd: SshdBox, connect: Connect
) -> None:
    with sshd.ssh_config.open("a") as config:
        config.write("Host deep\n    ProxyJump jump,box\n")
        config.writelines(f"    {name} {value}\n" for name, value in sshd.options().items())
    before = sshd.accepted
    assert await says(await connect("deep")) == b"in\n"
    assert sshd.accepted == before + 2


async def test_an_address_that_does_not_answer_costs_no_more_than_a_moment(
    embedded: EmbeddedBox, connect: Connect
) -> None:
    # Of localhost's two addresses, one or both may exist; the box listens on IPv4 alone.
    configure(embedded, HostName="localhost", HostKeyAlias="box")
    embedded.known_hosts.write_text(f"box {embedded.host_key.public}\n")
    assert await says(await connect()) == b"in\n"
    need_program("ssh")
    configure(embedded, HostName="localhost", AddressFamily="inet6")
    assert (await refusal(connect())).code in ("refused", "no-such-host", "unreachable")


async def test_a_jump_host_asks_for_itself(sshd: SshdBox, connect: Connect) -> None:
    lines = sshd.known_hosts.read_text().splitlines()
    sshd.known_hosts.write_text(lines[0] + "\n")
    person = Scripted(choice="once")
    transport = await connect("box-jumped", person)
    assert [question.message.split(" (")[0] for question in person.choices] == [
        "The host key of jump"
    ]
    assert transport.asked


async def test_a_failure_names_the_hop(sshd: SshdBox, connect: Connect) -> None:
    with sshd.ssh_config.open("a") as config:
        config.write(f"Host behind\n    ProxyJump jump\n    Port {free_port()}\n")
        config.write("    HostName 127.0.0.1\n")
        config.write("Host lost\n    ProxyJump jump\n    HostName nowhere.invalid\n")
        config.write("Host circle\n    ProxyJump circle2\nHost circle2\n    ProxyJump circle\n")
    assert (await refusal(connect("behind"))).code == "refused"
    assert (await refusal(connect("lost"))).code == "no-such-host"
    circle = await refusal(connect("circle"))
    assert circle.code == "bad-config"
    assert "circle2" in circle.why


async def test_a_proxy_command_is_the_line(sshd: SshdBox, connect: Connect) -> None:
    transport = await connect("box-nc")
    assert await says(transport) == b"in\n"
    await transport.close()


async def test_a_proxy_command_that_fails_is_quoted(sshd: SshdBox, connect: Connect) -> None:
    configure(sshd, ProxyCommand="echo no tunnel for you >&2; exit 1")
    failure = await refusal(connect())
    assert failure.code == "proxy-failed"
    assert "no tunnel for you" in failure.why


async def test_a_proxy_command_that_hangs_is_ended(sshd: SshdBox, connect: Connect) -> None:
    mark = sshd.folder / "pid"
    configure(sshd, ConnectTimeout=1, ProxyCommand=f"sh -c 'echo $$ > {mark}; exec sleep 600'")
    failure = await refusal(connect())
    assert failure.code in ("proxy-failed", "unreachable")
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)


# The choice of transport


async def test_a_live_master_of_the_person_is_used(
    sshd: SshdBox, connect: Connect, isolated: object
) -> None:
    control = sshd.folder.parent / "cm"
    configure(sshd, ControlPath=control)
    ssh = [need_program("ssh"), "-F", str(sshd.ssh_config)]
    assert (await connect(transport="")).name == "asyncssh"
    with subprocess.Popen(
        [*ssh, "-MNT", "-o", "PermitLocalCommand=yes", "-o", "LocalCommand=echo up", "box"],
        stdout=subprocess.PIPE,
    ) as master:
        assert master.stdout is not None
        assert master.stdout.readline() == b"up\n"
        before = sshd.accepted
        transport = await connect(transport="")
        assert transport.name == "openssh"
        assert await says(transport) == b"in\n"
        assert sshd.accepted == before
        process = await transport.start("cat")
        await process.write(b"x")
        assert await process.read() == b"x"
        master.terminate()
        with pytest.raises(Exception, match="connection to box is gone"):
            await asyncio.wait_for(process.read(), 10)
        assert await asyncio.wait_for(transport.closed(), 10)
        assert sshd.accepted <= before + 1


async def test_our_own_master_leaves_the_persons_forwards_alone(
    sshd: SshdBox, connect: Connect
) -> None:
    port = free_port()
    configure(sshd, LocalForward=f"{port} 127.0.0.1:1", RemoteCommand="false", RequestTTY="force")
    transport = await connect(transport="openssh")
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
    assert await says(transport) == b"in\n"


async def test_our_own_master_ends_with_us_however_we_end(sshd: SshdBox) -> None:
    program = textwrap.dedent("""
        import asyncio, os, signal
        from sidecar.questions import Nobody
        from sidecar.ssh.dial import dial
        async def main():
            transport = await dial("box", Nobody(), transport="openssh")
            process = await transport.start("echo up; cat")
            await process.read()
            os.kill(os.getpid(), signal.SIGKILL)
        asyncio.run(main())
    """)
    before = sshd.accepted
    assert subprocess.run([sys.executable, "-c", program]).returncode == -signal.SIGKILL
    assert sshd.accepted == before + 1
    await asyncio.wait_for(asyncio.to_thread(sshd.line.wait_empty), 10)


@pytest.mark.real
@pytest.mark.parametrize(
    "account", [["PasswordAuthentication yes", "MaxAuthTries 1"]], indirect=True, ids=["strict"]
)
async def test_a_host_that_has_had_enough_is_never_tried_again_unasked(
    account: AccountBox, connect: Connect
) -> None:
    failure = await refusal(connect(person=Scripted(["wrong", "wrong", "wrong"])))
    assert failure.code == "auth-failed"
    assert failure.asks_person
    assert "Too many authentication failures" in failure.why


async def test_no_ssh_program_is_told(
    sshd: SshdBox, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    failure = await refusal(connect(transport="openssh"))
    assert failure.code == "no-ssh"
    assert (await connect(transport="")).name == "asyncssh"


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux")
async def test_the_first_command_does_not_wait_for_a_delayed_acknowledgement(
    sshd: SshdBox, connect: Connect
) -> None:
    configure(sshd, Port=sshd.server.port, HostKeyAlias="box")
    sshd.known_hosts.write_text(f"box {sshd.host_key.public}\n")
    # The pause is 40 ms, and nothing makes it shorter; a busy machine only adds to it.
    for _ in range(30):
        transport = await connect()
        started = time.monotonic()
        assert await says(transport, "echo in") == b"in\n"
        if time.monotonic() - started < 0.035:
            return
    pytest.fail("the first command always waits")
