"""The proxy between a client and adapters that misbehave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sidecar.core.pathmap import PathMap
from sidecar.debug import dap, proxy
from sidecar.debug.dap import Decoder, Message
from sidecar.debug.proxy import Proxy
from sidecar.debug.rewrite import Launch
from sidecar.errors import Disconnected
from tests.debug.client import DapClient, DapFailure


class Adapter:
    """Answers each request with success; `say` has it say anything else."""

    def __init__(self) -> None:
        self.heard: list[Message] = []
        self._decoder = Decoder()
        self._out: asyncio.Queue[bytes | Exception] = asyncio.Queue()
        self.news = asyncio.Event()

    async def read(self, limit: int = 0) -> bytes:
        said = await self._out.get()
        if isinstance(said, Exception):
            raise said
        return said

    async def write(self, data: bytes) -> None:
        for message in self._decoder.feed(data):
            self.heard.append(message)
            if message["type"] == "request":
                self.answer(message)
        self.news.set()

    def answer(self, message: Message) -> None:
        self.say(dap.success(message["seq"], message["command"]))

    def say(self, what: Message | bytes | Exception) -> None:
        self._out.put_nowait(dap.encode(what) if isinstance(what, dict) else what)


class AdapterThatNeverAnswers(Adapter):
    def answer(self, message: Message) -> None:
        pass


class Talk:
    """A proxy between a client and an adapter."""

    def __init__(self) -> None:
        self.adapter = Adapter()
        self.over: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._server: asyncio.Server | None = None

    async def begin(self) -> DapClient:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.client = DapClient(*await asyncio.open_connection("127.0.0.1", port))
        return self.client

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def barrier() -> None:
            pass

        self.proxy = Proxy(
            reader=reader,
            writer=writer,
            decoder=Decoder(),
            adapter=self.adapter,
            said=dap.encode(dap.event("output", {"category": "telemetry"})),
            pathmap=PathMap(["/here"], ["/there"]),
            launch=Launch("/usr/bin/python3", "a.py"),
            barrier=barrier,
        )
        self.over.set_result(await self.proxy.run([]))
        writer.close()

    async def end(self) -> None:
        await self.client.close()
        await asyncio.wait_for(self.over, 30)
        assert self._server is not None
        self._server.close()


@pytest.fixture
async def talk() -> AsyncIterator[Talk]:
    talk = Talk()
    yield talk
    await talk.end()


@pytest.mark.parametrize("command", ["runInTerminal", "startDebugging", "anything"])
async def test_what_the_remote_asks_of_the_editor_is_refused(talk: Talk, command: str) -> None:
    client = await talk.begin()
    talk.adapter.say(dap.request(command, {"args": ["rm", "-rf", "~"]}, seq=77))
    await asyncio.wait_for(talk.adapter.news.wait(), 30)
    refusal = talk.adapter.heard[0]
    assert (refusal["request_seq"], refusal["success"]) == (77, False)
    await client.ask("threads")
    assert client.events == []


async def test_answers_to_nothing_are_dropped(talk: Talk) -> None:
    client = await talk.begin()
    talk.adapter.say(dap.success(1234, "evaluate", {"result": "?"}))
    await client.ask("threads")
    assert list(client._answers) == [1]


async def test_an_attach_becomes_a_launch_and_is_answered_as_an_attach(talk: Talk) -> None:
    client = await talk.begin()
    await client.ask("attach", justMyCode=False)
    launch = talk.adapter.heard[0]
    assert (launch["command"], launch["arguments"]["program"]) == ("launch", "/there/a.py")
    assert launch["arguments"]["justMyCode"] is False
    assert client._answers[1]["command"] == "attach"
    with pytest.raises(DapFailure, match="started already"):
        await client.ask("launch")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"Traceback (most recent call last):\n", "something else than messages"),
        (Disconnected("The link to box is gone", "no answer"), "The link to box is gone"),
        (b"", ""),
    ],
    ids=["garbage", "cut", "end"],
)
async def test_however_the_adapter_ends_the_client_hears_it_and_every_request_is_answered(
    talk: Talk, said: Any, words: str
) -> None:
    talk.adapter = AdapterThatNeverAnswers()
    client = await talk.begin()
    waiting = client.send("threads")
    await asyncio.wait_for(talk.adapter.news.wait(), 30)
    talk.adapter.say(said)
    with pytest.raises(DapFailure, match=words or "over"):
        await client.answer(waiting)
    await client.event("terminated")
    assert words in client.printed("important")
    await client.ask("disconnect")
    await client.close()
    assert words in await asyncio.wait_for(talk.over, 30)


@pytest.mark.parametrize("command", ["disconnect", "terminate"])
async def test_an_adapter_that_does_not_end_the_program_is_not_waited_for(
    talk: Talk, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy, "END_SECONDS", 0.05)
    talk.adapter = AdapterThatNeverAnswers()
    client = await talk.begin()
    await client.ask(command)
    await client.event("terminated")
    await client.close()
    assert await asyncio.wait_for(talk.over, 30) == ""


async def test_requests_without_answers_are_bounded(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy, "_MAX_PENDING", 3)
    talk.adapter = AdapterThatNeverAnswers()
    client = await talk.begin()
    for _ in range(3):
        client.send("threads")
    with pytest.raises(DapFailure):
        await client.ask("threads")
    assert len(talk.adapter.heard) == 3


async def test_a_client_that_sends_garbage_is_let_go(talk: Talk) -> None:
    client = await talk.begin()
    client._writer.write(b"GET / HTTP/1.1\r\n\r\n")
    assert "broke the connection" in await asyncio.wait_for(asyncio.shield(talk.over), 30)
    await client.ended()


async def test_an_end_from_outside_is_told_with_its_reason(talk: Talk) -> None:
    client = await talk.begin()
    await client.ask("threads")
    talk.proxy.end("the hub ends")
    await client.event("terminated")
    assert client.printed("important") == "the hub ends\n"
    with pytest.raises(DapFailure, match="the hub ends"):
        await client.ask("threads")
