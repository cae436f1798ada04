"""The system's ssh program as transport: whatever it can do, we can.

A live ControlMaster of the person is used as it stands: no question, no second login. Otherwise
one ssh of ours is the master, signed in once, and every command goes through it. Nothing here
weakens what ssh checks.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence

from sidecar.errors import SidecarError
from sidecar.ssh import complaints
from sidecar.ssh.codes import connect_error
from sidecar.ssh.failures import disconnected
from sidecar.ssh.last_words import LastWords
from sidecar.ssh.master import Master, answers, base_options, has_live_master
from sidecar.ssh.resolve import ssh_program
from sidecar.ssh.resolved import Resolved

READ_LIMIT = 1 << 20
"""Of a reader's buffer: asyncio stops reading at twice this."""


class OpensshTransport:
    """See Transport. Made by `connect`.

    Args:
        master: ours; None for the person's.
    """

    name = "openssh"

    def __init__(self, program: str, target: Resolved, master: Master | None) -> None:
        self._program = program
        self._target = target
        self._master = master
        self._processes: set[PipeProcess] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._gone: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.asked = False
        if master is not None:
            self.keep(self._watch(master))

    @classmethod
    async def connect(cls, target: Resolved, progress: Callable[[str], None]) -> OpensshTransport:
        """Uses the person's master, or starts one.

        Raises:
            ConnectError: see codes.py; `no-ssh` where there is no ssh program.
        """
        program = ssh_program()
        if not program:
            raise connect_error(
                f"The ssh program is needed for {target.name} and was not found",
                "there is no `ssh` in PATH",
                'install OpenSSH, or set `transport = "asyncssh"` for this host',
                "no-ssh",
            )
        if await has_live_master(target):
            progress(f"Using your ControlMaster to {target.name}")
            return cls(program, target, None)
        progress(f"Connecting to {target.address} with ssh")
        try:
            return cls(program, target, await Master.start(program, target))
        except OSError as problem:
            raise _cannot_start(target.name, problem) from problem

    @property
    def host(self) -> str:
        return self._target.name

    @property
    def is_closed(self) -> bool:
        return self._gone.done()

    async def start(self, command: str) -> PipeProcess:
        if self.is_closed:
            raise self.loss()
        try:
            child = await self._spawn(command)
        except OSError as problem:
            raise _cannot_start(self.host, problem) from problem
        process = PipeProcess(self, child)
        self._processes.add(process)
        self.keep(process.run())
        return process

    async def _spawn(self, command: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            self._program,
            *base_options(),
            *self._through_master(),
            "--",
            self._target.destination.argument(),
            # ssh looks for options behind the name too, and the shell there for its own.
            f" {command}" if command.startswith("-") else command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=READ_LIMIT,
            # Control-C in a terminal that we share is for the person's program, not for ssh.
            start_new_session=True,
        )

    async def closed(self) -> str:
        return await asyncio.shield(self._gone)

    async def close(self) -> None:
        self._mark_gone("it was closed")
        for process in list(self._processes):
            process.close()
        if self._master is not None:
            await self._master.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def loss(self) -> SidecarError:
        return disconnected(self.host, self._gone.result() if self.is_closed else "it ended")

    async def ended(self, process: PipeProcess, status: int, words: str) -> bool:
        """Told by a process of ours; answers whether the connection is gone with it."""
        self._processes.discard(process)
        if status != complaints.STATUS or self.is_closed:
            return self.is_closed
        has_ended = self._master is not None and self._master.has_ended
        alive = not has_ended and await answers(self._program, self._through_master(), self._target)
        if alive:
            return False
        complaint = complaints.classify(words)
        self._mark_gone(complaint.words if complaint else "the shared connection ended")
        return True

    def _through_master(self) -> Sequence[str]:
        """Options that use the master and never sign in anew where it is gone: without any
        method ssh cannot."""
        ours = self._master.options if self._master is not None else []
        return ["-o", "ControlMaster=no", "-o", "PreferredAuthentications=none", *ours]

    def _mark_gone(self, reason: str) -> None:
        if not self._gone.done():
            self._gone.set_result(reason)

    def keep(self, work: Coroutine[None, None, None]) -> None:
        """Runs it in a task that `close` waits for."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _watch(self, master: Master) -> None:
        """Until our master ends: then the connection is gone, and every ssh that went through.
        What they had received may still be read."""
        self._mark_gone(await master.closed())
        for process in list(self._processes):
            process.end()


class PipeProcess:
    """See Process: an ssh of ours and its three pipes."""

    def __init__(self, transport: OpensshTransport, child: asyncio.subprocess.Process) -> None:
        self._transport = transport
        self._child = child
        self._words = LastWords()
        self._lost = False
        self._closed = False
        self._over = asyncio.Event()
        self._reader = asyncio.Lock()

    async def read(self, limit: int = 1 << 18) -> bytes:
        assert self._child.stdout is not None
        async with self._reader:
            data = await self._child.stdout.read(limit)
        if not data:
            # The end of ssh's stdout may be the end of the command or of the connection.
            await self._over.wait()
            if self._lost:
                raise self._transport.loss()
        return data

    async def write(self, data: bytes) -> None:
        assert self._child.stdin is not None
        if self._over.is_set():
            raise self._ended()
        self._child.stdin.write(data)
        try:
            await self._child.stdin.drain()
        except (ConnectionError, RuntimeError) as problem:
            await self._over.wait()
            raise self._ended() from problem

    def close(self) -> None:
        assert self._child.stdin is not None
        self._child.stdin.close()
        self.end()
        if not self._closed:
            self._closed = True
            self._transport.keep(self._discard())

    def end(self) -> None:
        """Ends ssh; what it had received may still be read."""
        if self._child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._child.terminate()

    async def wait(self) -> int:
        await self._over.wait()
        if self._lost:
            raise self._transport.loss()
        status = self._child.returncode
        return status if status is not None and status >= 0 else -1

    def last_words(self) -> str:
        return self._words.text()

    async def run(self) -> None:
        """Reads stderr, and sees to the end of ssh. Owned by the transport."""
        assert self._child.stderr is not None
        while data := await self._child.stderr.read(1 << 14):
            self._words.feed(data)
        status = await self._child.wait()
        try:
            self._lost = await self._transport.ended(self, status, self._words.text())
        finally:
            self._over.set()

    async def _discard(self) -> None:
        """Reads what nobody will: a full pipe keeps asyncio from seeing the end of ssh."""
        assert self._child.stdout is not None
        async with self._reader:
            while await self._child.stdout.read(READ_LIMIT):
                pass

    def _ended(self) -> SidecarError:
        if self._lost:
            return self._transport.loss()
        status = self._child.returncode
        return disconnected(
            self._transport.host, f"the command there ended with status {status}", "command-ended"
        )


def _cannot_start(name: str, problem: OSError) -> SidecarError:
    return connect_error(
        f"The ssh program cannot be started for {name}",
        problem.strerror or str(problem),
        "see what `ssh -V` says",
        "no-ssh",
    )
