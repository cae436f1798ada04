"""The kernel's table of TCP sockets: who listens where, and whose the other end of a connection is.

Every user of a machine reaches all ports of its loopback, so a listener there knows nothing of who
connects unless it looks: this table has each socket's user. Fails closed. A peer that sent its
bytes and closed is in the table with user 0 and inode 0, or no longer at all, while its bytes can
still be read: nobody's, then.

Needs nothing but the standard library, and no other module of ours: it also travels by itself,
beside servers that it guards.
"""

import os
import socket
import struct
import sys
from typing import Any, Iterable, List, NamedTuple, Optional, Tuple

TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
"""One socket a line: number, local address, remote address, state, queues, timer, retransmits,
user, timeouts, inode, …"""

MOST_ROWS = 100000
"""Lines of a table that are looked through: busy servers have some ten thousand."""

_ESTABLISHED = 1
_LISTENS = "0A"
_PROBE_SECONDS = 10.0


class Listening(NamedTuple):
    """A socket that listens. `host`: "0.0.0.0" and "::" where it is every address."""

    host: str
    port: int
    user: int
    inode: int


def listening(tables: Iterable[str] = TABLES) -> List[Listening]:
    """All listening TCP sockets of this network namespace, whoever's they are."""
    found: List[Listening] = []
    for path in tables:
        try:
            with open(path) as rows:
                found += parse(rows)
        except OSError:
            continue  # no such table: no Linux, or no IPv6
    return found


def parse(rows: Iterable[str]) -> List[Listening]:
    """The listening sockets of one table. Lines that are none are left out."""
    found: List[Listening] = []
    for number, row in enumerate(rows):
        if number > MOST_ROWS:
            break
        fields = row.split(None, 10)
        if len(fields) < 10 or fields[3] != _LISTENS:
            continue
        address, _, port = fields[1].partition(":")
        try:
            host = _host(address)
            found.append(Listening(host, int(port, 16), int(fields[7]), int(fields[9])))
        except (ValueError, OSError):
            continue
    return found


def _host(text: str) -> str:
    if len(text) not in (8, 32):
        raise ValueError(text)
    words = [int(text[at : at + 8], 16) for at in range(0, len(text), 8)]
    packed = struct.pack("=%dI" % len(words), *words)
    return socket.inet_ntop(socket.AF_INET if len(words) == 1 else socket.AF_INET6, packed)


# --- the other end ---------------------------------------------------------------------------


def table_address(address: Tuple[Any, ...]) -> str:
    """A socket's address as the table writes it: hexadecimal, each 32-bit word in host order."""
    host, port = address[0], address[1]
    if ":" in host:
        words = struct.unpack("=4I", socket.inet_pton(socket.AF_INET6, host.partition("%")[0]))
    else:
        words = struct.unpack("=I", socket.inet_pton(socket.AF_INET, host))
    return "".join("%08X" % word for word in words) + ":%04X" % port


def owner(rows: Iterable[str], local: str, remote: str) -> Optional[int]:
    """The user whose live socket has these ends, None where there is no such socket."""
    for row in rows:
        if local not in row:  # most are not it, and to split them takes most of the time
            continue
        fields = row.split()
        if len(fields) > 9 and fields[1] == local and fields[2] == remote:
            # A socket that no process holds any more has no inode, and user 0 for its owner.
            return int(fields[7]) if fields[9] != "0" else None
    return None


def peer_owner(connection: Any, peer: Tuple[Any, ...]) -> Optional[int]:
    """The user at the other end of an accepted connection of this machine, None where that
    cannot be told."""
    here = connection.getsockname()
    found = asked(peer, here)
    if found is not None:
        return found if _is_alive(connection) else None
    ends = [(table_address(peer), table_address(here))]
    if ":" not in peer[0]:
        # An IPv6 socket that reached us by IPv4 is in the other table, under mapped addresses.
        ends.append((table_address(_mapped(peer)), table_address(_mapped(here))))
    for path in TABLES:
        for local, remote in ends:
            try:
                with open(path) as rows:
                    found = owner(rows, local, remote)
            except OSError:
                found = None
            if found is not None and _is_alive(connection):
                return found
    return None


_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, _REQUEST = 4, 20, 1
_HEADER, _IDENTITY = struct.Struct("=IHHII"), struct.Struct("!HH16s16s")
_USER_AND_INODE = struct.Struct("=II")
_USER_AT = _HEADER.size + 4 + 48 + 12


def asked(local: Tuple[Any, ...], remote: Tuple[Any, ...]) -> Optional[int]:
    """The same as `owner`, asked of the kernel for this one socket (sock_diag): the table takes
    as long to read as it has lines, and each connection leaves some for a minute. None where it is
    not told; then the table may still know."""
    family = socket.AF_INET6 if ":" in local[0] else socket.AF_INET
    try:
        ends = [socket.inet_pton(family, one[0].partition("%")[0]) for one in (local, remote)]
        identity = _IDENTITY.pack(local[1], remote[1], *(end.ljust(16, b"\0") for end in ends))
        body = struct.pack("=BBBBI", family, socket.IPPROTO_TCP, 0, 0, 0xFFFFFFFF)
        body += identity + struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)
        head = _HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, _REQUEST, 1, 0)
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as kernel:
            kernel.settimeout(1.0)
            kernel.send(head + body)
            answer = kernel.recv(4096)
    except (OSError, AttributeError, struct.error):
        return None  # no Linux, or one that does not let us ask
    told = answer[_HEADER.size + 4 :][: _IDENTITY.size]
    if len(answer) < _USER_AT + _USER_AND_INODE.size or told != identity:
        return None
    user, inode = _USER_AND_INODE.unpack_from(answer, _USER_AT)
    return int(user) if inode else None


def _mapped(address: Tuple[Any, ...]) -> Tuple[str, int]:
    return ("::ffff:" + address[0], address[1])


def _is_alive(connection: Any) -> bool:
    """Whether the other end has not closed yet. Asked after the table was read: as long as it is
    so, nobody else can have got the same address, so the row is about this connection."""
    state = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
    return bool(state[0] == _ESTABLISHED)


def is_ours(connection: Any, peer: Any) -> bool:
    """Whether our own user is at the other end of this accepted connection of the loopback."""
    if connection.family == getattr(socket, "AF_UNIX", None):
        return _peer_of_socket(connection) in (None, os.geteuid())
    try:
        return bool(peer) and peer_owner(connection, peer) == os.geteuid()
    except (OSError, ValueError):
        return False  # it has gone already


def _peer_of_socket(connection: Any) -> Optional[int]:
    """None where the kernel does not tell: then the folder that the socket lies in is the guard."""
    if not sys.platform.startswith("linux"):
        return None
    packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", packed)[1])


def works(host: str) -> bool:
    """Whether a listener of ours on `host` can tell that a connection is our own."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener, socket.socket(family) as client:
        listener.bind((host, 0))
        listener.listen(1)
        client.settimeout(_PROBE_SECONDS)
        client.connect(listener.getsockname())
        connection, peer = listener.accept()
        with connection:
            return is_ours(connection, peer)


def tells() -> bool:
    """Whether this system has the table at all. One without it (macOS) tells nobody's user."""
    return os.access(TABLES[0], os.R_OK)
