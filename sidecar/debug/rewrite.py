"""What changes in a debugger's messages between an editor here and debugpy there. Pure functions;
a message that is given is never changed, a changed copy is returned.

Paths are translated where the protocol has them as values, never in a program's output. A path
that is not in the project is left as it is: either the editor got it from the remote (with a
`sourceReference`, by which it reads the text from there), or it means nothing there.

The remote is not trusted with the editor: what would make an editor act (start a terminal, open
connections) does not pass here: proxy.py makes its own request of what debugpy asks for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from sidecar.core.pathmap import PathMap
from sidecar.debug.dap import Message

Change = Callable[[Any], Any]

_EACH = object()
"""A step into every item of a list."""

_MAX_CAUSES = 32
"""How deep exceptions that caused each other are followed."""

_REQUEST_SOURCES: dict[str, tuple[object, ...]] = {
    "breakpointLocations": ("source",),
    "gotoTargets": ("source",),
    "setBreakpoints": ("source",),
    "source": ("source",),
}
"""Where requests of the editor have a Source."""

_RESPONSE_SOURCES: dict[str, tuple[object, ...]] = {
    "loadedSources": ("sources", _EACH),
    "locations": ("source",),
    "scopes": ("scopes", _EACH, "source"),
    "setBreakpoints": ("breakpoints", _EACH, "source"),
    "setDataBreakpoints": ("breakpoints", _EACH, "source"),
    "setExceptionBreakpoints": ("breakpoints", _EACH, "source"),
    "setFunctionBreakpoints": ("breakpoints", _EACH, "source"),
    "stackTrace": ("stackFrames", _EACH, "source"),
}
"""Where answers of debugpy have one."""

_EVENT_SOURCES: dict[str, tuple[object, ...]] = {
    "breakpoint": ("breakpoint", "source"),
    "loadedSource": ("source",),
    "output": ("source",),
}

_EVENTS = frozenset(
    (
        "breakpoint",
        "capabilities",
        "continued",
        "exited",
        "initialized",
        "invalidated",
        "loadedSource",
        "memory",
        "module",
        "output",
        "process",
        "progressEnd",
        "progressStart",
        "progressUpdate",
        "stopped",
        "terminated",
        "thread",
    )
)
"""The protocol's own events. debugpy's private ones tell of ports that are out of reach here, or
have an editor connect to them."""

_TRACEBACK_FILE = re.compile(r'(?m)^(\s*File ")([^"\n]+)(", line \d+)')

# --- editor to debugpy -----------------------------------------------------------------------


def request_to_remote(message: Message, pathmap: PathMap, *, owned: bool = True) -> Message:
    """An editor's request, as debugpy shall see it. `attach` and `launch` are not for this: see
    launch.py.

    Args:
        owned: the program is this session's, and does not outlive it.
    """
    command, arguments = message["command"], message.get("arguments") or {}
    if command in _REQUEST_SOURCES:
        return _changed(
            message, ("arguments", *_REQUEST_SOURCES[command]), _source_to(pathmap.to_remote)
        )
    if command == "disconnect" and owned:
        # The debuggee is ours: an editor that leaves must not leave it behind.
        return {**message, "arguments": {**arguments, "terminateDebuggee": True}}
    return message


def initialize(arguments: Message) -> Message:
    """An editor's `initialize`, as debugpy shall see it: whatever the editor can do at its wish,
    it asks us."""
    kept = {key: value for key, value in arguments.items() if not key.startswith("supports")}
    for offer in ("supportsVariableType", "supportsVariablePaging", "supportsMemoryReferences"):
        if offer in arguments:
            kept[offer] = arguments[offer]
    asked = {"supportsRunInTerminalRequest": True, "supportsStartDebuggingRequest": True}
    return {"adapterID": "debugpy", "pathFormat": "path", **kept, **asked}


def stopping_at(request: Message, filters: Sequence[str]) -> Message:
    """An editor's `setExceptionBreakpoints`, with more filters than it names."""
    arguments = request.get("arguments") or {}
    named = arguments.get("filters")
    named = named if isinstance(named, list) else []
    more = [one for one in filters if one not in named]
    return {**request, "arguments": {**arguments, "filters": [*named, *more]}}


