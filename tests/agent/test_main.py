from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.agent import main
from sidecar.agent.changes.files import Files
from sidecar.agent.environment.environments import Environments
from sidecar.agent.environment.interpreters import Interpreters
from sidecar.agent.git.repositories import Repositories
from sidecar.agent.install import Installer
from sidecar.agent.jobs.annex import Annex
from sidecar.agent.jobs.jobs import Jobs
from sidecar.agent.main import Agent, Route
from sidecar.agent.roots.ahead import Ahead
from sidecar.agent.roots.notice import Notices
from sidecar.agent.streams import Streams
from sidecar.core import exits, frames
from sidecar.core import messages as m
from sidecar.core.credit import START

PATIENCE = 20.0


class Handler:
    """Does what the test says; keeps what came."""

    def __init__(self, act: Callable[[Any], None] = lambda message: None) -> None:
        self.came: list[Any] = []
        self.closed = False
        self._act = act

    def handle(self, message: Any) -> None:
        self.came.append(message)
        self._act(message)

    def close(self) -> None:
        self.closed = True


class Wire:
    """The other side of an agent that runs in a thread."""

    def __init__(self, state: Path, quiet: float = 0, **handlers: Handler | Exception) -> None:
        incoming, self.input = os.pipe()
        self.output, outgoing = os.pipe()
        self._ends = [incoming, outgoing]
        self._decoder = frames.FrameDecoder()
        self._came: list[tuple[int, Any]] = []
        routes = tuple(
            route._replace(make=lambda agent, name=route.name: self._make(handlers[name]))
            for route in main.ROUTES
            if route.name in handlers
        )
        self.agent = Agent(incoming, outgoing, str(state), quiet, routes)
        self.status = -1
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _make(self, handler: Handler | Exception) -> Handler:
        if isinstance(handler, Exception):
            raise handler
        return handler

    def _serve(self) -> None:
        self.status = self.agent.serve()

    def send(self, *messages: m.Message, lane: int = frames.CONTROL) -> None:
        for message in messages:
            os.write(self.input, frames.encode(m.encode(message, lane)))

    def receive(self) -> Any:
        """The next message; fails at the end of the agent's output."""
        return self.receive_with_lane()[1]

    def receive_with_lane(self) -> tuple[int, Any]:
        while not self._came:
            data = os.read(self.output, 65536)
            assert data, "the agent's output has ended"
            self._came += [(f.lane, m.decode(f)) for f in self._decoder.feed(data)]
        return self._came.pop(0)

    def ended(self) -> int:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        return self.status

    def close(self) -> None:
        self.agent.end(exits.ENDED)
        self.ended()
        for end in [self.input, self.output, *self._ends]:
            os.close(end)


@pytest.fixture
def wires(tmp_path: Path) -> Iterator[Callable[..., Wire]]:
    made: list[Wire] = []

    def make(**more: Any) -> Wire:
        made.append(Wire(tmp_path, **more))
        return made[-1]

    yield make
    for wire in made:
        wire.close()


def gated() -> tuple[threading.Event, Handler]:
    """A handler that waits in each message until the test lets it go."""
    gate = threading.Event()
    return gate, Handler(lambda message: gate.wait(PATIENCE) or None)


def test_a_ping_is_answered_while_every_handler_is_busy(wires: Callable[..., Wire]) -> None:
    gate, handler = gated()
    wire = wires(files=handler)
    wire.send(m.Lookup(1, 1, []))
    wire.send(m.MakeDirectory(1, 1, "a"), lane=frames.SAVES)
    wire.send(m.Fetch(2, 1, "a"), lane=frames.BULK)
    wire.send(m.Ping(9))
    pong = wire.receive()
    assert (type(pong), pong.id) == (m.Pong, 9)
    assert pong.clock_ns > 0
    gate.set()


def test_saves_keep_their_order_and_do_not_wait_for_bulk_or_requests(
    wires: Callable[..., Wire],
) -> None:
    gate = threading.Event()
    done: list[str] = []
    all_done = threading.Event()

    def act(message: Any) -> None:
        if isinstance(message, m.MakeDirectory):
            done.append(message.path)
            if len(done) == 3:
                all_done.set()
        else:
            gate.wait(PATIENCE)

    wire = wires(files=Handler(act))
    wire.send(m.Lookup(1, 1, []))
    wire.send(m.Fetch(2, 1, "a"), lane=frames.BULK)
    wire.send(*(m.MakeDirectory(n, 1, str(n)) for n in range(3)), lane=frames.SAVES)
    assert all_done.wait(PATIENCE)
    assert done == ["0", "1", "2"]
    gate.set()


