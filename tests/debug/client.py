"""A small DAP client, as an editor has one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from sidecar.debug import dap
from sidecar.debug.dap import Decoder, Message

PATIENCE = 30.0


class DapFailure(Exception):
    """A request was answered by a failure; the text is the message."""


class DapClient:
    holds_several = False
    """It says that it can hold more than one session."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._seq = 0
        self.events: list[Message] = []
        self.offered: Message = {}
        """What it was begun for, where another session asked for it."""
        self.asked: list[Message] = []
        """What the other side asked of us; answered with success."""
        self.refuses: set[str] = set()
        """What we answer with a failure instead."""
        self._answers: dict[int, Message] = {}
        self._changed = asyncio.Condition()
        self._over = False
        self.process: asyncio.subprocess.Process | None = None
        self._task = asyncio.create_task(self._read())

    @classmethod
    @contextlib.asynccontextmanager
    async def connected(cls, port: int) -> AsyncIterator[DapClient]:
        client = cls(*await asyncio.open_connection("127.0.0.1", port))
        try:
            yield client
        finally:
            await client.close()

    @classmethod
    @contextlib.asynccontextmanager
    async def of(cls, *command: str, cwd: Path) -> AsyncIterator[DapClient]:
        """As an editor does it with an executable adapter: over its stdin and stdout."""
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=cwd,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        client = cls(process.stdout, process.stdin)
        client.process = process
        try:
            yield client
        finally:
            await client.close()
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def _read(self) -> None:
        decoder = Decoder()
        with contextlib.suppress(ConnectionError):
            while data := await self._reader.read(1 << 16):
                for message in decoder.feed(data):
                    if message["type"] == "event":
                        self.events.append(message)
                    elif message["type"] == "request":
                        self.asked.append(message)
                        number, command = message["seq"], message["command"]
                        refuses = command in self.refuses
                        answer = (
                            dap.failure(number, command, "no")
                            if refuses
                            else dap.success(number, command)
                        )
                        self._writer.write(dap.encode(answer))
                    else:
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

    async def request(self, command: str, count: int = 1) -> Message:
        """The arguments of the `count`th request of that name that came."""

        def found() -> Message | None:
            asked = [one for one in self.asked if one["command"] == command]
            return asked[count - 1] if len(asked) >= count else None

        arguments: Message = (await self._until(found, f"{command} request")).get("arguments") or {}
        return arguments

    async def begin(self, command: str = "attach", **arguments: Any) -> int:
        """Initializes and says `attach`; returns its number when debugpy wants to be configured."""
        await self.ask(
            "initialize",
            adapterID="python",
            pathFormat="path",
            clientID="test",
            supportsStartDebuggingRequest=self.holds_several,
            supportsRunInTerminalRequest=True,
        )
        number = self.send(command, **arguments)
        await self.event("initialized")
        return number

    async def verified(self, count: int = 1) -> list[Message]:
        """The breakpoints as they are by now, once that many were verified."""

        def found() -> list[Message] | None:
            now = {one["id"]: one for one in self.breakpoints}
            for event in self.events:
                if event["event"] == "breakpoint":
                    about = event["body"]["breakpoint"]
                    now[about["id"]] = {**now.get(about["id"], {}), **about}
            done = [one for one in now.values() if one["verified"]]
            return list(now.values()) if len(done) >= count else None

        breakpoints: list[Message] = await self._until(found, "verified breakpoints")
        return breakpoints

    async def stop_at(
        self,
        path: str,
        *lines: int,
        start: str = "attach",
        asked: Message | None = None,
        **breakpoint: Any,
    ) -> list[Message]:
        """Starts with breakpoints at these lines; returns the stack where it stopped first.

        Args:
            asked: arguments of `start`.
        """
        number = await self.begin(start, **(asked or {}))
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
