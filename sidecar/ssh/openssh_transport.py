"""The system's ssh program as transport: whatever it can do, we can.

A live ControlMaster of the person is used as it stands: no question, no second login. Otherwise
one ssh of ours is the master, signed in once, and every command goes through it. It holds no
terminal and may ask nothing (BatchMode), and nothing here weakens what ssh checks.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path

from sidecar.config.places import runtime_dir
from sidecar.errors import SidecarError
from sidecar.ssh import complaints
from sidecar.ssh.codes import connect_error
from sidecar.ssh.deadline import within
from sidecar.ssh.failures import disconnected
from sidecar.ssh.last_words import LastWords
from sidecar.ssh.resolve import configured_file, ssh_program
from sidecar.ssh.resolved import Resolved

# `ssh -O check` only talks to a socket on this machine.
CHECK_WITHIN = 3.0

# Time for ssh to end by itself, and again after it was told to.
PATIENCE = 2.0

# The master's word that it is signed in and listens for commands; on stdout, which is ours alone.
READY = "sidecar-ready"

READ_LIMIT = 1 << 20
"""Of a reader's buffer: asyncio stops reading at twice this."""


async def has_live_master(target: Resolved) -> bool:
    """Whether the person's own ssh to this host is up and can be shared."""
    program = ssh_program()
    if not program or not target.control_path:
        return False
    return await _check(program, [], target)


