"""The command line's end of the control socket: JSON-RPC on a blocking socket, no asyncio.

A command that only asks pays for a socket, msgspec and argparse; what takes part in a job watches
`fileno` among its other files and calls `read` when there is something.
"""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import msgspec

from sidecar import api
from sidecar.errors import Disconnected, SidecarError
from sidecar.hub import framing, process

Answer = TypeVar("Answer", bound=api.Message)
Note = TypeVar("Note", bound=api.Message)

_GONE = Disconnected(
    "The sidecar hub has gone",
    "it ended, or was ended, while this command used it",
    f"repeat the command, a new hub starts by itself; its log is {process.log_path()}",
    code="hub-gone",
)


class Asked(Protocol):
    """Who answers the hub's questions here. See cli/terminal.py."""

    def secret(self, params: api.AskSecretParams) -> str | None: ...

    def choose(
        self, message: str, options: list[str], typed: Callable[[int], bool]
    ) -> str | None: ...

    def show(self, message: str, kind: int) -> None: ...


class Failed(SidecarError):
    """The hub's answer to a request, in its own words."""

    def __init__(self, message: str, problem: api.Problem | None) -> None:
        if problem:
            super().__init__(problem.what, problem.why, problem.fix, code=problem.code)
        else:
            super().__init__(message)


class HubClient:
    """One connection. Not for threads."""

    def __init__(self, name: str, person: Asked, *, start: bool = True) -> None:
        """Raises HubError where no hub can be had."""
        self._socket, self.welcome = process.meet("rpc", name, start=start)
        self._person = person
        self._decoder = framing.Decoder()
        self._number = 0
        self._answers: dict[int, dict[str, Any]] = {}
        self._awaited: set[int] = set()
        self._withdrawn: set[object] = set()
        self._asking = False
        self._notes: dict[str, tuple[type[api.Message], Callable[[Any], None]]] = {}

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> HubClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fileno(self) -> int:
        return self._socket.fileno()

    def on(self, method: str, kind: type[Note], handler: Callable[[Note], None]) -> None:
        """Calls `handler` for each such notification, from within `read`."""
        self._notes[method] = kind, handler

    def call(self, method: str, params: api.Message, result: type[Answer]) -> Answer:
        """Asks and waits for the answer; what else comes meanwhile is handled.

        Raises:
            Failed: the hub said no.
            Disconnected: the hub has gone.
        """
        number = self.send(method, params)
        try:
            while not self.answered(number):
                self.read()
        except KeyboardInterrupt:
            self.cancel(number)
            raise
        return self.take(number, result)

    def send(self, method: str, params: api.Message) -> int:
        """Asks without waiting; the number is for `answered` and `take`."""
        self._number += 1
        self._awaited.add(self._number)
        self._write({"id": self._number, "method": method, "params": params})
        return self._number

    def cancel(self, number: int) -> None:
        """The answer is not wanted any more, and what the request does shall end."""
        with contextlib.suppress(SidecarError):
            self._write({"method": "$/cancelRequest", "params": {"id": number}})

    def answered(self, number: int) -> bool:
        return number in self._answers

    def forget(self, number: int) -> None:
        """The answer does not matter, come or not."""
        self._awaited.discard(number)
        self._answers.pop(number, None)

    def take(self, number: int, result: type[Answer]) -> Answer:
        message = self._answers.pop(number)
        error = message.get("error")
        if error is not None:
            problem = None
            with contextlib.suppress(msgspec.ValidationError):
                problem = msgspec.convert(error.get("data"), api.Problem)
            raise Failed(str(error.get("message", "the hub gave no reason")), problem)
        return msgspec.convert(message.get("result"), result)

    def read(self) -> None:
        """Waits for bytes, and handles the messages that they complete."""
        try:
            data = self._socket.recv(1 << 16)
        except ConnectionResetError:
            data = b""
        if not data:
            raise _GONE
        for body in self._decoder.feed(data):
            self._handle(msgspec.json.decode(body))

    def _handle(self, message: dict[str, Any]) -> None:
        number, method = message.get("id"), message.get("method")
        if method is None:
            if number in self._awaited:
                self._awaited.discard(number)
                self._answers[number] = message
        elif number is not None:
            self._answer(number, method, message.get("params") or {})
        elif method == "$/cancelRequest":
            self._withdrawn.add((message.get("params") or {}).get("id"))
        elif method == "sidecar/didChangeStatus" and self._asking:
            pass  # nothing is drawn over a question
        elif method in self._notes:
            kind, handler = self._notes[method]
            handler(msgspec.convert(message.get("params"), kind))
        elif method in ("window/showMessage", "window/logMessage"):
            params = message.get("params") or {}
            kind_shown = 4 if method.endswith("logMessage") else int(params.get("type", 3))
            self._person.show(str(params.get("message", "")), kind_shown)

    def _answer(self, number: object, method: str, params: dict[str, Any]) -> None:
        if method == "sidecar/askSecret":
            value = self._person.secret(msgspec.convert(params, api.AskSecretParams))
            self._write({"id": number, "result": api.AskSecretResult(value=value)})
        elif method == "window/showMessageRequest":
            options = [str(action.get("title", "")) for action in params.get("actions") or []]
            chosen = self._person.choose(
                str(params.get("message", "")), options, lambda tty: self._typed(tty, number)
            )
            result = {"title": chosen} if chosen is not None else None
            self._write({"id": number, "result": result})
        else:
            error = {"code": -32601, "message": f"no method {method}"}
            self._write({"id": number, "error": error})

    def _typed(self, terminal: int, number: object) -> bool:
        """Waits until something was typed there; False where the question is not asked any more."""
        self._asking = True
        files: list[Any] = [terminal, self]
        try:
            while number not in self._withdrawn:
                ready, _, _ = select.select(files, [], [])
                if self in ready:
                    self.read()
                elif terminal in ready:
                    return True
            return False
        finally:
            self._asking = False

    def _write(self, message: dict[str, Any]) -> None:
        body = msgspec.json.encode({"jsonrpc": "2.0", **message})
        try:
            self._socket.sendall(framing.encode(body))
        except (BrokenPipeError, ConnectionResetError):
            raise _GONE from None


def shut(connection: socket.socket) -> None:
    """No more bytes go out; what still comes can be read."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
