"""How far one gets to a host without signing in: its name, its port, and what answers there."""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple

from sidecar.errors import ConnectError
from sidecar.ssh import sockets
from sidecar.ssh.codes import connect_error
from sidecar.ssh.deadline import within
from sidecar.ssh.resolve import resolve
from sidecar.ssh.resolved import Resolved

MOST_NOISE = 50
"""Lines that a server may print before its version (RFC 4253, 4.2, sets no number)."""


class Reached(NamedTuple):
    """`address`: who answered; `seconds`: until TCP stood, the name's look-up included;
    `software`: as the server calls itself."""

    address: str
    seconds: float
    software: str


async def first_hop(target: Resolved) -> Resolved:
    """The machine that is dialled from here: the first jump host, or the target itself.

    Raises:
        ConnectError: as `resolve`.
    """
    while target.jumps:
        target = await resolve(target.jumps[0])
    return target


async def reach(hop: Resolved) -> Reached:
    """Connects to a hop that no ProxyCommand leads to, reads its version, and hangs up.

    Raises:
        ConnectError: `no-such-host`, `refused`, `unreachable`, or `not-ssh`.
    """
    before = time.perf_counter()
    sock = await sockets.connect(hop)
    seconds = time.perf_counter() - before
    address = str(sock.getpeername()[0])
    reader, writer = await asyncio.open_connection(sock=sock)
    try:
        software = await within(hop.connect_timeout, _version(reader))
    except (asyncio.TimeoutError, OSError, ValueError):
        software = ""
    finally:
        writer.close()
    if not software:
        raise _no_ssh(hop)
    return Reached(address, seconds, software)


async def _version(reader: asyncio.StreamReader) -> str:
    """`OpenSSH_9.2p1` of `SSH-2.0-OpenSSH_9.2p1 Debian-2`; "" where there is no such line."""
    for _ in range(MOST_NOISE):
        line = await reader.readline()
        if line.startswith(b"SSH-"):
            return line.decode("ascii", "backslashreplace").strip().split("-", 2)[-1]
        if not line:
            break
    return ""


def _no_ssh(hop: Resolved) -> ConnectError:
    return connect_error(
        f"What listens at {hop.address} is no SSH server",
        "it did not say which version of SSH it speaks",
        "check HostName and Port in the ssh configuration",
        "not-ssh",
    )
