from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from sidecar.core import frames
from sidecar.core import messages as m
from sidecar.errors import ConnectError, Disconnected, RemoteError, SidecarError
from sidecar.remote.connection import AgentConnection
from tests.remote.local_transport import LocalTransport
from tests.remote.peers import (
    AgentOfAnotherVersion,
    AgentThatAcknowledgesTooMuch,
    AgentThatClosesItsInputAndCrashes,
    AgentThatDiesMidFrame,
    AgentThatKnowsNoWindow,
    AgentThatReadsNothing,
    AgentThatSaysNothingMore,
    AgentThatTalksGarbage,
    ShellThatIsNoShell,
    ShellThatPrintsABanner,
    ShellThatPrintsForEver,
    ShellThatRefuses,
)
from tests.remote.pythons import PYTHONS, python

Start = Callable[..., "contextlib.AbstractAsyncContextManager[AgentConnection]"]


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[LocalTransport]:
    transport = LocalTransport(tmp_path)
    yield transport
    await transport.close()


@contextlib.asynccontextmanager
async def started(transport: LocalTransport, **more: Any) -> AsyncIterator[AgentConnection]:
    agent = await AgentConnection.start(transport, **more)
    try:
        yield agent
    finally:
        await agent.close()
        await transport.close()


async def fails(transport: LocalTransport, **more: Any) -> SidecarError:
    """The error of a start that must not succeed."""
    with pytest.raises(SidecarError) as caught:
        await AgentConnection.start(transport, **more)
    await transport.close()
    return caught.value


@pytest.mark.parametrize("bootstrap", ["exec", "stdin"])
@pytest.mark.parametrize("executable", PYTHONS)
async def test_an_agent_starts_under_each_python_and_is_closed_in_order(
    local: LocalTransport, executable: str, bootstrap: str
) -> None:
    async with started(local, python=executable, bootstrap=bootstrap) as agent:
        pong = await agent.request(m.Ping)
        assert isinstance(pong, m.Pong)
        assert agent.hello.home == str(local.home)
        assert agent.hello.uid == os.getuid()
        assert agent.hello.encoding == "utf-8"
        assert agent.hello.pid != os.getpid()
        assert 0 < agent.round_trip < 10
        assert abs(agent.hello.clock_offset_ns) < 5e9
        assert agent.bytes_sent > 1000
        assert agent.bytes_received > 10
        # Each handler can be made there.
        found = await agent.request(lambda n: m.Jobs(n))
        assert isinstance(found, m.JobList)
        opened = await agent.request(lambda n: m.Open(n, 1, "~/project"))
        assert isinstance(opened, m.Opened)
        assert opened.path == str(local.home / "project")
    assert (await agent.closed()).code == "closed"
    assert await local.processes[0].wait() == 0
    assert local.processes[0].last_words() == ""


async def test_an_administrator_can_read_what_it_is(local: LocalTransport) -> None:
    async with started(local) as agent:
        folder = Path(f"/proc/{agent.hello.pid}")
        if not folder.exists():
            pytest.skip("only on Linux")
        words = (folder / "cmdline").read_bytes().split(b"\0")
        assert words[-2] == b"sidecar_agent"
        assert sum(map(len, words)) < 500
        assert (folder / "comm").read_text() == "sidecar-agent\n"


async def test_nothing_is_written_to_the_remotes_disk(local: LocalTransport) -> None:
    async with started(local, root="~/project") as agent:
        await agent.request(m.Jobs)
        assert list(local.home.iterdir()) == []


async def test_children_do_not_inherit_how_the_agent_was_started(local: LocalTransport) -> None:
    async with started(local) as agent:
        stream = await agent.open_stream(lambda n: m.Spawn(n, ["env"], {}, ""))
        shown = b""
        while data := await stream.read():
            shown += data
        assert b"sidecar_agent" not in shown
        assert b"HOME=" in shown


async def test_a_banner_before_the_mark_is_skipped(tmp_path: Path) -> None:
    async with started(ShellThatPrintsABanner(tmp_path)) as agent:
        assert isinstance(await agent.request(m.Ping), m.Pong)


