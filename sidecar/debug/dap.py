"""The Debug Adapter Protocol's wire: messages cut out of a byte stream, and put back into one.

    Content-Length: 119\\r\\n
    \\r\\n
    {"seq": 1, "type": "request", "command": "initialize", …}

debugpy's own reader skips what it does not understand until it finds a header, so that a web page
which posts a message's text to a debugger's port gets it executed. This one gives up at the first
byte that does not belong.
"""

from __future__ import annotations

import json
import re
from typing import Any, TypeAlias

Message: TypeAlias = dict[str, Any]

MAX_MESSAGE = 32 << 20
"""A large variable or source file, as JSON. More would fill memory for nobody's benefit."""

FIRST_MESSAGE = 64 << 10
"""What a client may send before it is known to speak the protocol."""

_MAX_HEADER = 512
_FIRST_FIELD = b"content-length:"
_FIELD = re.compile(rb"[A-Za-z-]{1,64}: ?[ -~]{0,128}\Z")


class DapError(Exception):
    """The bytes are not the protocol. The stream cannot be trusted any further."""


def encode(message: Message) -> bytes:
    """The message as wire bytes."""
    # Escaped to ASCII: names that are no UTF-8 come as lone surrogates, which only escapes carry.
    body = json.dumps(message, separators=(",", ":")).encode("ascii")
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


class Decoder:
    """Fed with chunks of any size, returns the messages that became whole.

    After an error every further call raises the same error.

    Args:
        limit: the longest message in bytes; may be raised later.
    """

    def __init__(self, limit: int = MAX_MESSAGE) -> None:
        self.limit = limit
        self._buffer = bytearray()
        self._length = -1
        self._error = ""

    def feed(self, chunk: bytes) -> list[Message]:
        """Takes the next bytes of the stream.

        Returns:
            Whole messages in their order, possibly none, each with the fields that its type needs.
        Raises:
            DapError: the stream holds something else; close it.
        """
        if self._error:
            raise DapError(self._error)
        self._buffer += chunk
        messages = []
        try:
            while (message := self._next()) is not None:
                messages.append(message)
        except DapError as error:
            self._error = str(error)
            self._buffer.clear()
            raise
        return messages

    def _next(self) -> Message | None:
        if self._length < 0 and not self._read_header():
            return None
        if len(self._buffer) < self._length:
            return None
        body = bytes(self._buffer[: self._length])
        del self._buffer[: self._length]
        self._length = -1
        return _checked(body)

    def _read_header(self) -> bool:
        begin = bytes(self._buffer[: len(_FIRST_FIELD)]).lower()
        if not _FIRST_FIELD.startswith(begin):
            raise DapError("a message does not begin with Content-Length")
        end = self._buffer.find(b"\r\n\r\n", 0, _MAX_HEADER)
        if end < 0:
            if len(self._buffer) >= _MAX_HEADER:
                raise DapError(f"a header is longer than {_MAX_HEADER} bytes")
            return False
        fields = bytes(self._buffer[:end]).split(b"\r\n")
        if not all(_FIELD.match(field) for field in fields):
            raise DapError("a header has a malformed line")
        lengths = [
            field.partition(b":")[2].strip()
            for field in fields
            if field.lower().startswith(_FIRST_FIELD)
        ]
        if len(lengths) != 1 or not lengths[0].isdigit() or len(lengths[0]) > 12:
            raise DapError("a header has no usable Content-Length")
        length = int(lengths[0])
        if length > self.limit:
            raise DapError(f"a message of {length} bytes is over the limit of {self.limit}")
        del self._buffer[: end + 4]
        self._length = length
        return True


def _checked(body: bytes) -> Message:
    """The message in a body, with the fields that everybody relies on.

    Raises:
        DapError: naming the field.
    """
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise DapError(f"a message is no JSON: {error}") from None
    if not isinstance(message, dict):
        raise DapError("a message is no object")
    needs = _NEEDS.get(str(message.get("type")))
    if needs is None:
        raise DapError("a message has an unknown type")
    for field, kind in needs.items():
        # bool is an int to Python, not to the protocol.
        if type(message.get(field)) is not kind:
            raise DapError(f"a {message['type']} has no usable {field!r}")
    inner = "arguments" if message["type"] == "request" else "body"
    if not isinstance(message.get(inner), dict | None):
        raise DapError(f"a {message['type']}'s {inner} is no object")
    return message


_NEEDS: dict[str, dict[str, type]] = {
    "request": {"seq": int, "command": str},
    "response": {"seq": int, "request_seq": int, "command": str, "success": bool},
    "event": {"seq": int, "event": str},
}


def request(command: str, arguments: Message, *, seq: int = 0) -> Message:
    return {"seq": seq, "type": "request", "command": command, "arguments": arguments}


def event(name: str, body: Message | None = None) -> Message:
    return {"seq": 0, "type": "event", "event": name, "body": body or {}}


def success(request_seq: int, command: str, body: Message | None = None) -> Message:
    """The answer to a request that was done."""
    return {
        "seq": 0,
        "type": "response",
        "request_seq": request_seq,
        "command": command,
        "success": True,
        "body": body or {},
    }


def failure(request_seq: int, command: str, text: str) -> Message:
    """The answer to a request that was not done; `text` is shown to the person."""
    # Clients take `format` for a template: braces in it would be taken for variables.
    shown = {"id": 1, "format": "{text}", "variables": {"text": text}, "showUser": True}
    return {
        "seq": 0,
        "type": "response",
        "request_seq": request_seq,
        "command": command,
        "success": False,
        "message": text,
        "body": {"error": shown},
    }
