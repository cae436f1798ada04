"""Runs debugpy's adapter on the remote, with listeners that nobody else on that machine can use.

debugpy's parts talk over TCP ports on the loopback interface, and whoever connects to one may run
code in the program that is debugged. Its tokens are no defence: they stand in argument lists. So
every listener that the adapter opens is replaced by one whose `accept` hands out a connection only
if the table of sockets (/proc/net/tcp) shows its other end alive and owned by our own user. All
listeners of a session are the adapter's; the launcher and the program only connect to them.

Fails closed. A peer that sent its bytes and closed is in the table with user 0 and inode 0, or no
longer at all, while its bytes can still be read: neither is let in. Where there is no such table,
or it does not show our own connection, nothing is started.

Nothing of a session is left behind either: the adapter runs as a child, and when it has ended, or
nobody is at the other end of stdin any more, everything that came of it is ended.

This file is a program of its own: it travels beside debugpy (bundle.py) with what it imports from
there, needs nothing but the standard library of Python 3.8 and is started as `python -I guard.py`.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterable
from typing import Any

TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
"""One socket a line: number, local address, remote address, state, queues, timer, retransmits,
user, timeouts, inode, …"""

EXIT_NO_GUARD = 3
"""Exit status: listeners could not be kept from other users, so none were opened."""

LEAVE_SECONDS = 3.0
"""How long the adapter may take to end the debuggee in its own way when its client has gone."""

_ESTABLISHED = 1
_PROBE_SECONDS = 10.0
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def table_address(address: tuple[Any, ...]) -> str:
    """A socket's address as the table writes it: hexadecimal, each 32-bit word in host order."""
    host, port = address[0], address[1]
    if ":" in host:
        words = struct.unpack("=4I", socket.inet_pton(socket.AF_INET6, host.partition("%")[0]))
    else:
        words = struct.unpack("=I", socket.inet_pton(socket.AF_INET, host))
    return "".join(f"{word:08X}" for word in words) + f":{port:04X}"


def owner(rows: Iterable[str], local: str, remote: str) -> int | None:
    """The user whose live socket has these ends, None where there is no such socket."""
    for row in rows:
        fields = row.split()
        if len(fields) > 9 and fields[1] == local and fields[2] == remote:
            # A socket that no process holds any more has no inode, and user 0 for its owner.
            return int(fields[7]) if fields[9] != "0" else None
    return None


def peer_owner(connection: socket.socket, peer: tuple[Any, ...]) -> int | None:
    """The user at the other end of an accepted connection of this machine, None where that
    cannot be told."""
    here = connection.getsockname()
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


def _mapped(address: tuple[Any, ...]) -> tuple[Any, ...]:
    return ("::ffff:" + address[0], address[1])


def _is_alive(connection: socket.socket) -> bool:
    """Whether the other end has not closed yet. Asked after the table was read: as long as it is
    so, nobody else can have got the same address, so the row is about this connection."""
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _ESTABLISHED


class PromptConnection(socket.socket):
    """A connection that acknowledges at once what came.

    debugpy writes the messages of one stop one after the other. The system holds back each small
    one until the one before is acknowledged, which the other side puts off for 40 ms: without this
    a step takes 46 ms on one machine, with it 5.
    """

    def recv_into(self, *args: Any) -> int:
        got = super().recv_into(*args)
        # Holds for a while only, so it is said anew: also after a part of a header, since header
        # and body may come apart, and the body only when the header was acknowledged.
        with contextlib.suppress(OSError):
            self.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return got


class GuardedListener(socket.socket):
    """A listening socket that closes every connection but our own user's, unread."""

    def accept(self) -> tuple[socket.socket, Any]:
        while True:
            connection, peer = super().accept()
            try:
                admitted = peer_owner(connection, peer) == os.geteuid()
            except OSError:
                admitted = False
            if admitted:
                return _prompt(connection), peer
            connection.close()


def _prompt(connection: socket.socket) -> socket.socket:
    timeout = connection.gettimeout()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    prompt = PromptConnection(fileno=connection.detach())
    prompt.settimeout(timeout)
    return prompt


def guarded(listener: socket.socket) -> GuardedListener:
    """The same listening socket, guarded. The one given is no longer usable."""
    timeout = listener.gettimeout()
    replacement = GuardedListener(fileno=listener.detach())
    replacement.settimeout(timeout)
    return replacement


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
            return peer_owner(connection, peer) == os.geteuid()


