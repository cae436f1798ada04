"""The agent's first words: noise of a login shell, the mark, one line of JSON."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from sidecar.agent.first import MARK

NOISE_LIMIT = 256 * 1024
"""Bytes of banners before the mark; a shell that prints more will never come to an end."""

HELLO_LIMIT = 16 * 1024


CLOCKS_AGREE = 1_000_000_000
"""Nanoseconds of clock difference up to which times of files are taken as they are: a measured
offset is never quite right, and a time that is taken over as it is stays equal on both sides."""


class HelloError(Exception):
    """What came is no hello. `args[0]` says why."""


class Hello(NamedTuple):
    """Who and where the agent is.

    Attributes:
        low, high: the versions of frames and messages that it speaks.
        python: version of its interpreter, like "3.11.7".
        executable: that interpreter's path, "" if unknown.
        platform: as sys.platform.
        machine: host name.
        boot_id: of this run of the machine, "" where there is none.
        clock_ns: its wall clock when it wrote this.
        clock_offset_ns: its wall clock minus ours, as well as could be measured so far.
    """

    low: int
    high: int
    python: str
    executable: str
    platform: str
    encoding: str
    machine: str
    boot_id: str
    user: str
    uid: int
    home: str
    pid: int
    clock_ns: int
    clock_offset_ns: int = 0

    @property
    def version_info(self) -> tuple[int, ...]:
        """Of its interpreter, for comparing."""
        return tuple(int(part) for part in self.python.split(".") if part.isdecimal())

    def as_here(self, mtime_ns: int) -> int:
        """A time of a file there as this machine's clock would have said it."""
        offset = self.clock_offset_ns
        return mtime_ns - offset if abs(offset) > CLOCKS_AGREE else mtime_ns

    def as_there(self, mtime_ns: int) -> int:
        """A time of a file here as the remote's clock would have said it."""
        offset = self.clock_offset_ns
        return mtime_ns + offset if abs(offset) > CLOCKS_AGREE else mtime_ns

    @property
    def protocol(self) -> tuple[int, int]:
        return self.low, self.high


class HelloDecoder:
    """Fed with the first bytes of a command's stdout.

    Attributes:
        noise: what came before the mark (its end, once it is long).
        rest: what came behind the hello; the first bytes of frames.
    """

    def __init__(self) -> None:
        self._buffer = b""
        self._marked = False
        self.noise = b""
        self.rest = b""

    def feed(self, chunk: bytes) -> Hello | None:
        """The hello, once it is whole.

        Raises:
            HelloError: too much noise, or the hello is damaged.
        """
        self._buffer += chunk
        if not self._marked:
            noise, mark, behind = self._buffer.partition(MARK)
            self.noise = noise
            if not mark:
                if len(noise) > NOISE_LIMIT:
                    raise HelloError(f"more than {NOISE_LIMIT} bytes came before it")
                return None
            self._marked, self._buffer = True, behind
        line, newline, rest = self._buffer.partition(b"\n")
        if len(line) > HELLO_LIMIT:
            raise HelloError("its first line is too long")
        if not newline:
            return None
        self.rest = rest
        return _decode(line)


def _decode(line: bytes) -> Hello:
    try:
        values = json.loads(line)
        low, high = values.pop("protocol")
        hello = Hello(low, high, **{f: values[f] for f in Hello._fields[2:-1]})
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise HelloError(f"its first line cannot be read ({error!r})") from None
    _check(hello)
    return hello


def _check(hello: Hello) -> None:
    numbers = {"low", "high", "uid", "pid", "clock_ns", "clock_offset_ns"}
    for field, value in hello._asdict().items():
        expected: type[Any] = int if field in numbers else str
        if type(value) is not expected:
            raise HelloError(f"{field} is {value!r:.80}")
