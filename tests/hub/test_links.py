"""Links over real machines: shared, cut, back by themselves, and never dialled against manners."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.core import messages
from sidecar.errors import ConnectError, SidecarError
from sidecar.hub import links as module
from sidecar.hub.client import asked_by
from sidecar.hub.links import Destination, Link, Links
from sidecar.questions import Choice, Secret
from sidecar.remote.connection import AgentConnection
from tests.servers.box import Box

PATIENCE = 20


class Tenant:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.up, self.down, self.changed = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.agent: AgentConnection | None = None

    def link_up(self, agent: AgentConnection) -> None:
        self.agent = agent
        self.up.set()

    def link_down(self, error: SidecarError) -> None:
        self.down.set()

    def link_changed(self) -> None:
        self.changed.set()


@pytest.fixture
async def links() -> AsyncIterator[Links]:
    links = Links(lambda: None)
    yield links
    await links.close()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT", 0.01)


def destination(box: Box) -> Destination:
    return Destination(box.alias, box.transport)


async def ask(agent: AgentConnection) -> None:
    answer = await asyncio.wait_for(agent.request(messages.Ping), PATIENCE)
    assert isinstance(answer, messages.Pong)


async def test_two_who_connect_at_once_share_one_connection(links: Links, box: Box) -> None:
    before = box.accepted
    one, two = Tenant(), Tenant()
    link = links.take(destination(box), one)
    assert links.take(destination(box), two) is link
    first, second = await asyncio.gather(link.connect(), link.connect())
    assert first is second
    assert box.accepted == before + 1
    await ask(first)
    links.give_back(link, one)
    await ask(first)
    links.give_back(link, two)
    await links.close()
    assert not links.busy


async def test_a_lost_connection_comes_back_by_itself(links: Links, box: Box) -> None:
    tenant = Tenant()
    link = links.take(destination(box), tenant)
    before = await link.connect()
    box.cut()
    await asyncio.wait_for(tenant.down.wait(), PATIENCE)
    await asyncio.wait_for(tenant.up.wait(), PATIENCE)
    assert tenant.agent is not None
    assert tenant.agent is not before
    assert link.state == "ready"
    await ask(tenant.agent)


async def test_a_host_whose_sign_in_needed_a_person_is_not_dialled_unasked(
    links: Links, embedded: Box
) -> None:
    tenant = Tenant()
    link = links.take(destination(embedded), tenant)
    link._memory.asked = True
    before = embedded.accepted
    with pytest.raises(ConnectError) as caught:
        await link.connect(unasked=True)
    assert caught.value.asks_person
    assert (link.state, embedded.accepted) == ("disconnected", before)
    assert "sidecar sync" in link.fix
    await link.connect()
    assert not link._memory.asked


async def test_an_unknown_host_key_is_asked_about_by_whoever_did_something(
    links: Links, embedded: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = tmp_path / "known_hosts"
    known.touch()
    config = embedded.ssh_config.read_text().replace(str(embedded.known_hosts), str(known))
    (tmp_path / "ssh_config").write_text(config)
    monkeypatch.setenv("SIDECAR_SSH_CONFIG", str(tmp_path / "ssh_config"))
    link = links.take(destination(embedded), Tenant())
    with pytest.raises(ConnectError) as caught:
        await link.connect(unasked=True)
    assert caught.value.code == "host-key-unknown"
    asked: list[str] = []

    class Someone:
        async def secret(self, question: Secret) -> str | None:
            raise AssertionError

        async def choose(self, question: Choice) -> str | None:
            asked.append(question.message)
            return question.options[0]

    with asked_by(Someone()):
        await link.connect()
    assert len(asked) == 1
    assert known.read_text()


async def test_a_failure_stands_in_the_state(links: Links, embedded: Box) -> None:
    link: Link = links.take(Destination("no.such.host.invalid"), Tenant())
    with pytest.raises(ConnectError):
        await link.connect()
    assert link.state == "disconnected"
    assert "no.such.host.invalid" in link.text
