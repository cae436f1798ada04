"""Which laptop this is: what it started on an account that others use, too, is told from theirs."""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import secrets
import socket

from sidecar.config import places

_ID = re.compile(r"[0-9a-f]{16}")


def identity() -> str:
    """A number of this person's state folder, drawn once. Says nothing about the machine.

    Raises:
        ConfigError: there is no state folder.
    """
    path = places.state_dir() / "laptop"
    for _ in range(2):
        with contextlib.suppress(OSError):
            known = path.read_text("ascii", errors="replace").strip()
            if _ID.fullmatch(known):
                return known
            path.unlink()  # a disk that was full
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_hex(8) + "\n")
    return path.read_text("ascii", errors="replace").strip()


def owner() -> str:
    """Who that is, for people: "ada@laptop"."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
