"""Which program of this machine has a port, as far as the system tells."""

from __future__ import annotations

import contextlib
import os

from sidecar.agent import sockets


def holder(port: int) -> str:
    """The name of our own user's process that listens on that port of the loopback; "" where it
    is somebody else's, or cannot be told. Reads through /proc: some milliseconds, in a thread."""
    wanted = {
        f"socket:[{one.inode}]"
        for one in sockets.listening()
        if one.port == port and one.user == os.geteuid()
    }
    if not wanted:
        return ""
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        with contextlib.suppress(OSError):  # another user's, or gone
            for descriptor in os.listdir(f"/proc/{name}/fd"):
                with contextlib.suppress(FileNotFoundError):
                    if os.readlink(f"/proc/{name}/fd/{descriptor}") in wanted:
                        with open(f"/proc/{name}/comm") as file:
                            return file.read().strip()
    return ""
