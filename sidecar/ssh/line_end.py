"""The end of a line, told to asyncssh after all that came before it.

asyncssh judges what a host offers in a task, and when the line ends before that task is over it
forgets the judgement: a host with which we have nothing in common looks like a network that
dropped us, to be tried again and again. Servers close at once in that case, so it is a common one.
"""

from __future__ import annotations

import asyncio

import asyncssh

# Turns of the event loop: the task's start, its end, what its end calls, and as many to spare. The
# judgement waits for nothing, so turns are all that it needs.
TURNS = 6


def tell_late(connection: asyncssh.SSHClientConnection) -> None:
    """Has the end of this connection's line wait for what was received. For a connection that
    has just been made."""
    loop = asyncio.get_running_loop()
    told = connection.connection_lost

    def after(turns: int, problem: Exception | None) -> None:
        if turns:
            loop.call_soon(after, turns - 1, problem)
        else:
            told(problem)

    def connection_lost(problem: Exception | None = None) -> None:
        after(TURNS, problem)

    def eof_received() -> bool:
        after(TURNS, None)
        return True  # The transport is not to close by itself meanwhile.

    connection.connection_lost = connection_lost  # type: ignore[assignment,method-assign]
    connection.eof_received = eof_received  # type: ignore[assignment,method-assign]
