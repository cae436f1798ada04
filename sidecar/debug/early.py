"""What an editor is answered before debugpy is there: a session begins while the barrier is waited
for and debugpy starts, instead of after it.

Breakpoints are taken as unverified, under ids of ours. When debugpy is ready they are given to it
as they are by then, and its answers become `breakpoint` events about those ids. Pure: messages in,
messages out.
"""

from __future__ import annotations

import json
from typing import Any

from sidecar.debug import dap
from sidecar.debug.dap import Message

FIRST_ID = 1 << 24
"""Ids of ours begin here; debugpy counts its own from zero."""

MAX_SOURCES = 10_000
"""Files with breakpoints of one session: more than a person sets."""

CAPABILITIES: Message = {
    "supportsCompletionsRequest": True,
    "supportsConditionalBreakpoints": True,
    "supportsConfigurationDoneRequest": True,
    "supportsDebuggerProperties": True,
    "supportsDelayedStackTraceLoading": True,
    "supportsEvaluateForHovers": True,
    "supportsExceptionInfoRequest": True,
    "supportsExceptionOptions": True,
    "supportsFunctionBreakpoints": True,
    "supportsHitConditionalBreakpoints": True,
    "supportsLogPoints": True,
    "supportsModulesRequest": True,
    "supportsSetExpression": True,
    "supportsSetVariable": True,
    "supportsValueFormattingOptions": True,
    "supportsTerminateDebuggee": True,
    "supportsTerminateRequest": True,
    "supportsGotoTargetsRequest": True,
    "supportsClipboardContext": True,
    "exceptionBreakpointFilters": [
        {
            "filter": "raised",
            "label": "Raised Exceptions",
            "default": False,
            "description": "Break whenever any exception is raised.",
        },
        {
            "filter": "uncaught",
            "label": "Uncaught Exceptions",
            "default": True,
            "description": "Break when the process is exiting due to unhandled exception.",
        },
        {
            "filter": "userUnhandled",
            "label": "User Uncaught Exceptions",
            "default": False,
            "description": "Break when exception escapes into library code.",
        },
    ],
    "supportsStepInTargetsRequest": True,
}
"""What debugpy's adapter answers to `initialize`, in every version that we send. A test compares it
with the one that is installed."""

PENDING = "The program has not started yet."


class Early:
    """What one session was told so far."""

    def __init__(self) -> None:
        self.configured = False
        """The editor has said `configurationDone`."""
        self._said: dict[str, Message] = {}
        self._ids: dict[str, list[int]] = {}
        self._next = FIRST_ID
        self._theirs: dict[int, int] = {}

    def answer(self, message: Message) -> Message | None:
        """The answer to a request of the editor, None where it must wait for debugpy."""
        number, command = message["seq"], message["command"]
        arguments = message.get("arguments") or {}
        if command == "configurationDone":
            self.configured = True
            return dap.success(number, command)
        if command == "setExceptionBreakpoints":
            self._said[command] = message
            return dap.success(number, command)
        if command not in ("setBreakpoints", "setFunctionBreakpoints"):
            return None
        key = _key(message)
        if key not in self._said and len(self._said) >= MAX_SOURCES:
            return dap.failure(number, command, "There are too many files with breakpoints.")
        wanted = arguments.get("breakpoints")
        if not isinstance(wanted, list):
            wanted = [{"line": line} for line in _list(arguments.get("lines"))]
        self._said[key] = message
        self._ids[key] = [self._next + count for count in range(len(wanted))]
        self._next += len(wanted)
        told = [
            _unverified(one, number, arguments.get("source"))
            for one, number in zip(wanted, self._ids[key], strict=True)
        ]
        return dap.success(number, command, {"breakpoints": told})

    def has(self, command: str) -> bool:
        """Whether the editor has said it, of the requests of which only the last one counts."""
        return command in self._said

    def replay(self) -> list[Message]:
        """The editor's requests, for debugpy, in the order in which they first came."""
        return list(self._said.values())

    def corrected(self, request: Message, answer: Message) -> list[Message]:
        """Events for the editor, from debugpy's answer to a replayed request."""
        ids = self._ids.get(_key(request), [])
        found = _list((answer.get("body") or {}).get("breakpoints"))
        events = []
        for count, number in enumerate(ids):
            now: Any = found[count] if count < len(found) else None
            if not isinstance(now, dict):
                now = {"verified": False, "message": answer.get("message") or "debugpy refuses it"}
            if type(now.get("id")) is int:
                self._theirs[now["id"]] = number
            body = {"reason": "changed", "breakpoint": {**now, "id": number}}
            events.append(dap.event("breakpoint", body))
        return events

    def as_told(self, message: Message) -> Message:
        """An event of debugpy, with the ids that the editor knows."""
        body = message.get("body") or {}
        if message["event"] == "breakpoint" and isinstance(body.get("breakpoint"), dict):
            number = body["breakpoint"].get("id")
            if number in self._theirs:
                about = {**body["breakpoint"], "id": self._theirs[number]}
                return {**message, "body": {**body, "breakpoint": about}}
        hit = body.get("hitBreakpointIds")
        if message["event"] == "stopped" and isinstance(hit, list):
            known = [self._theirs.get(one, one) for one in hit if type(one) is int]
            return {**message, "body": {**body, "hitBreakpointIds": known}}
        return message


def _key(message: Message) -> str:
    """Two requests with the same key replace each other."""
    source = (message.get("arguments") or {}).get("source")
    if message["command"] != "setBreakpoints" or not isinstance(source, dict):
        return str(message["command"])
    # A file has a path, a text that came from debugpy a number.
    return json.dumps([message["command"], source.get("path"), source.get("sourceReference")])


def _unverified(wanted: Any, number: int, source: Any) -> Message:
    told: Message = {"id": number, "verified": False, "message": PENDING}
    if isinstance(wanted, dict):
        told.update({key: wanted[key] for key in ("line", "column") if key in wanted})
    if isinstance(source, dict):
        told["source"] = source
    return told


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