async def test_a_prefix_stands_before_the_command(local: LocalTransport) -> None:
    async with started(local, via="env COLOUR=blue") as agent:
        stream = await agent.open_stream(lambda n: m.Spawn(n, ["sh", "-c", "echo $COLOUR"], {}, ""))
        assert await stream.read() == b"blue\n"


async def test_no_python_is_said_with_what_to_do(tmp_path: Path) -> None:
    for program in ("sh", "env"):
        (tmp_path / program).symlink_to(f"/bin/{program}")
    transport = LocalTransport(tmp_path, path=str(tmp_path))
    error = await fails(transport)
    assert isinstance(error, ConnectError)
    assert error.code == "no-python"
    assert "no Python 3.8 or newer" in error.why
    assert "hosts.NAME.python" in error.fix


def fake(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize(
    "text",
    ["echo 'pyenv: python3: command not found' >&2; exit 127", "exit 91", "exit 2", "exit 126"],
)
async def test_a_python_that_is_none_is_passed_over(tmp_path: Path, text: str) -> None:
    fake(tmp_path / "bin", "python3", text)
    (tmp_path / "bin/python3.12").symlink_to(sys.executable)
    transport = LocalTransport(tmp_path, path=f"{tmp_path}/bin:/usr/bin:/bin")
    async with started(transport) as agent:
        assert agent.hello.version_info >= (3, 8)
    assert len(transport.commands) == 2


@pytest.mark.parametrize("version", ["2.7.18", "3.6.15", "3.7.16"])
async def test_an_interpreter_that_is_too_old_is_passed_over(
    local: LocalTransport, version: str
) -> None:
    if not Path(python(version)).exists():
        pytest.skip(f"only on machines with Python {version}")
    async with started(local, python=python(version)) as agent:
        assert agent.hello.version_info >= (3, 8)


async def test_what_a_shell_that_refuses_printed_is_shown(tmp_path: Path) -> None:
    error = await fails(ShellThatRefuses(tmp_path))
    assert error.code == "agent-start"
    assert "not available" in error.why
    assert "\x1b" not in str(error)


async def test_a_menu_in_place_of_a_shell_ends_the_start_in_time(tmp_path: Path) -> None:
    error = await fails(ShellThatIsNoShell(tmp_path), patience=0.5)
    assert error.code == "agent-start"
    assert "1) mail 2) news" in error.why


async def test_a_shell_that_prints_for_ever_is_not_listened_to_for_ever(tmp_path: Path) -> None:
    error = await fails(ShellThatPrintsForEver(tmp_path))
    assert error.code == "agent-start"
    assert "maintenance on Sunday" in error.why


async def test_an_agent_of_another_version_is_refused(tmp_path: Path) -> None:
    assert (await fails(AgentOfAnotherVersion(tmp_path))).code == "version"


async def test_an_agent_that_dies_in_the_middle_of_a_frame_fails_all_who_wait(
    tmp_path: Path,
) -> None:
    agent = await AgentConnection.start(transport := AgentThatDiesMidFrame(tmp_path))
    waiting = [agent.request(lambda n: m.Jobs(n)) for _ in range(3)]
    results = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 30)
    for error in results:
        assert isinstance(error, RemoteError)
        assert error.code == "agent-crashed"
        assert "middle of a frame" in error.why
        assert "out of memory" in error.why
    with pytest.raises(RemoteError):
        await agent.request(m.Ping)
    await agent.close()
    await transport.close()


async def test_an_agent_that_takes_no_more_has_the_last_word_on_why(tmp_path: Path) -> None:
    transport = AgentThatClosesItsInputAndCrashes(tmp_path)
    agent = await AgentConnection.start(transport)
    closed = asyncio.create_task(agent.closed())
    with contextlib.suppress(SidecarError):
        while not closed.done():
            await agent.send(m.Ping(1))
            await asyncio.sleep(0.01)  # it closes its input somewhere in between
    error = await asyncio.wait_for(closed, 30)
    assert error.code == "agent-crashed"
    assert "no luck" in error.why
    await agent.close()
    await transport.close()


@pytest.mark.parametrize("peer", [AgentThatTalksGarbage, AgentThatAcknowledgesTooMuch])
async def test_what_is_not_the_protocol_ends_the_link_with_a_clear_error(
    tmp_path: Path, peer: type[LocalTransport]
) -> None:
    agent = await AgentConnection.start(transport := peer(tmp_path))  # type: ignore[call-arg]
    error = await asyncio.wait_for(agent.closed(), 30)
    assert isinstance(error, RemoteError)
    assert error.code == "protocol"
    await agent.close()
    await transport.close()


