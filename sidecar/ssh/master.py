"""A shared connection of the ssh program: one that the person has up, or one of our own.

Ours signs in once and then carries every command. It may ask nothing, forwards nothing, and ends
with this process even where that is killed: a watcher beside it waits at a pipe that only we
hold open.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sidecar.config.places import runtime_dir
from sidecar.ssh import complaints
from sidecar.ssh.deadline import within
from sidecar.ssh.last_words import LastWords
from sidecar.ssh.resolve import configured_file, ssh_program
from sidecar.ssh.resolved import Resolved

# `ssh -O check` only talks to a socket on this machine.
CHECK_WITHIN = 3.0

# Time for ssh to end by itself, and again after it was told to.
PATIENCE = 2.0

# The master's word that it is signed in and listens for commands; on stdout, which is ours alone.
READY = "sidecar-ready"

# ssh keeps the process id of the shell, so the watcher's `kill "$$"` is for ssh. The watcher
# holds none of ssh's pipes: their end must mean that ssh has ended.
_WITH_WATCHER = 'exec 3<&0; (read -r _ <&3; kill "$$") >/dev/null 2>&1 & exec "$@" 3<&- </dev/null'


def base_options() -> list[str]:
    """Options of every ssh that we start: it may ask nothing, as it has nobody to ask."""
    file = configured_file()
    always = ["BatchMode=yes", "LogLevel=INFO", "RemoteCommand=none", "RequestTTY=no"]
    options = [part for option in always for part in ("-o", option)]
    return [*(["-F", file] if file else []), *options]


async def has_live_master(target: Resolved) -> bool:
    """Whether the person's own ssh to this host is up and can be shared."""
    program = ssh_program()
    if not program or not target.control_path:
        return False
    return await answers(program, [], target)


async def answers(program: str, options: Sequence[str], target: Resolved) -> bool:
    """Whether a master answers.

    Args:
        options: those that name its socket; none for the one of the configuration.
    """
    try:
        child = await asyncio.create_subprocess_exec(
            program,
            *base_options(),
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
        if child.returncode is None:
            child.kill()
            await child.wait()


class Master:
    """Our own shared connection, from `start` to `close`."""

    def __init__(self, child: asyncio.subprocess.Process, folder: Path, target: Resolved) -> None:
        self._child = child
        self._folder = folder
        self._target = target
        self._words = LastWords()
        self._ending = asyncio.create_task(self._run())

    @classmethod
    async def start(cls, program: str, target: Resolved) -> Master:
        """Signs in.

        Raises:
            SidecarError: ssh could not; its words say why.
            OSError: it could not be started.
        """
        # A path that a socket can have: ssh adds 17 bytes to it while it is made.
        folder = Path(tempfile.mkdtemp(prefix="m", dir=runtime_dir()))
        try:
            child = await asyncio.create_subprocess_exec(
                "/bin/sh",
                "-c",
                _WITH_WATCHER,
                "sh",
                program,
                *base_options(),
                *_options(target, _socket(folder)),
                "--",
                target.destination.argument(),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        master = cls(child, folder, target)
        try:
            await master._until_ready()
        except BaseException:
            await master.close()
            raise
        return master

    @property
    def options(self) -> list[str]:
        """Options by which another ssh goes through it, and never makes a connection of its own:
        where the master is dying, ssh would dial anew, and this line ends at once."""
        return ["-S", str(_socket(self._folder)), "-o", "ProxyCommand=false"]

    async def closed(self) -> str:
        """Why it ended, in words."""
        return await asyncio.shield(self._ending)

    @property
    def has_ended(self) -> bool:
        return self._ending.done()

    async def close(self) -> None:
        """Ends it, and waits until nothing of it is left."""
        for stop in (self._child.terminate, self._child.kill):
            if self._ending.done():
                break
            with contextlib.suppress(ProcessLookupError):
                stop()
            with contextlib.suppress(asyncio.TimeoutError):
                await within(PATIENCE, asyncio.shield(self._ending))
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _until_ready(self) -> None:
        assert self._child.stdout is not None
        while line := await self._child.stdout.readline():
            if line.strip() == READY.encode():
                return
        await self.closed()
        raise complaints.failure(self._target.name, self._words.text())

    async def _run(self) -> str:
        assert self._child.stderr is not None
        assert self._child.stdin is not None
        while data := await self._child.stderr.read(1 << 14):
            self._words.feed(data)
        await self._child.wait()
        # The watcher is alone in the group now, and goes before its pipe is closed: it must not
        # wake up and signal a process id that belongs to somebody else by then.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.stdin.close()
        complaint = complaints.classify(self._words.text())
        return complaint.words if complaint else "ssh ended"


def _socket(folder: Path) -> Path:
    return folder / "s"


def _options(target: Resolved, socket: Path) -> list[str]:
    """A connection and nothing else: no terminal, no command, none of the person's forwards."""
    # ssh says nowhere else that it is signed in. The person's own LocalCommand is run as well.
    after = f"; {target.local_command}" if target.local_command else ""
    options = {
        "ControlMaster": "yes",
        "ControlPath": str(socket).replace("%", "%%"),
        "ControlPersist": "no",
        "ClearAllForwardings": "yes",
        "PermitLocalCommand": "yes",
        "LocalCommand": f"echo {READY}{after}",
        "ServerAliveInterval": str(int(max(target.alive_interval, 1))),
        "ServerAliveCountMax": str(target.alive_count),
        "ConnectTimeout": str(int(max(target.connect_timeout, 1))),
    }
    return ["-N", *(part for name, value in options.items() for part in ("-o", f"{name}={value}"))]
