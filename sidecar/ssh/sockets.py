"""TCP to a host: names looked up here, addresses tried with a head start for the first ones.

Done by hand rather than by the event loop for two reasons: a name that does not exist and a host
that does not answer are different messages, and the socket must acknowledge at once.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import sys
from collections.abc import Sequence
from typing import Any

from sidecar.ssh.failures import no_answer, no_such_host, translate
from sidecar.ssh.resolved import Resolved

# RFC 8305 recommends 250 ms before the next address is tried beside the one that hesitates.
HEAD_START = 0.25

Address = tuple[Any, ...]


class PromptSocket(socket.socket):
    """Acknowledges what it receives at once.

    An sshd answers the first exec of a connection in two small writes, and its Nagle holds the
    second one back until the first is acknowledged: with Linux' delayed acknowledgement that is
    a pause of 40 ms on every start. TCP_QUICKACK wears off, so it is set again at each read.
    """

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        data = super().recv(bufsize, flags)
        if data:
            self.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return data


async def connect(hop: Resolved) -> socket.socket:
    """A connected, non-blocking socket.

    Raises:
        SidecarError: a ConnectError with one of the codes of codes.py.
    """
    loop = asyncio.get_running_loop()
    family = {"inet": socket.AF_INET, "inet6": socket.AF_INET6}.get(hop.address_family, 0)
    try:
        found = await loop.getaddrinfo(hop.host, hop.port, family=family, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as problem:
        # UnicodeError: a label that is empty or too long for the resolver's encoding.
        why = getattr(problem, "strerror", None) or str(problem)
        raise no_such_host(hop, why) from problem
    addresses = _interleaved([(info[0], info[4]) for info in found])
    try:
        return await _race(hop, addresses)
    except OSError as problem:
        raise translate(problem, hop) from problem


def _interleaved(found: Sequence[tuple[int, Address]]) -> list[tuple[int, Address]]:
    """One address of each family in turn, so that a dead IPv6 costs one head start, not many."""
    families: dict[int, list[tuple[int, Address]]] = {}
    for one in found:
        families.setdefault(one[0], []).append(one)
    rounds = itertools.zip_longest(*families.values())
    return [one for turn in rounds for one in turn if one is not None]


async def _race(hop: Resolved, addresses: Sequence[tuple[int, Address]]) -> socket.socket:
    """The first socket that connects; the others are closed. The first failure, if all fail."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + hop.connect_timeout
    waiting = list(addresses)
    trying: set[asyncio.Task[socket.socket]] = set()
    first_failure: BaseException | None = None
    try:
        while waiting or trying:
            if waiting:
                trying.add(asyncio.create_task(_try(hop, *waiting.pop(0))))
            done, trying = await asyncio.wait(
                trying,
                timeout=HEAD_START if waiting else max(deadline - loop.time(), 0),
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not done and loop.time() >= deadline:
                raise no_answer(hop, hop.connect_timeout)
            # Two may be done at once: the first good one wins, the rest is closed below.
            for task in done:
                if task.exception() is None:
                    trying |= done - {task}
                    return task.result()
                first_failure = first_failure or task.exception()
    finally:
        for task in trying:
            task.cancel()
        for loser in await asyncio.gather(*trying, return_exceptions=True):
            if isinstance(loser, socket.socket):
                loser.close()
    raise first_failure or OSError("no address to try")


async def _try(hop: Resolved, family: int, address: Address) -> socket.socket:
    kind = PromptSocket if sys.platform == "linux" else socket.socket
    sock = kind(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        loop = asyncio.get_running_loop()
        if hop.bind_address:
            local = await loop.getaddrinfo(
                hop.bind_address, 0, family=family, type=socket.SOCK_STREAM
            )
            sock.bind(local[0][4])
        await loop.sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock
