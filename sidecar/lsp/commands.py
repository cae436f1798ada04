"""`workspace/executeCommand`: our requests, for editors that know only standard LSP.

Each command takes at most one argument: the parameters of the method it stands for, as an object;
or, where something is run, the file's path or URI. The result is the method's result. A client
that does not know us is told in words as well.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

import msgspec
from pygls import uris
from pygls.exceptions import JsonRpcException, JsonRpcInvalidParams
from pygls.lsp.server import LanguageServer

from sidecar import api
from sidecar.errors import SidecarError
from sidecar.hub.client import asked_by
from sidecar.hub.rpc import REQUEST_FAILED, failure
from sidecar.hub.service import Service
from sidecar.lsp.client import LspClient


class _Command(NamedTuple):
    method: str
    words: Callable[[Any], str]
    """What a client that does not know us is told of the result; "" for nothing."""
    defaults: Mapping[str, Any] = {}
    """Parameters that a command has where the client gives none."""


def _status(result: api.StatusResult) -> str:
    lines = [f"{one.host}: {one.state}, {one.text} ({one.project})" for one in result.sessions]
    return "\n".join(lines) or "No project is open"


def _synced(result: api.SyncResult) -> str:
    text = f"{result.sent} sent, {result.removed} removed"
    return f"{text}, {len(result.notes)} to look at" if result.notes else text


COMMANDS = {
    "sidecar.run": _Command("sidecar/run", lambda result: result.headline),
    "sidecar.debug": _Command(
        "sidecar/debug", lambda result: f"A debugger can attach to 127.0.0.1:{result.port}"
    ),
    "sidecar.stop": _Command("sidecar/signal", lambda result: ""),
    "sidecar.sync": _Command("sidecar/sync", _synced),
    "sidecar.showStatus": _Command("sidecar/status", _status),
    "sidecar.trust": _Command(
        "sidecar/trust",
        lambda result: "Trusted" if result.trusted else "Not trusted",
        {"ask": True},
    ),
    "sidecar.jobs": _Command("sidecar/jobs", lambda result: f"{len(result.jobs)} jobs"),
}


class RequestFailed(JsonRpcException):
    CODE = REQUEST_FAILED


def register(server: LanguageServer, client: LspClient, service: Service) -> None:
    for name, command in COMMANDS.items():
        server.command(name)(_handler(name, command, client, service))


def _handler(
    name: str, command: _Command, client: LspClient, service: Service
) -> Callable[..., Awaitable[Any]]:
    kind, _ = api.REQUESTS[command.method]

    async def handler(*arguments: Any) -> Any:
        try:
            given = _parameters(name, kind, arguments)
            if isinstance(given, dict):
                given = {**command.defaults, **given}
            params = msgspec.convert(given, kind)
        except msgspec.ValidationError as error:
            raise JsonRpcInvalidParams(f"{name}: {error}") from None
        try:
            with asked_by(client):
                result = await service.methods[command.method](client, params)
        except SidecarError as error:
            answer = failure(error)
            if not client.knows_sidecar:
                client.show(str(error), "error")
            raise RequestFailed(answer.message, answer.code, answer.data) from None
        if not client.knows_sidecar and (text := command.words(result)):
            client.show(text)
        return msgspec.to_builtins(result)

    return handler


def _parameters(name: str, kind: type[api.Message], arguments: tuple[Any, ...]) -> Any:
    if len(arguments) > 1:
        raise JsonRpcInvalidParams(f"{name} takes one argument, {len(arguments)} came")
    given = arguments[0] if arguments else {}
    if given is None:
        return {}
    if isinstance(given, str) and "target" in kind.__struct_fields__:
        path = uris.to_fs_path(given) if given.startswith("file:") else given
        given = {"target": path}
    if isinstance(given, dict) and given.get("target") and not given.get("project"):
        # The file says whose project it is, whatever folder the editor has open.
        target = str(given["target"])
        if os.path.isabs(target):
            given = {**given, "project": os.path.dirname(target)}
    return given
