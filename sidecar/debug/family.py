"""The processes of one debug session, and what the editor needs to reach each of them.

debugpy's adapter tells of a process that the program started, and where on the remote's loopback a
client may attach to it. That address means nothing here, so the editor gets the session's token
and a number instead. Whoever brings both back, by a second `sidecar debug --stdio` or a second
connection to the port, is connected to that process through the agent.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, NamedTuple

from sidecar.debug.dap import Message

SESSION, CHILD = "sidecarSession", "sidecarChild"
"""Names of the two in an editor's `attach`."""

MAX_CHILDREN = 1024
"""Processes of one session that an editor is offered; the rest run free."""

_OUR_BUSINESS = ("name", "type", "request", "connect", "host", "port", "sidecar")
"""Of debugpy's configuration for a child, what the editor has no use for."""

_LAUNCHED = (
    *("program", "module", "code", "python", "cwd", "env", "pathMappings"),
    *("console", "adapterAccessToken", "debugOptions"),
)
"""What the parent was launched with: the remote's, and settled."""


class Child(NamedTuple):
    """A process that waits for a debugger.

    Attributes:
        host, port: of the adapter, on the remote.
        arguments: of debugpy's `attach`.
    """

    host: str
    port: int
    arguments: Message


class About(NamedTuple):
    """What is known of a process. `rank`: in a distributed launch, "" where there is none.
    `worker`: it was started by that rank. `helper`: Python's own."""

    pid: int
    command: str = ""
    rank: str = ""
    worker: bool = False
    helper: bool = False

    @property
    def name(self) -> str:
        """As an editor lists its session."""
        if self.rank and not self.worker:
            return f"rank {self.rank}"
        what = f"rank {self.rank}: " if self.rank else ""
        return f"{what}{self.command or 'process'} ({self.pid})"


class Family:
    """Of one session.

    Args:
        only_rank: of processes that have a rank, only this one is debugged; "" is all.
    """

    def __init__(self, only_rank: str = "") -> None:
        self.token = secrets.token_hex(16)
        self.only_rank = only_rank
        self._children: dict[int, Child] = {}
        self._known: dict[int, About] = {}
        self._count = 0

    def told(self, body: Mapping[str, Any]) -> None:
        """Our guard's word about a process (the event `sidecarProcess`), ahead of debugpy's."""
        pid = body.get("pid")
        if type(pid) is int and len(self._known) < MAX_CHILDREN:
            self._known[pid] = About(
                pid,
                str(body.get("command") or "")[:200],
                str(body.get("rank") or "")[:20],
                body.get("worker") is True,
                body.get("helper") is True,
            )

    def about(self, configuration: Mapping[str, Any]) -> About:
        pid = configuration.get("subProcessId")
        number = pid if type(pid) is int else 0
        return self._known.get(number, About(number))

    def runs_free(self, about: About) -> bool:
        """Whether it is none that a person wants to see."""
        return about.helper or bool(self.only_rank and about.rank and about.rank != self.only_rank)

    def expect(self, configuration: Message, kind: str) -> Message | None:
        """The configuration for an editor that shall attach to a child.

        Args:
            configuration: debugpy's own.
            kind: the editor's debug type.
        Returns:
            None where it cannot be offered.
        """
        connect = configuration.get("connect")
        where = connect if isinstance(connect, dict) else {}
        host, port = where.get("host"), where.get("port")
        if not isinstance(host, str) or type(port) is not int or not 0 < port < 65536:
            return None
        if len(self._children) >= MAX_CHILDREN:
            return None
        self._count += 1
        arguments = {key: value for key, value in configuration.items() if key not in _OUR_BUSINESS}
        self._children[self._count] = Child(host, port, arguments)
        shown = {key: value for key, value in arguments.items() if key not in _LAUNCHED}
        about = self.about(configuration)
        return {
            **shown,
            "name": about.name,
            "type": kind,
            "request": "attach",
            SESSION: self.token,
            CHILD: self._count,
        }

    def take(self, number: object) -> Child | None:
        """The child of that number; each is given out once."""
        return self._children.pop(number, None) if type(number) is int else None