def source_path(message: Message) -> str:
    """The path that a request names, "" where it names none."""
    source = (message.get("arguments") or {}).get("source")
    path = source.get("path") if isinstance(source, dict) else None
    return path if isinstance(path, str) else ""


# --- debugpy to editor -----------------------------------------------------------------------


def response_to_client(message: Message, pathmap: PathMap) -> Message:
    """debugpy's answer, as the editor shall see it."""
    command = message["command"]
    if not message["success"]:
        return message
    if command in _RESPONSE_SOURCES:
        return _changed(
            message, ("body", *_RESPONSE_SOURCES[command]), _source_to(pathmap.to_local)
        )
    if command == "modules":
        return _changed(message, ("body", "modules", _EACH, "path"), _path_to(pathmap.to_local))
    if command == "gotoTargets":
        return _changed(message, ("body", "targets", _EACH, "label"), _label_to(pathmap.to_local))
    if command == "exceptionInfo":
        return _changed(message, ("body", "details"), lambda details: _details(details, pathmap))
    return message


def event_to_client(message: Message, pathmap: PathMap) -> Message | None:
    """debugpy's event, as the editor shall see it; None: not at all."""
    name = message["event"]
    body = message.get("body") or {}
    if name not in _EVENTS or (name == "output" and body.get("category") == "telemetry"):
        return None
    if name in _EVENT_SOURCES:
        return _changed(message, ("body", *_EVENT_SOURCES[name]), _source_to(pathmap.to_local))
    if name == "module":
        return _changed(message, ("body", "module", "path"), _path_to(pathmap.to_local))
    if name == "process":
        there = {**body, "isLocalProcess": False}
        return _changed({**message, "body": there}, ("body", "name"), _path_to(pathmap.to_local))
    return message


# --- how -------------------------------------------------------------------------------------


def _changed(message: Message, steps: tuple[object, ...], change: Change) -> Message:
    changed: Message = _edited(message, steps, change)
    return changed


def _edited(value: Any, steps: tuple[object, ...], change: Change) -> Any:
    """A copy of `value` with `change` applied to what the steps lead to; what is missing on the
    way, or of another shape, stays as it is."""
    if not steps:
        return change(value)
    step, rest = steps[0], steps[1:]
    if step is _EACH:
        if not isinstance(value, list):
            return value
        return [_edited(item, rest, change) for item in value]
    if not isinstance(value, dict) or step not in value:
        return value
    return {**value, step: _edited(value[step], rest, change)}


def _path_to(translate: Callable[[str], str | None]) -> Change:
    def change(path: Any) -> Any:
        return path if not isinstance(path, str) else translate(path) or path

    return change


def _source_to(translate: Callable[[str], str | None]) -> Change:
    def change(source: Any) -> Any:
        if not isinstance(source, dict):
            return source
        changed = dict(source)
        path = source.get("path")
        found = translate(path) if isinstance(path, str) else None
        if found is not None:
            # A file of the project is read where it is; a reference would hide it.
            changed.update(path=found, sourceReference=0)
        return changed

    return change


def _label_to(translate: Callable[[str], str | None]) -> Change:
    """debugpy labels a target of a jump `PATH:LINE`."""

    def change(label: Any) -> Any:
        if not isinstance(label, str):
            return label
        path, colon, line = label.rpartition(":")
        return (translate(path) or path) + colon + line

    return change


def _details(details: Any, pathmap: PathMap, depth: int = 0) -> Any:
    """An exception's details: the path of its source, a traceback as text, and the same of the
    exceptions that caused it."""
    if not isinstance(details, dict) or depth > _MAX_CAUSES:
        return details
    changed = _edited(details, ("source",), _path_to(pathmap.to_local))
    changed = _edited(changed, ("stackTrace",), lambda text: _traceback(text, pathmap))
    causes = ("innerException", _EACH)
    return _edited(changed, causes, lambda cause: _details(cause, pathmap, depth + 1))


def _traceback(text: Any, pathmap: PathMap) -> Any:
    if not isinstance(text, str):
        return text

    def local(line: re.Match[str]) -> str:
        return line[1] + (pathmap.to_local(line[2]) or line[2]) + line[3]

    return _TRACEBACK_FILE.sub(local, text)
