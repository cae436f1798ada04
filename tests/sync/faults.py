"""Faults for two sides: lines that break at any byte, disks that fill up, files that somebody
locks or writes while they are read. Each is put right by the one who made it."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from sidecar.errors import Disconnected
from sidecar.sync.delta import content
from sidecar.sync.disk import local_files
from tests.remote.local_transport import LocalProcess, LocalTransport


class Fuse:
    """Burns down with the bytes that pass in one direction; then the line is cut, in the middle of
    whatever that is, and the agent is killed or loses its input."""

    def __init__(self, process: LocalProcess, length: int, *, incoming: bool, kill: bool) -> None:
        self._process, self._left, self._kill = process, length, kill
        self.burnt = False
        if incoming:
            self._read = process.read
            process.read = self.read  # type: ignore[method-assign]
        else:
            self._write = process.write
            process.write = self.write  # type: ignore[method-assign]

    def disarm(self) -> None:
        self._left = 1 << 62

    async def read(self, limit: int = 1 << 18) -> bytes:
        if self.burnt:
            return b""
        data = await self._read(limit)
        self._left -= len(data)
        if self._left < 0:
            data = data[: self._left]
            self._cut()
        return data

    async def write(self, data: bytes) -> None:
        if self.burnt:
            raise Disconnected("The line is cut", "a fuse has burnt")
        self._left -= len(data)
        if self._left >= 0:
            await self._write(data)
            return
        with contextlib.suppress(Disconnected):
            await self._write(data[: self._left])
        self._cut()
        raise Disconnected("The line is cut", "a fuse has burnt")

    def _cut(self) -> None:
        self.burnt = True
        if self._kill and self._process.child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.child.pid, signal.SIGKILL)
        self._process.close()


def fill_disk(transport: LocalTransport, room: int) -> Callable[[], None]:
    """The agent cannot write a file beyond `room` bytes, as on a disk that is full; returns what
    ends that."""
    group = transport.processes[-1].child.pid
    members = [int(path.name) for path in Path("/proc").glob("[0-9]*") if _group(path) == group]

    def limit(size: int) -> None:
        for pid in members:
            with contextlib.suppress(ProcessLookupError):
                hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))

    limit(room)
    return lambda: limit(resource.RLIM_INFINITY)


def _group(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[2])
    except OSError:
        return 0


class Readings:
    """What happens to files here while the sidecar reads them. For one test at a time.

    Args:
        rng: decides when.
        meanwhile: called with a file's full path in the middle of a reading of its pieces.
    """

    def __init__(self, rng: random.Random, meanwhile: Callable[[Path], None]) -> None:
        self._rng, self._meanwhile = rng, meanwhile
        self.locked: set[str] = set()
        """Names that cannot be opened, as where another program has them open on Windows."""
        self.lock = threading.Lock()
        """Held while a file is written over."""
        self.changing = 0.0
        """How likely a file is written while it is read."""

    @contextlib.contextmanager
    def injected(self) -> Iterator[None]:
        opened, read_at = local_files._open, local_files.Source.read_at

        def opening(folder: int | None, name: str) -> int:
            path = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), name)
            if any(path.endswith(f"/{locked}") for locked in self.locked):
                raise PermissionError(errno.EACCES, "somebody has it open", path)
            return opened(folder, name)

        def reading(source: Any, offset: int, length: int) -> bytes:
            if offset and self._rng.random() < self.changing:
                with self.lock:
                    self._meanwhile(Path(os.readlink(f"/proc/self/fd/{source._descriptor}")))
            return read_at(source, offset, length)

        local_files._open = opening
        local_files.Source.read_at = reading  # type: ignore[method-assign]
        try:
            yield
        finally:
            local_files._open = opened
            local_files.Source.read_at = read_at  # type: ignore[method-assign]


@contextlib.contextmanager
def clock_here(seconds: int) -> Iterator[None]:
    """The clock of this machine is that far ahead of the one that stamps files."""
    kept = content.time
    content.time = SimpleNamespace(  # type: ignore[assignment]
        time_ns=lambda: time.time_ns() + seconds * 1_000_000_000
    )
    try:
        yield
    finally:
        content.time = kept
