"""`workspace/executeCommand`: our requests, for editors that know only standard LSP.

Each command takes at most one argument: the parameters of the method it stands for, as an object;
or, where something is run, the file's path or URI. The result is the method's result. A client
that does not know us is told in words as well.
"""

from __future__ import annotations

import os
import shlex
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

MOST_SHOWN = 2000
"""Characters of a difference in a message, for editors that cannot be shown a file."""


class _Command(NamedTuple):
    method: str
    words: Callable[[Any], str]
    """What a client that does not know us is told of the result; "" for nothing."""
    defaults: Mapping[str, Any] = {}
    """Parameters that a command has where the client gives none."""
    document: Callable[[Any], str] = lambda result: ""
    """A file that shows the result better than words; "" for none."""


def _status(result: api.StatusResult) -> str:
    lines = [f"{one.host}: {one.state}, {one.text} ({one.project})" for one in result.sessions]
    return "\n".join(lines) or "No project is open"


def _synced(result: api.SyncResult) -> str:
    text = f"{result.sent} sent, {result.removed} removed"
    return f"{text}, {len(result.notes)} to look at" if result.notes else text


def _conflicts(result: api.ConflictsResult) -> str:
    lines = [f"{note.path}: {note.kind}, {note.text}" for note in result.notes]
    return "\n".join(lines) or "No conflicts"


def _difference(result: api.DiffResult) -> str:
    if result.why:
        return f"{result.path}: {result.why}"
    if result.binary:
        return f"{result.path} is no text, and not the same"
    return result.text[:MOST_SHOWN] or f"{result.path} is the same on both sides"


def _resolved(result: api.ResolveResult) -> str:
    lines = [f"{note.path}: {note.text}" for note in (*result.done, *result.left)]
    return "\n".join(lines) or "There was nothing to decide"


def _why(result: api.WhyResult) -> str:
    verdict = "synced" if result.synced else "not synced"
    rule = f" by {result.rule} ({result.source})" if result.rule else ""
    return f"{result.path}: {verdict}{rule}; next sync: {result.next}"


def _pulled(result: api.PullResult) -> str:
    text = f"{result.pulled} pulled"
    return "; ".join([text, *(f"{note.path}: {note.text}" for note in result.notes)])


def _arguments(result: api.ArgumentsResult) -> str:
    known = shlex.join(result.args)
    return f"{result.target} is run {f'with {known}' if known else 'without arguments'}"


def _interpreters(result: api.InterpretersResult) -> str:
    lines = [
        f"{'* ' if one.in_use else ''}{one.name}: {one.problem or 'Python ' + one.version}"
        for one in result.interpreters
    ]
    return "\n".join(lines) or "No Python was found there"


def _hosts(result: api.HostsResult) -> str:
    lines = [
        f"{'* ' if one.in_use else ''}{one.name}: {one.state}, {one.text}" for one in result.hosts
    ]
    return "\n".join(lines)


def _ports(result: api.PortsResult | api.ForwardResult) -> str:
    lines = [f"{result.host}: {port.text}" for port in result.ports if port.text]
    return "\n".join(lines) or f"Nothing is forwarded from {result.host}"


def _gpus(result: api.GpusResult) -> str:
    lines = [
        f"GPU {one.index} {one.name} {one.slice}: {one.text or 'free'}".replace(" :", ":")
        for one in result.gpus
    ]
    return "\n".join(lines) or result.problem or f"{result.host} has no NVIDIA GPU"


COMMANDS = {
    "sidecar.run": _Command("sidecar/run", lambda result: result.headline),
    "sidecar.rerun": _Command(
        "sidecar/rerun", lambda result: "; ".join([*result.differences, result.headline])
    ),
    "sidecar.debug": _Command(
        "sidecar/debug", lambda result: f"A debugger can attach to 127.0.0.1:{result.port}"
    ),
    "sidecar.debugLastFailure": _Command(
        "sidecar/debugFailure",
        lambda result: (
            f"A debugger can attach to 127.0.0.1:{result.port}: it stops where it failed"
        ),
    ),
    "sidecar.stop": _Command("sidecar/signal", lambda result: ""),
    "sidecar.sync": _Command("sidecar/sync", _synced),
    "sidecar.pull": _Command("sidecar/pull", _pulled),
    "sidecar.showStatus": _Command("sidecar/status", _status),
    "sidecar.hosts": _Command("sidecar/hosts", _hosts),
    "sidecar.selectHost": _Command(
        "sidecar/selectHost",
        lambda result: f"Saves and runs go to {result.host}",
        {"connect": True},
    ),
    "sidecar.forward": _Command("sidecar/forward", _ports),
    "sidecar.ports": _Command("sidecar/ports", _ports),
    "sidecar.gpus": _Command("sidecar/gpus", _gpus),
    "sidecar.tensorboard": _Command(
        "sidecar/service", lambda result: result.url, {"service": "tensorboard"}
    ),
    "sidecar.jupyter": _Command(
        "sidecar/service", lambda result: result.url, {"service": "jupyter"}
    ),
    "sidecar.init": _Command(
        "sidecar/init",
        lambda result: (
            f"{result.project} will go to {result.ssh}:{result.path}. Nothing was sent "
            f"yet; a sync does, and asks before it touches what is there"
        ),
    ),
    "sidecar.trust": _Command(
        "sidecar/trust",
        lambda result: "Trusted" if result.trusted else "Not trusted",
        {"ask": True},
    ),
    "sidecar.conflicts": _Command("sidecar/conflicts", _conflicts),
    "sidecar.diff": _Command("sidecar/diff", _difference, document=lambda result: result.patch),
    "sidecar.resolve": _Command("sidecar/resolve", _resolved),
    "sidecar.undo": _Command("sidecar/undo", lambda result: f"{len(result.restored)} brought back"),
    "sidecar.why": _Command("sidecar/why", _why),
    "sidecar.arguments": _Command("sidecar/arguments", _arguments),
    "sidecar.interpreters": _Command("sidecar/interpreters", _interpreters),
    "sidecar.selectInterpreter": _Command(
        "sidecar/selectInterpreter",
        lambda result: f"Jobs on {result.host} run with {result.python} (Python {result.version})",
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
        document = command.document(result)
        shown = bool(document) and await client.open_document(document)
        if not shown and not client.knows_sidecar and (text := command.words(result)):
            client.show(text)
        return msgspec.to_builtins(result)

    return handler


def _parameters(name: str, kind: type[api.Message], arguments: tuple[Any, ...]) -> Any:
    if len(arguments) > 1:
        raise JsonRpcInvalidParams(f"{name} takes one argument, {len(arguments)} came")
    given = arguments[0] if arguments else {}
    if given is None:
        return {}
    if isinstance(given, str) and kind is api.SelectHostParams:
        return {"host": given}
    if kind is api.InitParams:  # whose path is the remote's
        return {"ssh": given} if isinstance(given, str) else given
    names = [one for one in ("target", "path") if one in kind.__struct_fields__]
    if isinstance(given, str) and names:
        path = uris.to_fs_path(given) if given.startswith("file:") else given
        given = {names[0]: path}
    if isinstance(given, dict) and not given.get("project"):
        # The file says whose project it is, whatever folder the editor has open.
        paths = given.get("paths")
        first = paths[0] if isinstance(paths, list) and paths else ""
        target = str(given.get("target") or given.get("path") or first)
        if os.path.isabs(target):
            given = {**given, "project": os.path.dirname(target)}
    return given
