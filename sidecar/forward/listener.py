"""A listening socket here: on the loopback, or a file that is ours alone.

`localhost` is 127.0.0.1 for one program and ::1 for the next, so a port counts as free where both
are, and both are taken. Where the one that was asked for is not free, the next one that is serves.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import stat
from collections.abc import Callable

from sidecar.config.forwards import LOOPBACK, End
from sidecar.errors import SidecarError, UsageError
from sidecar.forward.relay import Relay

NEXT = 50
"""How many numbers are tried behind the one that was asked for, before any will do."""

UNPRIVILEGED = 8000
"""Added to a number that only root may listen on: 80 becomes 8080."""

BACKLOG = 128


class Taken(SidecarError):
    """Somebody listens there already."""


class Listener:
    """Made by `open`.

    Attributes:
        end: where it listens.
    """

    def __init__(self, end: End, found: list[socket.socket]) -> None:
        self.end = end
        self._sockets = found
        self._servers: list[asyncio.Server] = []
        self._inode = _inode(end.path) if end.path else (0, 0)

    @classmethod
    async def open(
        cls, wanted: End, serve: Callable[[], Relay], *, address: str = "", exact: bool = False
    ) -> Listener:
        """Listens.

        Args:
            wanted: the port to have if it is free, or the socket's path.
            serve: makes the protocol of each connection.
            address: besides the loopback.
            exact: this number or none.
        Raises:
            Taken: `exact`, and somebody has it; or something else lies at the path.
            UsageError: nothing can listen there.
        """
        if wanted.path:
            listener = cls(wanted, [_socket_file(wanted.path)])
        else:
            port, found = _bind(wanted.port, address, exact=exact)
            listener = cls(wanted._replace(port=port), found)
        loop = asyncio.get_running_loop()
        for one in listener._sockets:
            make = loop.create_unix_server if wanted.path else loop.create_server
            listener._servers.append(await make(serve, sock=one, backlog=BACKLOG))
        return listener

    def close(self) -> None:
        """Nobody can connect any more; connections that stand are their owner's."""
        for server in self._servers:
            server.close()
        if self.end.path and _inode(self.end.path) == self._inode:
            with contextlib.suppress(OSError):
                os.unlink(self.end.path)


def _bind(wanted: int, address: str, *, exact: bool) -> tuple[int, list[socket.socket]]:
    hosts = [LOOPBACK, "::1"] if socket.has_ipv6 else [LOOPBACK]
    if address and address not in hosts:
        # Every address holds the loopback's, too.
        hosts = [address] if address in ("0.0.0.0", "::", "*") else [*hosts, address]  # noqa: S104
        hosts = ["0.0.0.0" if one == "*" else one for one in hosts]  # noqa: S104
    for port in (wanted, *([] if exact else _others(wanted))):
        try:
            return _all_of(hosts, port)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise UsageError(
                    f"Cannot listen on {address or LOOPBACK} port {port} of this machine",
                    error.strerror or str(error),
                    "name another address",
                ) from None
    raise Taken(f"Port {wanted} of this machine is taken", code="taken")


def _others(wanted: int) -> list[int]:
    """Numbers to try in its place; 0 is whichever is free."""
    start = wanted + UNPRIVILEGED if wanted < 1024 else wanted + 1
    return [*range(start, min(start + NEXT, 65536)), 0]


def _all_of(hosts: list[str], port: int) -> tuple[int, list[socket.socket]]:
    found: list[socket.socket] = []
    try:
        for host in hosts:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            one = socket.socket(family, socket.SOCK_STREAM)
            found.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                one.bind((host, port))
                # Now, since two may be bound to one number, and the first that listens has it.
                one.listen(BACKLOG)
            except OSError as error:
                if host != "::1" or error.errno in (errno.EADDRINUSE, errno.EACCES):
                    raise
                found.pop().close()  # a machine without IPv6
                continue
            port = one.getsockname()[1]
            one.setblocking(False)
    except OSError:
        for one in found:
            one.close()
        raise
    return port, found


def _socket_file(path: str) -> socket.socket:
    """Its mode is set before anybody may connect, and it appears by a rename."""
    try:
        _make_way(path)
        one = socket.socket(socket.AF_UNIX)
        making = f"{path}~"
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISSOCK(os.lstat(making).st_mode):
                os.unlink(making)
        try:
            one.bind(making)
            os.chmod(making, 0o600)
            one.listen(BACKLOG)
            os.rename(making, path)
        except OSError:
            one.close()
            raise
    except OSError as error:
        raise UsageError(
            f"Cannot listen at {path} on this machine", error.strerror or str(error), "name another"
        ) from None
    one.setblocking(False)
    return one


def _make_way(path: str) -> None:
    """Removes what is left of a listener of ours that has gone; nothing else."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if stat.S_ISSOCK(found.st_mode) and found.st_uid == os.geteuid():
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                os.unlink(path)
                return
    raise Taken(f"{path} is there already", "", "name another path, or remove it", code="taken")


def _inode(path: str) -> tuple[int, int]:
    try:
        found = os.lstat(path)
    except OSError:
        return (0, 0)
    return found.st_dev, found.st_ino
