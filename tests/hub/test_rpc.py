"""Peers over a real socket pair: requests both ways, cancellation, back pressure, garbage."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest

from sidecar import api
from sidecar.errors import SyncError
from sidecar.hub import framing, rpc
from sidecar.hub.rpc import Peer, RpcError

PATIENCE = 20


class Wire:
    """The other end of a peer: what a client would write and read."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._decoder = framing.Decoder()
        self._found: list[bytes] = []

    def send(self, message: dict[str, Any]) -> None:
        body = msgspec.json.encode({"jsonrpc": "2.0", **message})
        self.writer.write(framing.encode(body))

    async def receive(self) -> dict[str, Any]:
        while not self._found:
            data = await asyncio.wait_for(self.reader.read(1 << 16), PATIENCE)
            assert data, "the peer closed"
            self._found += self._decoder.feed(data)
        message: dict[str, Any] = msgspec.json.decode(self._found.pop(0))
        return message


Connect = Callable[..., Awaitable[tuple[Peer, Wire, "asyncio.Task[None]"]]]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    made: list[tuple[Peer, Wire, asyncio.Task[None]]] = []

    async def make(
        fallback: Callable[[dict[str, Any]], bool] | None = None,
    ) -> tuple[Peer, Wire, asyncio.Task[None]]:
        ours, theirs = socket.socketpair()
        peer = Peer(*await asyncio.open_connection(sock=ours), fallback)
        wire = Wire(*await asyncio.open_connection(sock=theirs))
        running = asyncio.create_task(peer.run())
        made.append((peer, wire, running))
        return peer, wire, running

    yield make
    for peer, wire, running in made:
        wire.writer.close()
        await asyncio.gather(running, return_exceptions=True)
        await peer.close()


async def test_a_request_is_answered_with_the_struct_that_its_handler_returns(
    connect: Connect,
) -> None:
    peer, wire, _ = await connect()

    async def jobs(params: api.Place) -> api.JobsResult:
        assert params.host == "gpu1"
        return api.JobsResult(jobs=[])

    peer.handle("sidecar/jobs", api.Place, jobs)
    wire.send({"id": 7, "method": "sidecar/jobs", "params": {"host": "gpu1"}})
    assert await wire.receive() == {"jsonrpc": "2.0", "id": 7, "result": {"jobs": []}}


async def test_a_failure_for_people_carries_what_why_and_fix(connect: Connect) -> None:
    peer, wire, _ = await connect()

    async def fails(params: api.Empty) -> api.Empty:
        raise SyncError("No room", "0 bytes free", "make some", code="disk")

    peer.handle("x", api.Empty, fails)
    wire.send({"id": "a", "method": "x"})
    error = (await wire.receive())["error"]
    assert error["code"] == rpc.REQUEST_FAILED
    assert error["data"] == {
        "code": "disk",
        "what": "No room",
        "why": "0 bytes free",
        "fix": "make some",
        "command": "",
    }
    assert error["message"] == "No room: 0 bytes free. Make some."


async def test_a_wrong_parameter_is_named(connect: Connect) -> None:
    peer, wire, _ = await connect()

    async def never(params: api.Place) -> api.Empty:
        raise AssertionError

    peer.handle("x", api.Place, never)
    wire.send({"id": 1, "method": "x", "params": {"host": 5}})
    error = (await wire.receive())["error"]
    assert error["code"] == rpc.INVALID_PARAMS
    assert "$.host" in error["message"]


async def test_a_bug_in_a_handler_ends_the_request_and_not_the_connection(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    peer, wire, _ = await connect()

    async def bug(params: api.Empty) -> api.Empty:
        raise ZeroDivisionError("oops")

    peer.handle("x", api.Empty, bug)
    for number in (1, 2):
        wire.send({"id": number, "method": "x"})
        answer = await wire.receive()
        assert answer["id"] == number
        assert answer["error"]["code"] == rpc.INTERNAL_ERROR
    assert "ZeroDivisionError" in caplog.text


async def test_a_result_that_json_cannot_carry_is_answered_with_an_error(connect: Connect) -> None:
    peer, wire, _ = await connect()

    class Odd(api.Message, frozen=True, kw_only=True):
        value: object

    async def odd(params: api.Empty) -> Odd:
        return Odd(value=object())

    peer.handle("x", api.Empty, odd)
    wire.send({"id": 1, "method": "x"})
    assert (await wire.receive())["error"]["code"] == rpc.INTERNAL_ERROR


async def test_a_cancelled_request_is_answered_as_cancelled(connect: Connect) -> None:
    peer, wire, _ = await connect()
    begun, ended = asyncio.Event(), asyncio.Event()

    async def long(params: api.Empty) -> api.Empty:
        begun.set()
        try:
            await asyncio.Future()
        finally:
            ended.set()
        raise AssertionError

    peer.handle("x", api.Empty, long)
    wire.send({"id": 1, "method": "x"})
    await asyncio.wait_for(begun.wait(), PATIENCE)
    wire.send({"method": "$/cancelRequest", "params": {"id": 1}})
    assert (await wire.receive())["error"]["code"] == rpc.REQUEST_CANCELLED
    assert ended.is_set()


async def test_requests_end_with_the_connection(connect: Connect) -> None:
    peer, wire, running = await connect()
    begun, ended = asyncio.Event(), asyncio.Event()

    async def long(params: api.Empty) -> api.Empty:
        begun.set()
        try:
            await asyncio.Future()
        finally:
            ended.set()
        raise AssertionError

    peer.handle("x", api.Empty, long)
    wire.send({"id": 1, "method": "x"})
    await asyncio.wait_for(begun.wait(), PATIENCE)
    wire.writer.close()
    await asyncio.wait_for(running, PATIENCE)
    assert ended.is_set()


async def test_the_client_is_asked_and_its_answer_converted(connect: Connect) -> None:
    peer, wire, _ = await connect()
    params = api.AskSecretParams(host="gpu1", prompt="Password:")
    asking = asyncio.create_task(peer.request("sidecar/askSecret", params, api.AskSecretResult))
    question = await wire.receive()
    assert question["params"]["prompt"] == "Password:"
    wire.send({"id": question["id"], "result": {"value": "s3cret"}})
    assert (await asyncio.wait_for(asking, PATIENCE)).value == "s3cret"


async def test_a_question_fails_when_the_client_goes(connect: Connect) -> None:
    peer, wire, _ = await connect()
    params = api.AskSecretParams(host="gpu1", prompt="Password:")
    asking = asyncio.create_task(peer.request("sidecar/askSecret", params, api.AskSecretResult))
    await wire.receive()
    wire.writer.close()
    with pytest.raises(RpcError):
        await asyncio.wait_for(asking, PATIENCE)


async def test_what_is_not_ours_goes_to_the_fallback(connect: Connect) -> None:
    taken: list[str] = []

    def fallback(message: dict[str, Any]) -> bool:
        taken.append(message["method"])
        return message["method"] != "unknown"

    _, wire, _ = await connect(fallback)
    wire.send({"method": "textDocument/didSave", "params": {}})
    wire.send({"id": 1, "method": "unknown"})
    assert (await wire.receive())["error"]["code"] == rpc.METHOD_NOT_FOUND
    assert taken == ["textDocument/didSave", "unknown"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", rpc.PARSE_ERROR),
        (b"\xff\xfe", rpc.PARSE_ERROR),
        (b"[" * 5000, rpc.PARSE_ERROR),
        (b"[]", rpc.INVALID_REQUEST),
        (b'{"id":1,"method":"x"}', rpc.INVALID_REQUEST),
    ],
)
async def test_a_body_that_is_no_request_is_answered_and_the_next_one_served(
    connect: Connect, body: bytes, code: int
) -> None:
    _, wire, _ = await connect()
    wire.writer.write(framing.encode(body))
    assert (await wire.receive())["error"]["code"] == code
    wire.send({"id": 2, "method": "nothing"})
    assert (await wire.receive())["error"]["code"] == rpc.METHOD_NOT_FOUND


async def test_garbage_ends_the_connection_with_one_answer(connect: Connect) -> None:
    peer, wire, running = await connect()
    wire.writer.write(b"hello there\r\n\r\n")
    assert (await wire.receive())["error"]["code"] == rpc.PARSE_ERROR
    with pytest.raises(framing.FramingError):
        await asyncio.wait_for(running, PATIENCE)
    await peer.close()
    assert await asyncio.wait_for(wire.reader.read(), PATIENCE) == b""


async def test_output_waits_for_a_slow_reader_and_all_of_it_arrives(connect: Connect) -> None:
    peer, wire, _ = await connect()
    told = 0

    async def tell() -> None:
        nonlocal told
        for number in range(400):
            await peer.notify(
                "sidecar/output",
                api.Output(
                    job="j",
                    offset=number,
                    end=number + 1,
                    stream="stdout",
                    data="x" * 20_000,
                    encoding="utf-8",
                ),
            )
            told += 1

    telling = asyncio.create_task(tell())
    # The loop goes on while nobody reads; most of the 8 MB must still be with the teller.
    for _ in range(200):
        await asyncio.sleep(0)
    assert told < 200
    found = [await wire.receive() for _ in range(400)]
    await asyncio.wait_for(telling, PATIENCE)
    assert [message["params"]["offset"] for message in found] == list(range(400))


async def test_a_reader_that_reads_nothing_is_given_up_in_the_end(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rpc, "CEILING", 1 << 20)
    peer, _, running = await connect()
    note = api.DebugEnded(port=1, why="x" * 100_000)
    for _ in range(40):
        peer.post("sidecar/debugEnded", note)
    await asyncio.wait_for(running, PATIENCE)
