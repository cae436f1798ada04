"""`sidecar serve` and `sidecar debug --stdio`: what an editor launches. Pipes bytes between its
stdio and the hub.

It parses nothing, so it imports little and cannot fall behind. It ends when the editor closes
stdin, or stdout, or the hub ends the connection; the hub watches the editor's process
(`initialize.processId`), because a closed stdin is no sure sign of a dead editor.

The end of the hub's bytes is marked, so that an orderly end and a killed hub can be told apart:
a NUL, which neither protocol carries, then the exit status as one byte, then a line for stderr.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import threading
from typing import Literal

from sidecar.cli import terminal
from sidecar.cli.client import shut
from sidecar.hub import process

CHUNK = 1 << 16
GRACE_MS = 5000
"""After the end of stdin: for the hub to write its last bytes and close."""

LAST_WORDS = 0.5
"""Seconds after the end of stdout for what the editor still wrote: one that is killed closes both
at once, and its last save is in the pipe."""

POLL_MS = 10_000
"""Longest wait without a look at whether stdin has ended."""


HUB_GONE = (
    "The sidecar hub has gone: it ended, or was ended, while this editor used it. "
    "Restart the language server; saved files are not lost, and jobs run on there."
)
DEBUG_HUB_GONE = (
    "The sidecar hub has gone: it ended, or was ended, while this editor used it. "
    "The debug session is over; start the debugger again."
)


def serve() -> int:
    return _pipe("lsp", "sidecar serve", HUB_GONE)


def debug() -> int:
    return _pipe("dap", "sidecar debug", DEBUG_HUB_GONE)


def _pipe(face: Literal["lsp", "dap"], name: str, gone: str) -> int:
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    connection, _ = process.meet(face, name)
    with connection:
        reader = threading.Thread(target=_read_stdin, args=(connection,), daemon=True)
        reader.start()
        return _write_stdout(connection, reader, gone)


def _read_stdin(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the hub has gone; the other direction says so
        while data := os.read(0, CHUNK):
            connection.sendall(data)
    shut(connection)


def _write_stdout(connection: socket.socket, reader: threading.Thread, gone: str) -> int:
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    poll.register(1, 0)  # errors and hang-ups alone: the editor closed it
    rest: bytes | None = None
    """What came behind the mark of the end, once it came."""
    while True:
        stdin_ended = not reader.is_alive()
        events = dict(poll.poll(GRACE_MS if stdin_ended else POLL_MS))
        if not events and stdin_ended:
            return 1
        if events.get(1, 0) & (select.POLLERR | select.POLLHUP | select.POLLNVAL):
            return _hang_up(connection, reader)
        if connection.fileno() not in events:
            continue
        try:
            data = connection.recv(CHUNK)
        except ConnectionResetError:
            data = b""
        if not data:
            break
        if rest is None:
            data, mark, behind = data.partition(b"\0")
            rest = behind if mark else None
            if not _write_all(data):
                return _hang_up(connection, reader)
        else:
            rest += data
    if rest:
        if text := rest[1:].decode("utf-8", "replace"):
            terminal.complain(text)
        return rest[0]
    terminal.complain(gone)
    return 1


def _hang_up(connection: socket.socket, reader: threading.Thread) -> int:
    """The editor takes nothing any more. What it said last goes to the hub, and we stay until the
    hub has read it: a write to nobody would make it drop what it has not read yet."""
    reader.join(LAST_WORDS)
    shut(connection)
    process.until_closed(connection)
    return 1


def _write_all(data: bytes) -> bool:
    """Blocks while the editor does not read, which holds back the hub as well."""
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(1, view) :]
    except OSError:
        return False
    return True
