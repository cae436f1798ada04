"""A scripted debug client: speaks DAP with the port that the sidecar gave, as any editor would."""

from __future__ import annotations

import itertools
import socket
from pathlib import Path
from typing import Any

from sidecar.debug import dap
from sidecar.errors import SidecarError

PATIENCE = 60.0


class Debugger:
    """One debug session over a local port."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self._decoder = dap.Decoder()
        self._ids = itertools.count(1)
        self._inbox: list[dap.Message] = []

    def stop_at(self, path: Path, line: int, configuration: dict[str, Any]) -> dict[str, Any]:
        """Attaches, sets one breakpoint, and returns the top frame when it is hit."""
        self.request(
            "initialize",
            {"adapterID": "sidecar", "pathFormat": "path", "linesStartAt1": True},
        )
        attached = self._send("attach", configuration)
        self._event("initialized")
        self.request(
            "setBreakpoints",
            {"source": {"path": str(path)}, "breakpoints": [{"line": line}]},
        )
        self.request("configurationDone", {})
        self._answer(attached)
        thread = self._event("stopped")["body"]["threadId"]
        frames = self.request("stackTrace", {"threadId": thread})["stackFrames"]
        frame: dict[str, Any] = frames[0]
        self._thread = thread
        return frame

    def value(self, name: str, frame: dict[str, Any]) -> str:
        """An expression's value in a frame."""
        result = self.request(
            "evaluate", {"expression": name, "frameId": frame["id"], "context": "watch"}
        )
        return str(result["result"])

    def finish(self, path: Path) -> None:
        """Takes the breakpoint away, and lets the program run to its end."""
        self.request("setBreakpoints", {"source": {"path": str(path)}, "breakpoints": []})
        self.request("continue", {"threadId": self._thread})
        self._event("terminated")
        self._socket.close()

    def request(self, command: str, arguments: dict[str, Any]) -> Any:
        return self._answer(self._send(command, arguments))

    def _send(self, command: str, arguments: dict[str, Any]) -> int:
        number = next(self._ids)
        message = {"seq": number, "type": "request", "command": command, "arguments": arguments}
        self._socket.sendall(dap.encode(message))
        return number

    def _answer(self, number: int) -> Any:
        message = self._next(lambda one: one["type"] == "response" and one["request_seq"] == number)
        if not message["success"]:
            raise SidecarError("The debugger refused", str(message.get("message")))
        return message.get("body")

    def _event(self, name: str) -> dap.Message:
        return self._next(lambda one: one["type"] == "event" and one["event"] == name)

    def _next(self, matches: Any) -> dap.Message:
        while True:
            for message in self._inbox:
                if matches(message):
                    self._inbox.remove(message)
                    return message
            data = self._socket.recv(1 << 16)
            if not data:
                raise SidecarError("The debug session ended early", "its port was closed")
            self._inbox.extend(self._decoder.feed(data))