def test_requests_of_one_handler_do_not_wait_for_anothers(wires: Callable[..., Wire]) -> None:
    gate, slow = gated()
    reached = threading.Event()
    wire = wires(interpreters=slow, files=Handler(lambda message: reached.set()))
    wire.send(m.Python(1, 1, ""), m.Lookup(2, 1, []))
    assert reached.wait(PATIENCE)
    gate.set()


def test_what_a_handler_raises_is_the_answer_to_its_request(wires: Callable[..., Wire]) -> None:
    def act(message: Any) -> None:
        if not isinstance(message, m.Lookup):
            raise PermissionError(13, "Permission denied", "/data")
        raise ValueError("a mistake of ours")

    wire = wires(files=Handler(act))
    wire.send(m.Lookup(5, 1, []))
    fail = wire.receive()
    assert (type(fail), fail.id, fail.code) == (m.Fail, 5, "internal")
    assert "a mistake of ours" in fail.why
    assert "test_main.py" in fail.why
    wire.send(m.List_(6, 1, "", 1, 1, []))
    fail = wire.receive()
    assert (fail.id, fail.code, fail.what) == (6, "system", "List failed on the remote machine")
    assert "/data" in fail.why
    expect = m.Expect(0, None, "")
    wire.send(
        m.Put(7, 1, "a", expect, 0, 0, False, "", False, "", True, 0, False, b""), lane=frames.SAVES
    )
    refused = wire.receive()
    assert (type(refused), refused.seq, refused.path) == (m.Refused, 7, "a")
    wire.send(m.Ping(8))
    assert wire.receive().id == 8


def test_a_handler_that_cannot_be_made_is_an_answer_too(wires: Callable[..., Wire]) -> None:
    wire = wires(jobs=ImportError("the rest of the agent did not arrive"))
    wire.send(m.Jobs(3))
    fail = wire.receive()
    assert (fail.id, fail.what) == (3, "Jobs failed on the remote machine")
    assert "did not arrive" in fail.why


