"""What is forwarded where: `6006`, `9000:127.0.0.1:9001`, sockets on either side, and LocalForwards
as `ssh -G` prints them. Pure.
"""

from __future__ import annotations

import re
from typing import NamedTuple

LOOPBACK = "127.0.0.1"

_HOST = r"(?:\[[0-9A-Fa-f:.%]+\]|[^:\s/\[\]]+)"
_RULE = re.compile(
    rf"(?P<here>\d{{1,5}}|/[^:\0]+)(?::(?:(?P<host>{_HOST}):)?(?P<there>\d{{1,5}}|/[^:\0]+))?"
)
_PRINTED = re.compile(rf"(?:\[(?P<name>[^\]]*)\]|(?P<bare>{_HOST}|\*)):(?P<port>\d{{1,5}})")

LONGEST_SOCKET = 100
"""Bytes of a socket's path: macOS allows 104 with the ending NUL."""


class End(NamedTuple):
    """One end: a TCP port of `host`, or a Unix socket at `path`. `host` "" is the loopback."""

    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return self.path
        host = self.host or LOOPBACK
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


class Rule(NamedTuple):
    """Who connects to `here` is to get to `there`."""

    here: End
    there: End


def parse(text: str) -> Rule:
    """A rule as a person writes it: "PORT", "PORT:PORT", "PORT:HOST:PORT"; a path in a port's place
    is a socket's. What comes first is here.

    Raises:
        ValueError: it is none; its text says what is wrong, where that can be said.
    """
    match = _RULE.fullmatch(text)
    if match is None or (match["host"] and match["there"].startswith("/")):
        raise ValueError
    here = _end(match["here"])
    if not match["there"]:
        if here.path:
            raise ValueError("a socket here leads to something there: PATH:PORT or PATH:PATH")
        return Rule(here, End(port=here.port))
    return Rule(here, _end(match["there"], (match["host"] or "").strip("[]")))


def _end(text: str, host: str = "") -> End:
    if text.startswith("/"):
        if len(text.encode()) > LONGEST_SOCKET:
            raise ValueError(f"a socket's path has at most {LONGEST_SOCKET} bytes")
        return End(path=text)
    if not 0 < int(text) < 65536:
        raise ValueError("a port is between 1 and 65535")
    return End(host, int(text))


def printed(line: str) -> Rule | None:
    """A LocalForward as `ssh -G` prints it: `6006 [localhost]:6006`, `[0.0.0.0]:80 [db]:5432`,
    `/here.sock [/there.sock]:-2`. None for one that is not understood, such as a SOCKS proxy."""
    here, _, there = line.strip().partition(" ")
    first = _printed_end(f"localhost:{here}" if here.isdigit() else here)
    second = _printed_end(there.strip())
    if first is None or second is None:
        return None
    if first.host in ("localhost", LOOPBACK, "::1"):
        first = first._replace(host="")
    return Rule(first, second)


def _printed_end(text: str) -> End | None:
    # A socket's path is printed as a host is, with a port that none can have.
    name, _, number = text.rpartition(":")
    for path in (text, name.strip("[]") if number.startswith("-") else ""):
        if path.startswith("/"):
            return End(path=path)
    match = _PRINTED.fullmatch(text)
    if match is None or not 0 < int(match["port"]) < 65536:
        return None
    host = match["name"] if match["name"] is not None else match["bare"]
    return End("0.0.0.0" if host in ("*", "") else host, int(match["port"]))  # noqa: S104 - theirs
