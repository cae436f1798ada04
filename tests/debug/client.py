"""A small DAP client, as an editor has one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from sidecar.debug import dap
from sidecar.debug.dap import Decoder, Message

PATIENCE = 30.0


class DapFailure(Exception):
    """A request was answered by a failure; the text is the message."""


class DapClient:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._seq = 0
        self.events: list[Message] = []
        self._answers: dict[int, Message] = {}
        self._changed = asyncio.Condition()
        self._over = False
        self._task = asyncio.create_task(self._read())

    @classmethod
    @contextlib.asynccontextmanager
    async def connected(cls, port: int) -> AsyncIterator[DapClient]:
        client = cls(*await asyncio.open_connection("127.0.0.1", port))
        try:
            yield client
        finally:
            await client.close()

    async def _read(self) -> None:
        decoder = Decoder()
        with contextlib.suppress(ConnectionError):
            while data := await self._reader.read(1 << 16):
                for message in decoder.feed(data):
                    if message["type"] == "event":
                        self.events.append(message)
                    else:
                        assert message["type"] == "response", message
                        self._answers[message["request_seq"]] = message
                async with self._changed:
                    self._changed.notify_all()
        self._over = True
        async with self._changed:
            self._changed.notify_all()

    async def _until(self, found: Callable[[], Any], what: str) -> Any:
        async def wait() -> Any:
            async with self._changed:
                await self._changed.wait_for(lambda: found() or self._over)
            return found()

        result = await asyncio.wait_for(wait(), PATIENCE)
        assert result, f"the session ended before {what}: {self.events}"
        return result

    def send(self, command: str, **arguments: Any) -> int:
        self._seq += 1
        self._writer.write(dap.encode(dap.request(command, arguments, seq=self._seq)))
        return self._seq

    async def answer(self, seq: int) -> Message:
        message: Message = await self._until(lambda: self._answers.get(seq), f"answer {seq}")
        if not message["success"]:
            raise DapFailure(message["message"])
        body: Message = message.get("body") or {}
        return body

    async def ask(self, command: str, **arguments: Any) -> Message:
        return await self.answer(self.send(command, **arguments))

    async def event(self, name: str, count: int = 1) -> Message:
        """The body of the `count`th event of that name."""

        def found() -> Message | None:
            events = [event for event in self.events if event["event"] == name]
            return events[count - 1] if len(events) >= count else None

        body: Message = (await self._until(found, f"{name} event")).get("body") or {}
        return body

    async def output(self, text: str) -> None:
        await self._until(lambda: text in self.printed(), f"output {text!r}")

    async def until(self, found: Callable[[], Any]) -> Any:
        return await self._until(found, "what the test waits for")

    def printed(self, category: str = "stdout") -> str:
        return "".join(
            event["body"]["output"]
            for event in self.events
            if event["event"] == "output" and event["body"].get("category") == category
        )

    async def ended(self) -> None:
        """Returns when the other side has closed the connection."""
        await asyncio.wait_for(asyncio.shield(self._task), PATIENCE)

    async def begin(self, command: str = "attach", **arguments: Any) -> int:
        """Initializes and says `attach`; returns its number when debugpy wants to be configured."""
        await self.ask("initialize", adapterID="python", pathFormat="path", clientID="test")
        number = self.send(command, **arguments)
        await self.event("initialized")
        return number

    async def stop_at(
        self, path: str, *lines: int, start: str = "attach", **breakpoint: Any
    ) -> list[Message]:
        """Starts with breakpoints at these lines; returns the stack where it stopped first."""
        number = await self.begin(start)
        set_ = await self.ask(
            "setBreakpoints",
            source={"path": path},
            breakpoints=[{"line": line, **breakpoint} for line in lines],
        )
        self.breakpoints = set_["breakpoints"]
        await self.ask("configurationDone")
        await self.answer(number)
        return await self.stack()

    async def stack(self, stop: int = 1) -> list[Message]:
        """The stack at the stop of that number."""
        stopped = await self.event("stopped", stop)
        trace = await self.ask("stackTrace", threadId=stopped["threadId"])
        frames: list[Message] = trace["stackFrames"]
        return frames

    async def variables(self, frame: Message) -> dict[str, str]:
        scopes = await self.ask("scopes", frameId=frame["id"])
        reference = scopes["scopes"][0]["variablesReference"]
        found = await self.ask("variables", variablesReference=reference)
        return {one["name"]: one["value"] for one in found["variables"]}

    async def close(self) -> None:
        self._writer.close()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