def run_adapter(folder: str) -> None:
    """Runs debugpy's adapter from `folder` on stdin and stdout."""
    sys.path.insert(0, folder)
    sockets: Any = importlib.import_module("debugpy.common.sockets")
    try:
        found = works(sockets.get_default_localhost())
    except OSError:
        found = False
    if not found:
        print(
            f"{TABLES[0]} does not show who is at the other end of a connection, so other users "
            "of this machine could use the debugger's ports",
            file=sys.stderr,
        )
        sys.exit(EXIT_NO_GUARD)

    create_server = sockets.create_server
    sockets.create_server = lambda *args, **kwargs: guarded(create_server(*args, **kwargs))
    _do_without_tokens()
    _with_helpers(folder)
    sys.argv[1:] = []
    program: Any = importlib.import_module("debugpy.adapter.__main__")
    program.main()


def _do_without_tokens() -> None:
    """The adapter makes up a token and passes it on in argument lists, to be given back by who
    connects. Behind listeners that check their peers it protects nothing, and a secret has no
    place in an argument list: an empty one is passed on, and none is asked for."""
    launchers: Any = importlib.import_module("debugpy.adapter.launchers")
    servers: Any = importlib.import_module("debugpy.adapter.servers")
    adapter: Any = importlib.import_module("debugpy.adapter")
    spawn_debuggee = launchers.spawn_debuggee

    def spawn_without_token(*args: Any, **kwargs: Any) -> None:
        adapter.access_token = ""
        spawn_debuggee(*args, **kwargs)

    launchers.spawn_debuggee = spawn_without_token
    servers.Connection.authenticate = lambda connection: None


def _with_helpers(folder: str) -> None:
    """What travels beside this file: compiled parts are borrowed, listeners of the program's own
    are told of."""
    importlib.import_module("sidecar_compiled").borrow(folder, sys.path[1:])
    importlib.import_module("sidecar_processes").tell()
    sessions: Any = importlib.import_module("debugpy.adapter.sessions")

    def send(category: str, text: str) -> None:
        for session in sorted(sessions._sessions, key=lambda session: session.id)[:1]:
            session.client.channel.send_event("output", {"category": category, "output": text})

    importlib.import_module("sidecar_listeners").tell(send, os.getppid(), [os.getpid()])


# --- nothing left behind ---------------------------------------------------------------------


def supervise() -> int:
    """Forks. Returns 0 in the child, which is to be the adapter. In the parent, waits until the
    adapter has ended or must, ends what is left of its descendants, and returns 1 + its status.

    The child gets a session of its own: what is sent to the parent's process group (a SIGTERM
    when the link is gone) would end the launcher first, and leave the program without anybody
    who ends it.
    """
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, frame: None)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    adapter = os.fork()
    if adapter == 0:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.close(wake_read)
        os.close(wake_write)
        os.setsid()
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        return 0
    status = _wait(adapter, wake_read)
    _end_children()
    return 1 + status


def _wait(adapter: int, wake: int) -> int:
    """The adapter's exit status, or minus the signal's number."""
    watched = select.poll()
    watched.register(wake, select.POLLIN)
    watched.register(sys.stdin.fileno(), 0)  # tells only that the other end was closed
    deadline = None
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
        for descriptor, _ in watched.poll(left):
            if descriptor != wake:
                watched.unregister(descriptor)
                deadline = time.monotonic() + LEAVE_SECONDS
            elif set(os.read(wake, 512)) - {signal.SIGCHLD}:
                deadline = time.monotonic()
        if deadline is not None and time.monotonic() >= deadline:
            os.kill(adapter, signal.SIGKILL)
            deadline = None
        while True:
            # Orphans of the program come to us as well, and are waited for.
            found, status = os.waitpid(-1, os.WNOHANG)
            if found == adapter:
                return os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
            if found == 0:
                break


def _end_children() -> None:
    """Ends what is left. Children of those that are ended come to us, so that in the end nobody
    is missed, whatever sessions and process groups they made."""
    with contextlib.suppress(ChildProcessError):
        while True:
            for child in _children():
                os.kill(child, signal.SIGKILL)
            os.waitpid(-1, 0)


def _children() -> list[int]:
    """Our children's process ids. None of them can go while we do not wait for it."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                # "PID (NAME) STATE PARENT …", and names may hold anything.
                if int(file.read().rpartition(b")")[2].split()[1]) == os.getpid():
                    found.append(int(name))
    return found


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    ended = supervise()
    if ended:
        sys.exit((ended - 1) % 256)
    run_adapter(os.path.dirname(os.path.abspath(__file__)))
