"""A transport to this very machine: the command runs under a shell of the test's choice."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

from sidecar.errors import Disconnected

SH = ("/bin/sh", "-c")


class LocalProcess:
    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self.child = child
        self._words = b""
        self._reading = asyncio.create_task(self._read_errors())

    async def read(self, limit: int = 1 << 18) -> bytes:
        assert self.child.stdout is not None
        return await self.child.stdout.read(limit)

    async def write(self, data: bytes) -> None:
        assert self.child.stdin is not None
        try:
            self.child.stdin.write(data)
            await self.child.stdin.drain()
        except ConnectionError as error:
            # What it said before it went is still to be read.
            raise Disconnected("The command takes no more input", str(error)) from None

    def close(self) -> None:
        assert self.child.stdin is not None
        self.child.stdin.close()
        if self.child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.child.pid, signal.SIGTERM)

    async def wait(self) -> int:
        status = await self.child.wait()
        await self._reading
        return 128 - status if status < 0 else status

    def last_words(self) -> str:
        return self._words.decode(errors="replace")

    async def _read_errors(self) -> None:
        assert self.child.stderr is not None
        while data := await self.child.stderr.read(4096):
            self._words = (self._words + data)[-4096:]


class LocalTransport:
    """Every command in a process group of its own, with `home` as its HOME."""

    name = "local"
    asked = False

    def __init__(self, home: Path, shell: tuple[str, ...] = SH, path: str = "") -> None:
        self.home, self.shell = home, shell
        self.path = path or os.environ["PATH"]
        self.commands: list[str] = []
        self.processes: list[LocalProcess] = []

    async def start(self, command: str) -> LocalProcess:
        self.commands.append(command)
        child = await asyncio.create_subprocess_exec(
            *self.shell,
            command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"HOME": str(self.home), "PATH": self.path, "USER": "tester"},
            cwd=self.home,
            start_new_session=True,
        )
        self.processes.append(LocalProcess(child))
        return self.processes[-1]

    async def closed(self) -> str:
        await asyncio.Event().wait()
        raise AssertionError

    async def close(self) -> None:
        for process in self.processes:
            process.close()
            # Output that nobody reads would hold up the news of the end (asyncio).
            assert process.child.stdout is not None
            with contextlib.suppress(RuntimeError):  # somebody reads it
                await asyncio.wait_for(process.child.stdout.read(), 10)
            await asyncio.wait_for(process.wait(), 10)