async def test_a_stream_does_not_grow_beyond_its_window(tmp_path: Path) -> None:
    agent = await AgentConnection.start(transport := AgentThatKnowsNoWindow(tmp_path))
    stream = await agent.open_stream(lambda n: m.Connect(n, "localhost", 1))
    error = await asyncio.wait_for(agent.closed(), 30)
    assert error.code == "protocol"
    assert "window" in error.why
    stream.close()
    await agent.close()
    await transport.close()


@pytest.mark.parametrize("peer", [AgentThatSaysNothingMore, AgentThatReadsNothing])
async def test_a_silent_agent_is_noticed_in_seconds(
    tmp_path: Path, peer: type[LocalTransport]
) -> None:
    transport = peer(tmp_path)  # type: ignore[call-arg]
    agent = await AgentConnection.start(transport, ping_every=0.05)
    error = await asyncio.wait_for(agent.closed(), 30)
    assert isinstance(error, Disconnected)
    assert error.code == "silent"
    await agent.close()
    await transport.close()


async def test_an_agent_that_answers_is_never_called_silent(local: LocalTransport) -> None:
    async with started(local, ping_every=1.0) as agent:
        closed = asyncio.create_task(agent.closed())
        done, _ = await asyncio.wait([closed], timeout=3.5)
        assert not done
        closed.cancel()


async def test_a_killed_agent_fails_requests_parts_and_streams_at_once(
    local: LocalTransport,
) -> None:
    agent = await AgentConnection.start(local)
    stream = await agent.open_stream(lambda n: m.Spawn(n, ["cat"], {}, ""))
    request = asyncio.create_task(agent.request(lambda n: m.Signature(n, 9, "x", 1)))
    reading = asyncio.create_task(stream.read())
    await agent.request(m.Ping)
    with contextlib.suppress(RemoteError):
        await request  # no such root
    os.kill(agent.hello.pid, signal.SIGKILL)
    error = await asyncio.wait_for(agent.closed(), 30)
    assert error.code == "agent-died"
    assert "signal 9" in error.why
    with pytest.raises(RemoteError):
        await asyncio.wait_for(reading, 30)
    with pytest.raises(RemoteError):
        await stream.write(b"x")
    with pytest.raises(RemoteError):
        await agent.send(m.Ping(1))
    await agent.close()


async def test_a_failure_there_is_an_error_here(local: LocalTransport) -> None:
    async with started(local) as agent:
        with pytest.raises(RemoteError) as caught:
            await agent.open_stream(lambda n: m.Spawn(n, ["/no/such"], {}, ""))
        assert caught.value.code == "spawn"
        assert "/no/such" in caught.value.what


async def test_what_the_agent_cannot_read_is_told_and_ends_the_link(
    local: LocalTransport,
) -> None:
    agent = await AgentConnection.start(local)
    await agent.send(m.Pong(1, 1))  # not for an agent
    error = await asyncio.wait_for(agent.closed(), 30)
    assert error.code == "protocol"
    assert "Pong" in error.why
    await agent.close()


async def test_a_request_that_is_given_up_harms_no_other(local: LocalTransport) -> None:
    async with started(local) as agent:
        given_up = asyncio.create_task(agent.request(m.Jobs))
        await asyncio.sleep(0)
        given_up.cancel()
        pongs = await asyncio.gather(*(agent.request(m.Ping) for _ in range(50)))
        assert len({pong.id for pong in pongs}) == 50  # type: ignore[union-attr]


async def test_parts_come_in_order_and_end_with_the_last(
    local: LocalTransport, tmp_path: Path
) -> None:
    content = os.urandom(3_000_000)
    (tmp_path / "project").mkdir()
    (tmp_path / "project/big").write_bytes(content)
    async with started(local) as agent:
        await agent.request(lambda n: m.Open(n, 1, "~/project"))
        parts = [p async for p in agent.parts(lambda n: m.Fetch(n, 1, "big"), frames.BULK)]
        assert b"".join(part.body for part in parts) == content  # type: ignore[union-attr]
        with pytest.raises(RemoteError):
            await anext(agent.parts(lambda n: m.Fetch(n, 1, "missing"), frames.BULK))


