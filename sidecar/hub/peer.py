"""Who is at the other end of the control socket.

The hub asks it of a face before it answers, and a face of the hub before it tells its environment.
"""

from __future__ import annotations

import os
import socket
import struct

_CREDENTIALS = struct.Struct("3i")


def other_user(connection: socket.socket) -> int | None:
    """The user at the other end, where that is neither us nor root. None also where the system
    does not tell: there the modes of the socket and its folder are what keeps others out."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, user, _ = _CREDENTIALS.unpack(raw)
    return None if user in (os.geteuid(), 0) else int(user)
