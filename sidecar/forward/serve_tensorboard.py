"""Runs TensorBoard on the remote so that nobody else on that machine can read what it shows.

It knows no authentication, and every user of a machine reaches its loopback. So each connection is
handed on only if the kernel says that its other end is a live socket of our own user (sockets.py,
beside this); where it cannot say, nothing is started. The fast loader is left out: it is a program
of its own that listens on a port without any guard.

This file is a program of its own: it travels (servers.py), and is started with the project's
interpreter as `python sidecar_tensorboard.py ARGUMENTS…`.
"""

from __future__ import annotations

import importlib
import os
import socket
import sys
from typing import Any

EXIT_NO_GUARD = 3
EXIT_MISSING = 4

MISSING = "TensorBoard is not installed for {python}: `{python} -m pip install tensorboard`"


def guard(sockets: Any) -> None:
    """From here on no TCP listener of this process admits anybody else."""
    accept = socket.socket.accept

    def guarded(listener: socket.socket) -> tuple[socket.socket, Any]:
        connection, peer = accept(listener)
        inet = listener.family in (socket.AF_INET, socket.AF_INET6)
        if inet and not sockets.is_ours(connection, peer):
            connection.close()
            # Servers take it as a connection that was gone before it was accepted.
            raise ConnectionAbortedError("a connection of another user")
        return connection, peer

    socket.socket.accept = guarded  # type: ignore[assignment, method-assign]


def main() -> None:
    folder = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [folder, *[one for one in sys.path if os.path.abspath(one or ".") != folder]]
    sockets: Any = importlib.import_module("sidecar_sockets")
    sys.path.remove(folder)
    try:
        tensorboard: Any = importlib.import_module("tensorboard.main")
    except ImportError as error:
        print(MISSING.format(python=sys.executable), f"({error})", file=sys.stderr)
        sys.exit(EXIT_MISSING)
    if not sockets.works("127.0.0.1"):
        print(
            "This machine does not tell who is at the other end of a connection, so its other "
            "users could use this TensorBoard: it is not started",
            file=sys.stderr,
        )
        sys.exit(EXIT_NO_GUARD)
    guard(sockets)
    sys.argv[0] = "tensorboard"
    tensorboard.run_main()


if __name__ == "__main__":
    main()
