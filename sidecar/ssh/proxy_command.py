"""A ProxyCommand: the person's own program, whose stdin and stdout are the line to the host.

It is a child of ours on a socketpair, because asyncssh's own way lets it write to our stderr and
leaves it behind. It gets a session of its own: a program that would ask on the terminal cannot
take the one that an editor or a shell is using.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket

from sidecar.ssh.deadline import within
from sidecar.ssh.last_words import LastWords

# Time to end by itself after its line was closed, and again after it was told to.
PATIENCE = 1.0


class ProxyCommand:
    """Runs from `start` to `close`."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self._child = child
        self._words = LastWords()
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def start(cls, command: str) -> tuple[ProxyCommand, socket.socket]:
        """Starts it by the person's shell, as ssh does.

        Returns:
            The program, and our end of the line, which its user closes.

        Raises:
            OSError: the shell cannot be started.
        """
        ours, theirs = socket.socketpair()
        try:
            child = await asyncio.create_subprocess_exec(
                os.environ.get("SHELL") or "/bin/sh",
                "-c",
                f"exec {command}",
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        ours.setblocking(False)
        return cls(child), ours

    async def last_words(self) -> str:
        """What it said, once it is closed or has ended."""
        with contextlib.suppress(asyncio.TimeoutError):
            await within(PATIENCE, asyncio.shield(self._listening))
        return self._words.text().strip()

    async def close(self) -> None:
        """Ends it, and what it started, and waits until it is gone."""
        for stop in (None, signal.SIGTERM, signal.SIGKILL):
            if stop is not None:
                # Its own group, so that a program in a pipeline ends too.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._child.pid, stop)
            try:
                await within(PATIENCE, self._child.wait())
                break
            except asyncio.TimeoutError:
                continue
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)

    async def _listen(self) -> None:
        assert self._child.stderr is not None
        while data := await self._child.stderr.read(1 << 14):
            self._words.feed(data)
