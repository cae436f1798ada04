"""Tells of ports that a debugged program itself listens at: they are not the debugger's, so they
are not guarded, and whoever debugs on a shared machine should know who can connect there.

A server of the program is told of in a line. A debugger's port that its own code opens
(`debugpy.listen`) is warned of: it asks for no secret, and whoever connects runs code as its user.

This file travels beside guard.py. Python 3.8 syntax, standard library only.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

TABLES = ("/proc/net/tcp", "/proc/net/tcp6")

LOOK_SECONDS = 1.0
"""Between looks: the system has no event for a new listener. A look reads the listening sockets
alone, which come first in the table: 0.1 ms on a quiet machine."""

_LISTEN = "0A"
_MAX_TOLD = 32
"""Ports that one session tells of. A test suite may open thousands."""


class Listener(NamedTuple):
    host: str
    port: int
    pid: int
    is_debugger: bool

    def told(self) -> tuple[str, str]:
        """The category of a DAP `output` event, and its text."""
        where = f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
        if self.is_debugger:
            return "important", (
                f"The program opened a debugger's port by itself, {where} (debugpy.listen). The "
                "sidecar does not guard it: whoever can connect there runs code as you. Leave the "
                "call out: breakpoints work without it.\n"
            )
        who = "Other users of that machine"
        if self.host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
            who = "All who reach that machine"
        return "console", (
            f"The program (process {self.pid}) listens on {where}. {who} can connect there.\n"
        )


def listening(rows: Iterable[str], user: int) -> Iterator[tuple[int, str, int]]:
    """Inode, host and port of each listening socket of a user, from the lines of a table."""
    for row in rows:
        fields = row.split()
        if len(fields) < 10 or not fields[9].isdigit():
            continue  # the head
        if fields[3] != _LISTEN:
            return  # connections follow
        if int(fields[7]) == user:
            host, _, port = fields[1].partition(":")
            yield int(fields[9]), _host(host), int(port, 16)


def _host(text: str) -> str:
    """An address of the table: hexadecimal, each 32-bit word in host order."""
    words = [int(text[at : at + 8], 16) for at in range(0, len(text), 8)]
    family = socket.AF_INET if len(words) == 1 else socket.AF_INET6
    return socket.inet_ntop(family, struct.pack(f"={len(words)}I", *words))


def descendants(top: int) -> list[int]:
    """The processes that came of `top`, without itself."""
    children: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                # "PID (NAME) STATE PARENT …", and names may hold anything.
                parent = int(file.read().rpartition(b")")[2].split()[1])
        except OSError:
            continue  # it has ended
        children.setdefault(parent, []).append(int(name))
    found = [top]
    for pid in found:  # which grows meanwhile
        found += children.get(pid, [])
    return found[1:]


def holders(pids: Iterable[int], inodes: Iterable[int]) -> dict[int, int]:
    """Which of these processes have which of these sockets: {inode: process}."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    found: dict[int, int] = {}
    for pid in pids:
        folder = f"/proc/{pid}/fd"
        try:
            for name in os.listdir(folder):
                inode = wanted.get(os.readlink(f"{folder}/{name}"))
                if inode is not None:
                    found.setdefault(inode, pid)
        except OSError:
            continue  # it has ended, or this file of it was closed just now
    return found


class Watch:
    """Looks for new listeners of the processes that came of `top`, but of those in `ours`."""

    def __init__(self, top: int, ours: Iterable[int]) -> None:
        self._top, self._ours = top, frozenset(ours)
        self._seen: set[int] = set()

    def look(self) -> list[Listener]:
        """Those that were not there at the last look."""
        there: dict[int, tuple[str, int]] = {}
        for path in TABLES:
            try:
                with open(path) as rows:
                    there.update(
                        (inode, (host, port)) for inode, host, port in listening(rows, os.geteuid())
                    )
            except OSError:
                continue  # no IPv6 there
        new = there.keys() - self._seen
        self._seen = set(there)
        if not new:
            return []
        pids = [pid for pid in descendants(self._top) if pid not in self._ours]
        found = []
        for inode, pid in sorted(holders(pids, new).items()):
            host, port = there[inode]
            found.append(Listener(host, port, pid, _is_debugger(pid)))
        return found


def _is_debugger(pid: int) -> bool:
    """Whether it is an adapter that `debugpy.listen` or `python -m debugpy --listen` started."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read(1 << 16).split(b"\0")
    except OSError:
        return False
    return b"--for-server" in words and any(word.endswith(b"adapter") for word in words)


def tell(send: Callable[[str, str], Any], top: int, ours: Iterable[int]) -> None:
    """Starts telling, for as long as this process lives, in a thread of its own.

    Args:
        send: takes a category and a text; raises or not, that is all the same here.
    """
    watch, over = Watch(top, ours), threading.Event()

    def run() -> None:
        left, debuggers = _MAX_TOLD, set()
        while left and not over.wait(LOOK_SECONDS):
            for listener in watch.look()[:left]:
                if listener.pid in debuggers:
                    continue  # it has a port for its client and one for its program
                left -= 1
                if listener.is_debugger:
                    debuggers.add(listener.pid)
                try:
                    send(*listener.told())
                except Exception:  # noqa: BLE001 - the client has gone; debugpy has many for that
                    return

    threading.Thread(target=run, name="sidecar listeners", daemon=True).start()
