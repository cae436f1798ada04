"""The proxy between a client and adapters that misbehave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from sidecar.core.pathmap import PathMap
from sidecar.debug import dap, proxy
from sidecar.debug.dap import Decoder, Message
from sidecar.debug.family import Family
from sidecar.debug.launch import Launch
from sidecar.debug.proxy import Opened, Proxy
from sidecar.errors import Disconnected
from tests.debug.client import DapClient, DapFailure


class Adapter:
    """Answers each request with success, and is ready as soon as it is asked for anything; `say`
    has it say anything else."""

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

    async def until(self, found: Callable[[], bool]) -> None:
        while not found():
            self.news.clear()
            await asyncio.wait_for(self.news.wait(), 30)

    def answer(self, message: Message) -> None:
        if message["command"] == "launch":
            self.say(dap.event("initialized"))
        self.say(dap.success(message["seq"], message["command"]))

    def heard_of(self, command: str) -> list[Message]:
        return [one for one in self.heard if one.get("command") == command]

    def say(self, what: Message | bytes | Exception) -> None:
        self._out.put_nowait(dap.encode(what) if isinstance(what, dict) else what)


class AdapterThatNeverAnswers(Adapter):
    """Once it has begun."""

    def answer(self, message: Message) -> None:
        if message["command"] in ("initialize", "launch"):
            super().answer(message)


class Talk:
    """A proxy between a client and an adapter."""

    def __init__(self) -> None:
        self.adapter = Adapter()
        self.over: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.opening: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done: what an editor asks for is there at once."""
        self.opening.set_result(None)
        self._server: asyncio.Server | None = None

    async def begin(self, **offers: bool) -> DapClient:
        """A client whose program has started."""
        client = await self.connect()
        await client.ask("initialize", adapterID="python", **offers)
        await client.ask("attach", justMyCode=False, type="mine")
        return client

    async def connect(self) -> DapClient:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.client = DapClient(*await asyncio.open_connection("127.0.0.1", port))
        return self.client

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def open_(command: str, arguments: Message, proxy: Proxy) -> Opened:
            await self.opening
            pathmap = PathMap(["/here"], ["/there"])
            asked = Launch("/usr/bin/python3", "a.py").arguments(pathmap, arguments)
            said = dap.encode(dap.event("output", {"category": "telemetry"}))
            return Opened(self.adapter, pathmap, "launch", asked, said)

        self.proxy = Proxy(
            reader=reader, writer=writer, decoder=Decoder(), open_=open_, family=Family()
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
    await talk.adapter.until(lambda: talk.adapter.heard[-1].get("request_seq") == 77)
    assert talk.adapter.heard[-1]["success"] is False
    await client.ask("threads")
    assert client.asked == []


async def test_answers_to_nothing_are_dropped(talk: Talk) -> None:
    client = await talk.begin()
    talk.adapter.say(dap.success(1234, "evaluate", {"result": "?"}))
    await client.ask("threads")
    assert 1234 not in client._answers


async def test_an_attach_becomes_a_launch_and_is_answered_as_an_attach(talk: Talk) -> None:
    client = await talk.begin()
    (launch,) = talk.adapter.heard_of("launch")
    assert launch["arguments"]["program"] == "/there/a.py"
    assert launch["arguments"]["justMyCode"] is False
    assert client._answers[2]["command"] == "attach"
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
    await talk.adapter.until(lambda: bool(talk.adapter.heard_of("threads")))
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
    assert len(talk.adapter.heard_of("threads")) == 3


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


# --- before debugpy is there -----------------------------------------------------------------


async def test_an_editor_configures_its_session_before_debugpy_is_there(talk: Talk) -> None:
    talk.opening = asyncio.get_running_loop().create_future()
    client = await talk.connect()
    capabilities = await client.ask("initialize", adapterID="python")
    assert capabilities["supportsConditionalBreakpoints"]
    start = client.send("attach")
    await client.event("initialized")
    wanted = [{"line": 3}, {"line": 9, "condition": "x"}]
    told = await client.ask("setBreakpoints", source={"path": "/here/a.py"}, breakpoints=wanted)
    assert [one["verified"] for one in told["breakpoints"]] == [False, False]
    await client.ask("setExceptionBreakpoints", filters=["uncaught"])
    await client.ask("configurationDone")
    threads = client.send("threads")
    assert talk.adapter.heard == []

    talk.opening.set_result(None)
    await client.answer(start)
    await client.answer(threads)
    said = [one["command"] for one in talk.adapter.heard]
    assert said[:2] == ["initialize", "launch"]
    assert said[2:] == [
        *("setBreakpoints", "setExceptionBreakpoints", "configurationDone", "threads")
    ]
    (breakpoints,) = talk.adapter.heard_of("setBreakpoints")
    assert breakpoints["arguments"]["source"]["path"] == "/there/a.py"
    assert breakpoints["arguments"]["breakpoints"] == wanted
    assert sum(event["event"] == "initialized" for event in client.events) == 1


async def test_what_is_said_of_breakpoints_later_comes_behind_what_was_said_before(
    talk: Talk,
) -> None:
    talk.opening = asyncio.get_running_loop().create_future()
    client = await talk.connect()
    await client.ask("initialize", adapterID="python")
    start = client.send("attach")
    source = {"path": "/here/a.py"}
    await client.ask("setBreakpoints", source=source, breakpoints=[{"line": 1}])
    await client.ask("setBreakpoints", source=source, breakpoints=[{"line": 2}])
    talk.opening.set_result(None)
    await client.answer(start)
    await client.ask("setBreakpoints", source=source, breakpoints=[{"line": 3}])
    await client.ask("configurationDone")
    lines = [
        one["arguments"]["breakpoints"][0]["line"]
        for one in talk.adapter.heard_of("setBreakpoints")
    ]
    assert lines == [2, 3]
    assert talk.adapter.heard[-1]["command"] == "configurationDone"


async def test_a_program_that_is_only_started_is_not_configured(talk: Talk) -> None:
    class Starter(Adapter):
        def answer(self, message: Message) -> None:
            self.say(dap.success(message["seq"], message["command"]))

    talk.adapter = Starter()
    client = await talk.begin()
    await client.ask("setBreakpoints", source={"path": "/here/a.py"}, breakpoints=[])
    await client.ask("configurationDone")
    assert [one["command"] for one in talk.adapter.heard] == ["initialize", "launch"]


# --- what debugpy wants of the editor --------------------------------------------------------

CHILD = {
    "subProcessId": 4711,
    "connect": {"host": "127.0.0.1", "port": 40001},
    "python": ["/there/python"],
    "justMyCode": True,
}


async def test_a_process_is_offered_by_a_number_and_not_by_an_address(talk: Talk) -> None:
    client = await talk.begin(supportsStartDebuggingRequest=True)
    about = {"pid": 4711, "command": "worker.py", "rank": "3"}
    talk.adapter.say(dap.event("sidecarProcess", about))
    talk.adapter.say(dap.request("startDebugging", {"configuration": CHILD}, seq=77))
    offered = await client.request("startDebugging")
    wanted = offered["configuration"]
    assert (offered["request"], wanted["type"], wanted["name"]) == ("attach", "mine", "rank 3")
    assert wanted["sidecarSession"] == talk.proxy.family.token
    assert not {"connect", "host", "port", "python"} & set(wanted)
    await talk.adapter.until(lambda: talk.adapter.heard[-1].get("request_seq") == 77)
    assert talk.adapter.heard[-1]["success"] is True
    child = talk.proxy.family.take(wanted["sidecarChild"])
    assert child is not None
    assert (child.host, child.port, child.arguments["subProcessId"]) == ("127.0.0.1", 40001, 4711)
    assert talk.proxy.family.take(wanted["sidecarChild"]) is None
    assert "sidecarProcess" not in str(client.events)


@pytest.mark.parametrize(
    ("offers", "refuses", "words"),
    [
        ({}, False, "Process 4711 (worker.py) runs without the debugger: this editor holds one"),
        ({"supportsStartDebuggingRequest": True}, True, "did not attach to process 4711"),
    ],
    ids=["an editor of one session", "an editor that refuses"],
)
async def test_a_process_that_no_editor_takes_runs_free_and_that_is_said(
    talk: Talk, offers: dict[str, bool], refuses: bool, words: str
) -> None:
    client = await talk.begin(**offers)
    client.refuses = {"startDebugging"} if refuses else set()
    talk.adapter.say(dap.event("sidecarProcess", {"pid": 4711, "command": "worker.py"}))
    talk.adapter.say(dap.request("startDebugging", {"configuration": CHILD}, seq=77))
    await talk.adapter.until(lambda: talk.adapter.heard[-1].get("request_seq") == 77)
    assert talk.adapter.heard[-1]["success"] is False
    assert words in client.printed("console")


@pytest.mark.parametrize("about", [{"helper": True}, {"rank": "1"}], ids=["helper", "other rank"])
async def test_helpers_and_other_ranks_run_free_without_a_word(
    talk: Talk, about: dict[str, Any]
) -> None:
    client = await talk.begin(supportsStartDebuggingRequest=True)
    talk.proxy.family.only_rank = "0"
    talk.adapter.say(dap.event("sidecarProcess", {"pid": 4711, **about}))
    talk.adapter.say(dap.request("startDebugging", {"configuration": CHILD}, seq=77))
    await talk.adapter.until(lambda: talk.adapter.heard[-1].get("request_seq") == 77)
    assert talk.adapter.heard[-1]["success"] is False
    assert (client.asked, client.printed("console")) == ([], "")