async def test_parts_that_nobody_takes_hold_the_agent_back_and_nothing_else(
    local: LocalTransport, tmp_path: Path
) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project/big").write_bytes(bytes(30_000_000))
    async with started(local) as agent:
        await agent.request(lambda n: m.Open(n, 1, "~/project"))
        parts = agent.parts(lambda n: m.Fetch(n, 1, "big"), frames.BULK)
        await anext(parts)
        stream = await agent.open_stream(lambda n: m.Spawn(n, ["echo", "hello"], {}, ""))
        assert await stream.read() == b"hello\n"
        assert agent.bytes_received < 10_000_000
        await parts.aclose()
        # What was left is acknowledged, so that others get their bulk.
        count = 0
        async for part in agent.parts(lambda n: m.Fetch(n, 1, "big"), frames.BULK):
            count += len(part.body)  # type: ignore[union-attr]
        assert count == 30_000_000


async def test_listeners_hear_what_is_for_them(local: LocalTransport) -> None:
    async with started(local) as agent:
        heard: list[tuple[str, Any]] = []
        agent.listen(m.Refused, 1, lambda message: heard.append(("one", message.seq)))
        agent.listen(m.Refused, 2, lambda message: heard.append(("two", message.seq)))
        stop = agent.listen(m.Refused, None, lambda message: heard.append(("all", message.seq)))

        def wrong(message: Any) -> None:
            raise ValueError

        agent.listen(m.Refused, 1, wrong)
        for seq in (1, 2):
            await agent.send(m.MakeDirectory(seq, seq, "a"), frames.SAVES)
        while len(heard) < 4:
            await agent.request(m.Ping)
        stop()
        stop()
        await agent.send(m.MakeDirectory(3, 2, "a"), frames.SAVES)
        while len(heard) < 5:
            await agent.request(m.Ping)
        assert sorted(heard) == [("all", 1), ("all", 2), ("one", 1), ("two", 2), ("two", 3)]


async def test_closing_twice_and_closing_what_is_gone_is_fine(local: LocalTransport) -> None:
    agent = await AgentConnection.start(local)
    await asyncio.gather(agent.close(), agent.close())
    await agent.close()
    assert (await agent.closed()).code == "closed"


async def test_closing_what_takes_no_more_is_fine(
    local: LocalTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await AgentConnection.start(local)

    async def refuse(data: bytes) -> None:
        raise Disconnected("The command takes no more input")

    monkeypatch.setattr(agent._sender, "_write", refuse)
    with contextlib.suppress(SidecarError):
        while True:
            await agent.send(m.Ping(1))
            await asyncio.sleep(0)
    await agent.close()
    assert (await agent.closed()).code in ("", "closed")


async def test_an_agent_ends_when_its_connection_does(local: LocalTransport) -> None:
    agent = await AgentConnection.start(local)
    stream = await agent.open_stream(lambda n: m.Spawn(n, ["sleep", "100"], {}, ""))
    child = local.processes[0].child
    assert child.stdin is not None
    child.stdin.close()
    assert await asyncio.wait_for(child.wait(), 30) == 0
    with pytest.raises(ProcessLookupError):
        os.killpg(stream.pid, 0)
    await agent.close()


async def test_a_hangup_signal_does_not_end_it(local: LocalTransport) -> None:
    async with started(local) as agent:
        await agent.request(m.Ping)  # its loop runs
        os.kill(agent.hello.pid, signal.SIGHUP)
        assert isinstance(await agent.request(m.Ping), m.Pong)
        stream = await agent.open_stream(
            lambda n: m.Spawn(n, ["sh", "-c", "kill -HUP $$; echo survived"], {}, "")
        )
        assert await stream.wait() == -signal.SIGHUP


async def test_a_request_to_end_is_followed(local: LocalTransport) -> None:
    agent = await AgentConnection.start(local)
    await agent.request(m.Ping)
    os.kill(agent.hello.pid, signal.SIGTERM)
    assert (await asyncio.wait_for(agent.closed(), 30)).code == "ended"
    await agent.close()
