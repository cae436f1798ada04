"""Says what a process is that a debugged program has started, before debugpy offers it to the
editor: its command, its rank in a distributed launch, and whether it is a mere helper of Python's.

This file travels beside guard.py, and runs in debugpy's adapter. Python 3.8 syntax, standard
library only.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

RANKS = ("RANK", "LOCAL_RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID")
"""Variables that name a rank, the first one that is set counts: torchrun's own before a scheduler's
below it, which counts something else where torchrun starts several processes per task."""

HELPER = "from multiprocessing.resource_tracker import main"
"""What Python starts for its own use, and nobody wants to debug."""

_WORDS = 80
"""Characters of a command that are told."""


def tell() -> None:
    """Has the adapter's clients hear of each process in an event of ours, `sidecarProcess`."""
    clients: Any = importlib.import_module("debugpy.adapter.clients")
    notify = clients.Client.notify_of_subprocess

    def notify_with_name(client: Any, connection: Any) -> None:
        client.channel.send_event("sidecarProcess", about(connection.pid, connection.ppid))
        notify(client, connection)

    clients.Client.notify_of_subprocess = notify_with_name


def about(pid: int, parent: int | None) -> dict[str, Any]:
    """The body of that event."""
    words = _of(pid, "cmdline")
    rank = _rank(pid)
    return {
        "pid": pid,
        "command": named(words),
        "rank": rank,
        # Those that a rank starts have its variables as well.
        "worker": bool(rank) and parent is not None and _rank(parent) == rank,
        # debugpy has put lines of its own before it.
        "helper": "-c" in words[:-1] and HELPER in words[words.index("-c") + 1],
    }


def named(words: list[str]) -> str:
    """What a person would call a command, which debugpy has put itself before."""
    if "--file" in words[:-1]:
        words = words[words.index("--file") + 1 :]
        return os.path.basename(words[0])
    for count, word in enumerate(words[1:], 1):
        if word == "-m" and count + 1 < len(words):
            return words[count + 1][:_WORDS]
        if "multiprocessing.spawn" in word or word == "--multiprocessing-fork":
            return "multiprocessing"
        if word.endswith(".py"):
            return os.path.basename(word)
    return ""


def _rank(pid: int) -> str:
    """As its environment had it when it was started; "" where it has none."""
    variables = dict(word.partition("=")[::2] for word in _of(pid, "environ"))
    return next((variables[name][:20] for name in RANKS if variables.get(name)), "")


def _of(pid: int, what: str) -> list[str]:
    try:
        with open(f"/proc/{pid}/{what}", "rb") as file:
            return file.read(1 << 20).decode(errors="replace").split("\0")
    except OSError:
        return []
