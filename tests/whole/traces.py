"""What the sidecar leaves on a machine: processes, sockets, files that are half there.

Both machines of a test are this one. A process belongs to the laptop where its environment names
the test's runtime folder, and to the remote machine where HOME is that machine's.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.servers.box import Box


def processes(variable: str, value: str | Path) -> dict[int, str]:
    """Living processes that were started with this variable, by pid; what they are called."""
    mark = f"{variable}={value}".encode()
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            environment = Path("/proc", name, "environ").read_bytes().split(b"\0")
            command = Path("/proc", name, "cmdline").read_bytes()
        except OSError:  # gone meanwhile, or another user's
            continue
        if mark in environment and int(name) != os.getpid():
            found[int(name)] = command.replace(b"\0", b" ").decode("utf-8", "replace")[:200]
    return found


def here() -> dict[int, str]:
    """Processes of the laptop."""
    return processes("SIDECAR_RUNTIME_DIR", os.environ["SIDECAR_RUNTIME_DIR"])


def there(box: Box) -> dict[int, str]:
    """Processes of the remote machine."""
    return processes("HOME", box.home)


def sockets(*folders: Path) -> list[Path]:
    return [path for folder in folders for path in folder.rglob("*") if path.is_socket()]


def staged(box: Box, project: str = "model") -> list[Path]:
    """New content there that has not got to its place. An agent that lives has a folder for such,
    with a lock in it."""
    found = (box.home / project / ".sidecar/tmp").glob("*/*")
    return [path for path in found if path.name != "lock"]