class OpensshTransport:
    """See Transport. Made by `connect`."""

    name = "openssh"

    def __init__(
        self,
        program: str,
        target: Resolved,
        folder: Path | None,
        master: asyncio.subprocess.Process | None,
    ) -> None:
        self._program = program
        self._target = target
        self._folder = folder
        self._master = master
        self._words = LastWords()
        self._processes: set[PipeProcess] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._gone: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.asked = False
        if master is not None:
            self._keep(self._watch(master))

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
            return cls(program, target, None, None)
        progress(f"Connecting to {target.address} with ssh")
        # A path that a socket can have: ssh adds 17 bytes to it while it is made.
        folder = Path(tempfile.mkdtemp(prefix="m", dir=runtime_dir()))
        master: asyncio.subprocess.Process | None = None
        try:
            master = await asyncio.create_subprocess_exec(
                program,
                *_common(),
                *_master_options(target, folder),
                "--",
                target.destination.argument(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
            await _until_ready(master, target)
        except BaseException:
            if master is not None:
                await _end(master)
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return cls(program, target, folder, master)

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
            raise connect_error(
                f"The ssh program cannot be started for {self.host}",
                problem.strerror or str(problem),
                "close other programs, or try again",
                "no-command",
            ) from problem
        process = PipeProcess(self, child)
        self._processes.add(process)
        self._keep(process.run())
        return process

    async def _spawn(self, command: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            self._program,
            *_common(),
            *self._through_master(),
            "--",
            self._target.destination.argument(),
            command,
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
            await _end(self._master)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def loss(self) -> SidecarError:
        return disconnected(self.host, self._gone.result() if self.is_closed else "it ended")

    async def ended(self, process: PipeProcess, status: int, words: str) -> bool:
        """Told by a process of ours; answers whether the connection is gone with it."""
        self._processes.discard(process)
        if status != complaints.STATUS or self.is_closed:
            return self.is_closed
        if self._master is not None:
            # It knows best, but may be a moment behind.
            alive = self._master.returncode is None and await self._answers()
        else:
            alive = await self._answers()
        if alive:
            return False
        complaint = complaints.classify(words)
        self._mark_gone(complaint.words if complaint else "the shared connection ended")
        return True

    async def _answers(self) -> bool:
        return await _check(self._program, self._through_master(), self._target)

    def _through_master(self) -> Sequence[str]:
        """Options that use the master and never make a connection of their own: where it is gone
        or dying, ssh would sign in anew, unasked. Without any method it cannot; and where its
        socket is ours, a line that ends at once saves it the way there."""
        options = ["-o", "ControlMaster=no", "-o", "PreferredAuthentications=none"]
        if self._folder is not None:
            options += ["-S", str(_socket(self._folder)), "-o", "ProxyCommand=false"]
        return options

    def _mark_gone(self, reason: str) -> None:
        if not self._gone.done():
            self._gone.set_result(reason)

    def _keep(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _watch(self, master: asyncio.subprocess.Process) -> None:
        """Until our master ends: then the connection is gone."""
        assert master.stderr is not None
        while data := await master.stderr.read(1 << 14):
            self._words.feed(data)
        await master.wait()
        words = self._words.text()
        complaint = complaints.classify(words)
        self._mark_gone(complaint.words if complaint else "ssh ended")
        for process in list(self._processes):
            process.close()


class PipeProcess:
    """See Process: an ssh of ours and its three pipes."""

    def __init__(self, transport: OpensshTransport, child: asyncio.subprocess.Process) -> None:
        self._transport = transport
        self._child = child
        self._words = LastWords()
        self._lost = False
        self._over = asyncio.Event()

    async def read(self, limit: int = 1 << 18) -> bytes:
        assert self._child.stdout is not None
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
        if self._child.stdin is not None:
            self._child.stdin.close()
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

    def _ended(self) -> SidecarError:
        if self._lost:
            return self._transport.loss()
        status = self._child.returncode
        return disconnected(
            self._transport.host, f"the command there ended with status {status}", "command-ended"
        )


def _socket(folder: Path) -> Path:
    return folder / "s"


def _common() -> list[str]:
    """Options of every ssh that we start. It may ask nothing, as it has nobody to ask."""
    file = configured_file()
    always = ["BatchMode=yes", "LogLevel=INFO", "RemoteCommand=none", "RequestTTY=no"]
    options = [part for option in always for part in ("-o", option)]
    return [*(["-F", file] if file else []), *options]


def _master_options(target: Resolved, folder: Path) -> list[str]:
    """A connection and nothing else: no terminal, no command, none of the person's forwards."""
    # ssh says nowhere else that it is signed in. The person's own LocalCommand is run as well.
    after = f"; {target.local_command}" if target.local_command else ""
    options = {
        "ControlMaster": "yes",
        "ControlPath": str(_socket(folder)).replace("%", "%%"),
        "ControlPersist": "no",
        "ClearAllForwardings": "yes",
        "PermitLocalCommand": "yes",
        "LocalCommand": f"echo {READY}{after}",
        "ServerAliveInterval": str(int(max(target.alive_interval, 1))),
        "ServerAliveCountMax": str(target.alive_count),
        "ConnectTimeout": str(int(max(target.connect_timeout, 1))),
    }
    return ["-N", *(part for name, value in options.items() for part in ("-o", f"{name}={value}"))]


async def _until_ready(master: asyncio.subprocess.Process, target: Resolved) -> None:
    """Until the master is signed in.

    Raises:
        ConnectError: it ended instead; its words say why.
    """
    assert master.stdout is not None
    assert master.stderr is not None
    words = LastWords()

    async def listen(stderr: asyncio.StreamReader) -> None:
        while data := await stderr.read(1 << 14):
            words.feed(data)

    listening = asyncio.create_task(listen(master.stderr))
    try:
        while line := await master.stdout.readline():
            if line.strip() == READY.encode():
                return
        await within(PATIENCE, asyncio.shield(listening))
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    raise complaints.failure(target.name, words.text())


async def _check(program: str, options: Sequence[str], target: Resolved) -> bool:
    """Whether a master answers."""
    try:
        child = await asyncio.create_subprocess_exec(
            program,
            *_common(),
            *options,
            "-O",
            "check",
            "--",
            target.destination.argument(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        return False
    try:
        return await within(CHECK_WITHIN, child.wait()) == 0
    except asyncio.TimeoutError:
        return False
    finally:
        await _end(child)


async def _end(child: asyncio.subprocess.Process) -> None:
    """Ends a child and waits for it, so that nothing of it is left."""
    for stop in (child.terminate, child.kill):
        if child.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            stop()
        with contextlib.suppress(asyncio.TimeoutError):
            await within(PATIENCE, child.wait())