def test_messages_that_belong_at_once_keep_their_order_while_the_handler_is_made(
    wires: Callable[..., Wire], monkeypatch: pytest.MonkeyPatch
) -> None:
    making, last = threading.Event(), threading.Event()
    handler = Handler(lambda message: last.set() if message.eof else None)

    def make(agent: Agent) -> Handler:
        making.wait(PATIENCE)
        return handler

    routes = (Route("jobs", (m.Input,), make),)
    monkeypatch.setattr(main, "ROUTES", routes)
    wire = wires(jobs=handler)
    wire.agent._handlings["jobs"].route = routes[0]
    for at in range(50):
        wire.send(m.Input("j", at, False, b""))
    making.set()
    for at in range(50, 100):
        wire.send(m.Input("j", at, at == 99, b""))
    assert last.wait(PATIENCE)
    assert [message.offset for message in handler.came] == list(range(100))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (b"\xff" * 16, "claims"),
        (frames.encode(frames.Frame(0, b'["Nonsense"]', b"")), "unknown message"),
        (frames.encode(frames.Frame(0, b'["Ping","x"]', b"")), "Ping.id"),
        (frames.encode(m.encode(m.Pong(1, 1))), "Pong is not for an agent"),
        (frames.encode(m.encode(m.Ack(frames.BULK, 5))), "acknowledged"),
        (frames.encode(m.encode(m.Ack(frames.CONTROL, 0))), "not acknowledged"),
        (frames.encode(m.encode(m.Modules(b"not compressed"))), "decompress"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_read_ends_the_link_with_one_failure(
    wires: Callable[..., Wire], wrong: bytes, words: str
) -> None:
    handler = Handler()
    wire = wires(streams=handler)
    wire.send(m.Window(1, 1))
    os.write(wire.input, wrong + frames.encode(m.encode(m.Ping(1))))
    fail = wire.receive()
    assert (type(fail), fail.id, fail.code) == (m.Fail, 0, "protocol")
    assert words in fail.why
    assert wire.ended() == exits.PROTOCOL


def test_a_frame_in_pieces_is_put_together(wires: Callable[..., Wire]) -> None:
    wire = wires()
    for byte in frames.encode(m.encode(m.Ping(1))):
        os.write(wire.input, bytes([byte]))
    assert wire.receive().id == 1


def test_it_ends_with_its_input_and_closes_its_handlers(wires: Callable[..., Wire]) -> None:
    reached = threading.Event()
    handler = Handler(lambda message: reached.set())
    wire = wires(files=handler)
    wire.send(m.Lookup(1, 1, []))
    assert reached.wait(PATIENCE)
    os.dup2(os.open(os.devnull, os.O_WRONLY), wire.input)
    assert wire.ended() == exits.ENDED
    assert handler.closed


def test_it_ends_when_it_is_told(wires: Callable[..., Wire]) -> None:
    wire = wires()
    wire.send(m.Bye())
    assert wire.ended() == exits.ENDED


def test_it_ends_when_nobody_reads_it(wires: Callable[..., Wire]) -> None:
    wire = wires()
    os.dup2(os.open(os.devnull, os.O_RDONLY), wire.output)
    wire.send(m.Ping(1))
    assert wire.ended() == exits.UNHEARD


def test_it_ends_when_it_hears_nothing_for_long(wires: Callable[..., Wire]) -> None:
    wire = wires(quiet=0.05)
    assert wire.ended() == exits.QUIET


def test_bulk_is_acknowledged_when_it_was_processed_not_before(
    wires: Callable[..., Wire],
) -> None:
    gate, handler = gated()
    wire = wires(install=handler)
    part = m.InstallPart(1, False, bytes(frames.CHUNK))
    wire.send(part, lane=frames.BULK)
    wire.send(m.Ping(1))
    assert type(wire.receive()) is m.Pong
    gate.set()
    ack = wire.receive()
    assert ack == m.Ack(frames.BULK, m.encode(part).size)


def test_what_a_handler_made_a_mistake_with_is_acknowledged_too(
    wires: Callable[..., Wire],
) -> None:
    def act(message: Any) -> None:
        raise ValueError

    wire = wires(install=Handler(act))
    wire.send(m.InstallPart(1, False, bytes(frames.CHUNK)), lane=frames.BULK)
    assert {type(wire.receive()), type(wire.receive())} == {m.Fail, m.Ack}


def test_bulk_from_here_waits_for_acknowledgements_and_answers_overtake_it(
    wires: Callable[..., Wire],
) -> None:
    parts = 100

    def act(message: Any) -> None:
        for number in range(parts):
            part = m.FetchPart(message.id, number == parts - 1, None, bytes(frames.CHUNK - 100))
            wire.agent.send(part, frames.BULK)

    wire = wires(files=Handler(act))
    wire.send(m.Fetch(1, 1, "a"), lane=frames.BULK)
    received = 0
    while received < START:
        received += m.encode(wire.receive()).size
    wire.send(m.Ping(2))
    assert type(wire.receive()) is m.Pong  # not one more part before it
    count = 0
    last = False
    while not last:
        wire.send(m.Ack(frames.BULK, received))
        message = wire.receive()
        received += m.encode(message).size
        last = message.last
        count += 1
    assert received > (parts - 1) * (frames.CHUNK - 100)


def test_a_handler_that_sends_when_all_is_over_just_stops(wires: Callable[..., Wire]) -> None:
    began, stopped = threading.Event(), threading.Event()

    def act(message: Any) -> None:
        began.set()
        try:
            while True:
                wire.agent.send(m.FetchPart(1, False, None, bytes(frames.CHUNK)), frames.BULK)
        finally:
            stopped.set()

    wire = wires(files=Handler(act))
    wire.send(m.Fetch(1, 1, "a"), lane=frames.BULK)
    assert began.wait(PATIENCE)
    wire.send(m.Bye())
    assert wire.ended() == exits.ENDED
    assert stopped.wait(PATIENCE)


def test_every_message_that_a_handler_takes_is_routed_to_it() -> None:
    routed = {route.name: set(route.types) for route in main.ROUTES}
    assert routed == {
        "files": set(Files.TYPES),
        "ahead": set(Ahead.TYPES),
        "environments": set(Environments.TYPES),
        "jobs": set(Jobs.TYPES),
        "annex": set(Annex.TYPES),
        "interpreters": set(Interpreters.TYPES),
        "streams": set(Streams.TYPES),
        "git": set(Repositories.TYPES),
        "install": set(Installer.TYPES),
        "notices": set(Notices.TYPES),
        "partial": {m.Partial},
        "drafts": {m.Draft},
        "batches": {m.Batch, m.BatchPart},
        "repair": {m.Trash, m.Restore, m.Describe, m.Discard},
    }


def test_no_message_has_two_handlers() -> None:
    types = [kind for route in main.ROUTES for kind in route.types]
    assert len(types) == len(set(types))


def test_state_is_kept_for_each_machine_where_it_was_configured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    machine = os.uname().nodename
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SCRATCH", "/scratch/me")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert main.state_folder("") == f"{tmp_path}/.local/state/sidecar/{machine}"
    assert main.state_folder("~/s") == f"{tmp_path}/s/{machine}"
    assert main.state_folder("$SCRATCH/s") == f"/scratch/me/s/{machine}"
    monkeypatch.setenv("XDG_STATE_HOME", "/xdg")
    assert main.state_folder("") == f"/xdg/sidecar/{machine}"
