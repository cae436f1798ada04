"""An editor's debugger: as debug adapters are used by all of them, and no more clever."""

from __future__ import annotations

import itertools
import os
import select
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sidecar.debug import dap
from sidecar.debug.dap import Message

PATIENCE = 60.0
"""Seconds for any one answer."""


class Debugger:
    """One conversation, over the two directions of a pipe or a socket."""

    def __init__(self, receive: int, send: int, close: Callable[[], object]) -> None:
        self._receive, self._send, self._close = receive, send, close
        self._decoder = dap.Decoder()
        self._numbers = itertools.count(1)
        self._came: list[Message] = []

    @classmethod
    def started(cls, command: Sequence[str], environ: Mapping[str, str], folder: Path) -> Debugger:
        """With an adapter that is a program, over its stdin and stdout."""
        adapter = subprocess.Popen(
            command, env=environ, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert adapter.stdin is not None
        assert adapter.stdout is not None
        stdin, stdout = adapter.stdin, adapter.stdout

        def close() -> None:
            stdin.close()
            adapter.wait(PATIENCE)
            stdout.close()

        return cls(stdout.fileno(), stdin.fileno(), close)

    @classmethod
    def connected(cls, port: int) -> Debugger:
        """With one that listens."""
        connection = socket.create_connection(("127.0.0.1", port), PATIENCE)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(connection.fileno(), connection.fileno(), connection.close)

    def stop_at(self, path: Path, line: int, command: str, arguments: Message) -> None:
        """From `initialize` to the first stop, as VS Code does it."""
        self.ask("initialize", {"adapterID": "bench", "pathFormat": "path", "linesStartAt1": True})
        begun = self.say(command, arguments)
        self.event("initialized")
        self.ask("setBreakpoints", {"source": {"path": str(path)}, "breakpoints": [{"line": line}]})
        self.ask("setExceptionBreakpoints", {"filters": ["uncaught"]})
        self.ask("configurationDone", {})
        self.answer(begun)
        self.stopped()

    def stopped(self) -> None:
        self.thread = self.event("stopped")["threadId"]

    def where(self) -> Message:
        """The top frame."""
        frame: Message = self.ask("stackTrace", {"threadId": self.thread})["stackFrames"][0]
        return frame

    def value(self, name: str, frame: Message) -> str:
        return str(self.ask("evaluate", {"expression": name, "frameId": frame["id"]})["result"])

    def step(self) -> None:
        self.say("next", {"threadId": self.thread})
        self.stopped()

    def end(self) -> None:
        self.ask("disconnect", {"terminateDebuggee": True})
        self._close()

    def ask(self, command: str, arguments: Message) -> Any:
        return self.answer(self.say(command, arguments))

    def say(self, command: str, arguments: Message) -> int:
        number = next(self._numbers)
        os.write(self._send, dap.encode(dap.request(command, arguments, seq=number)))
        return number

    def answer(self, number: int) -> Any:
        found = self._take(lambda one: one.get("request_seq") == number, f"an answer to {number}")
        if not found["success"]:
            raise RuntimeError(f"{found['command']} was refused: {found.get('message')}")
        return found.get("body") or {}

    def event(self, name: str) -> Message:
        body: Message = self._take(lambda one: one.get("event") == name, name).get("body") or {}
        return body

    def _take(self, wanted: Callable[[Message], bool], what: str) -> Message:
        """The first message that is wanted; those before it are kept."""
        end = time.monotonic() + PATIENCE
        while True:
            for message in self._came:
                if wanted(message):
                    self._came.remove(message)
                    return message
            if not select.select([self._receive], [], [], max(0.0, end - time.monotonic()))[0]:
                raise RuntimeError(f"the debugger did not say {what}")
            data = os.read(self._receive, 1 << 16)
            if not data:
                raise RuntimeError(f"the debugger ended before it said {what}: {self._came}")
            self._came += self._decoder.feed(data)
