"""What an agent needs of a connection: the stdin and stdout of one command on the other side.

Everything above this line is the same for asyncssh, the system's `ssh`, `docker exec -i` or
`srun`; everything below knows nothing of agents.
"""

from __future__ import annotations

from typing import Protocol


class Process(Protocol):
    """A command that runs on the other side.

    One reader and one writer at a time. All methods but `close` raise Disconnected once the
    connection is gone.
    """

    async def read(self, limit: int = 1 << 18) -> bytes:
        """The next bytes of its stdout, as soon as there are any; b"" at its end."""
        ...

    async def write(self, data: bytes) -> None:
        """Hands bytes for its stdin to the connection; returns when the connection's own buffer
        is below its limit, which says nothing about what arrived."""
        ...

    def close(self) -> None:
        """Ends it: stdin is closed and the channel with it. May be called twice."""
        ...

    async def wait(self) -> int:
        """Its exit status when it has ended, -1 where the other side did not tell."""
        ...

    def last_words(self) -> str:
        """The end of what it wrote to stderr (at most some KB), control characters escaped."""
        ...


class Transport(Protocol):
    """A connection to one host, already authenticated."""

    name: str
    """"asyncssh" or "openssh", for `status` and for logs."""

    asked: bool
    """A person was asked for something at this sign-in: never dial again unasked."""

    async def start(self, command: str) -> Process:
        """Starts `command` through the login shell of the other side, without a terminal."""
        ...

    async def closed(self) -> str:
        """Returns when the connection is gone, with the reason in words."""
        ...

    async def close(self) -> None:
        """Ends the connection and every process on it."""
        ...
