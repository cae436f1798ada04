"""The framing of JSON-RPC in LSP: header lines, an empty line, a body of `Content-Length` bytes.

No I/O, no asyncio: the hub, the light command line and the tests feed one decoder. What the other
end can make grow is bounded here, because pygls bounds nothing.
"""

from __future__ import annotations

MAX_HEADER = 4096
"""Bytes of one message's header lines. Clients send under 100."""

MAX_BODY = 64 << 20
"""Bytes of one message. An editor that opens a large file sends all of it in one."""


class FramingError(Exception):
    """The bytes are not JSON-RPC with a Content-Length. The connection cannot go on."""


def encode(body: bytes) -> bytes:
    """One message as it goes over the wire."""
    return b"Content-Length: %d\r\n\r\n" % len(body) + body


class Decoder:
    """Takes bytes as they come, gives message bodies as they are complete."""

    def __init__(self, max_body: int = MAX_BODY) -> None:
        self._max_body = max_body
        self._buffer = bytearray()
        self._length: int | None = None
        """Of the body whose header has been read; None while in a header."""
        self._garbage: FramingError | None = None

    @property
    def in_message(self) -> bool:
        """Bytes of an unfinished message are held: an end of input here cuts it off."""
        return bool(self._buffer) or self._length is not None

    def feed(self, data: bytes) -> list[bytes]:
        """The bodies that `data` completes, in order.

        Raises:
            FramingError: in words for the person who started the client. Where whole bodies came
                before the garbage, they are returned; `check` raises, and the next call.
        """
        self.check()
        self._buffer += data
        bodies: list[bytes] = []
        while True:
            if self._length is None:
                try:
                    self._length = self._take_header()
                except FramingError as error:
                    self._garbage = error
                    if not bodies:
                        raise
                    return bodies
                if self._length is None:
                    return bodies
            if len(self._buffer) < self._length:
                return bodies
            bodies.append(bytes(self._buffer[: self._length]))
            del self._buffer[: self._length]
            self._length = None

    def check(self) -> None:
        """Raises FramingError if garbage followed what `feed` returned last."""
        if self._garbage is not None:
            raise self._garbage

    def _take_header(self) -> int | None:
        end = self._buffer.find(b"\r\n\r\n", 0, MAX_HEADER)
        complete = end >= 0
        # Whole lines are checked as they come, so that garbage is not waited on for an empty line.
        lines = bytes(self._buffer[:end] if complete else self._buffer[:MAX_HEADER]).split(b"\r\n")
        if not complete:
            last = lines.pop()
            if len(self._buffer) >= MAX_HEADER or b"\n" in last or b"\0" in last:
                raise FramingError(_garbage(bytes(self._buffer)))
        length: int | None = None
        for line in lines:
            name, colon, value = line.partition(b":")
            if not colon:
                raise FramingError(_garbage(line))
            if name.strip().lower() == b"content-length":
                if not value.strip().isdigit() or len(value) > 20:
                    raise FramingError(f"a Content-Length of {_shown(value.strip())}")
                length = int(value)
        if not complete:
            return None
        if length is None:
            raise FramingError(f"a header without Content-Length: {_shown(lines[0])}")
        if length > self._max_body:
            raise FramingError(f"a message of {length} bytes; the limit is {self._max_body}")
        del self._buffer[: end + 4]
        return length


def _garbage(data: bytes) -> str:
    return f"no JSON-RPC header, but {_shown(data)}"


def _shown(data: bytes) -> str:
    """The beginning of foreign bytes, safe to print."""
    return ascii(data[:40].decode("utf-8", "replace")) + ("…" if len(data) > 40 else "")
