"""An SSH server of asyncssh in this process: no program is needed, and it can be odd on demand.

It runs real commands, with `/bin/sh -c`, in a session of their own and with an environment that
has nothing of the person's. It gives no terminal, no SFTP, no agent.
"""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import asyncssh

from tests.servers.box import Box
from tests.servers.keys import KeyFile, make_key
from tests.servers.loop_thread import LoopThread
from tests.servers.relay import Relay

SH = "/bin/sh"


def clean_environment(home: Path) -> dict[str, str]:
    """What a command there sees. The Python that runs the tests comes last in PATH, so that
    there is one on every machine."""
    user = getpass.getuser()
    path = ["/usr/local/bin", "/usr/bin", "/bin", os.path.dirname(sys.executable)]
    return {
        "HOME": str(home),
        "PATH": ":".join(path),
        "USER": user,
        "LOGNAME": user,
        "SHELL": SH,
        "LANG": "C.UTF-8",
    }


class Commands:
    """Runs what clients ask for, and remembers what is still running."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._groups: set[int] = set()
        self.started = 0

    async def run(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        command = process.command
        if command is None:
            process.stderr.write(b"This server runs commands only.\n")
            process.exit(1)
            return
        self.started += 1
        child = await asyncio.create_subprocess_exec(
            SH,
            "-c",
            command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=self._home,
            env=clean_environment(self._home) | dict(process.env),
            start_new_session=True,
        )
        self._groups.add(child.pid)
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        feeding = asyncio.create_task(self._feed(process.stdin, child.stdin))
        try:
            await asyncio.gather(
                self._drain(child.stdout, process.stdout), self._drain(child.stderr, process.stderr)
            )
            status = await child.wait()
            if status < 0:
                process.exit_with_signal(signal.Signals(-status).name.removeprefix("SIG"))
            else:
                process.exit(status)
        except (OSError, asyncssh.Error):
            # The client is gone. As with sshd, the command finds its stdin at the end and nobody
            # to read what it writes; what ignores both may live on until the server ends.
            feeding.cancel()
            child._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]
            child._transport.get_pipe_transport(2).close()  # type: ignore[attr-defined]
            await child.wait()
        finally:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
            self._groups.discard(child.pid)

    async def _feed(self, source: asyncssh.SSHReader[bytes], sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(1 << 18):
                sink.write(data)
                await sink.drain()
        except (OSError, asyncssh.Error):
            pass
        finally:
            sink.close()
            with contextlib.suppress(OSError):
                await sink.wait_closed()

    async def _drain(self, source: asyncio.StreamReader, sink: asyncssh.SSHWriter[bytes]) -> None:
        while data := await source.read(1 << 18):
            sink.write(data)
            await sink.drain()

    def kill(self) -> None:
        for group in self._groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)


class Doorman(asyncssh.SSHServer):
    """Who may come in, and by what.

    Args:
        password: accepted with the method "password"; none if empty.
        codes: answers expected by keyboard-interactive, prompt by prompt; none if empty.
        key: whether the authorized key counts.
        message: shown by keyboard-interactive before its prompts, or instead of any.
    """

    def __init__(self, password: str, codes: Mapping[str, str], key: bool, message: str) -> None:
        self._password, self._codes, self._key = password, codes, key
        self._message = message
        self._told = False

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return self._key

    def password_auth_supported(self) -> bool:
        return bool(self._password)

    def validate_password(self, username: str, password: str) -> bool:
        return password == self._password

    def kbdint_auth_supported(self) -> bool:
        return bool(self._codes or self._message)

    def get_kbdint_challenge(
        self, username: str, lang: str, submethods: str
    ) -> tuple[str, str, str, list[tuple[str, bool]]]:
        self._told = not self._message
        return self._challenge() if self._told else ("", self._message, "", [])

    def validate_kbdint_response(
        self, username: str, responses: list[str]
    ) -> bool | tuple[str, str, str, list[tuple[str, bool]]]:
        if not self._told and self._codes:
            self._told = True
            return self._challenge()
        return list(responses) == list(self._codes.values())

    def _challenge(self) -> tuple[str, str, str, list[tuple[str, bool]]]:
        return "", "", "", [(prompt, False) for prompt in self._codes]

    def connection_requested(
        self, dest_host: str, dest_port: int, orig_host: str, orig_port: int
    ) -> bool:
        return True


class EmbeddedServer:
    """Listens from its making until `close`; several may share one thread."""

    def __init__(
        self,
        thread: LoopThread,
        folder: Path,
        home: Path,
        host_key: KeyFile,
        client_key: KeyFile,
        key: bool,
        doorman: Callable[[], asyncssh.SSHServer],
    ) -> None:
        self._thread = thread
        self.commands = Commands(home)
        authorized = folder / "authorized_keys"
        # asyncssh takes a file of keys for the wish to accept keys at all.
        authorized.write_text(client_key.public + "\n" if key else "")
        self._acceptor = thread.call(self._listen(host_key, authorized, key, doorman))
        self.port = self._acceptor.get_port()

    async def _listen(
        self,
        host_key: KeyFile,
        authorized: Path,
        key: bool,
        doorman: Callable[[], asyncssh.SSHServer],
    ) -> asyncssh.SSHAcceptor:
        return await asyncssh.create_server(
            doorman,
            "127.0.0.1",
            0,
            server_host_keys=[str(host_key.path)],
            authorized_client_keys=str(authorized) if key else None,
            process_factory=self.commands.run,
            encoding=None,
            agent_forwarding=False,
            x11_forwarding=False,
            login_timeout=30,
        )

    def close(self) -> None:
        self._thread.do(self.commands.kill)
        self._thread.call(self._close())

    async def _close(self) -> None:
        self._acceptor.close()
        await self._acceptor.wait_closed()


class EmbeddedBox(Box):
    """A remote machine served by asyncssh.

    Args:
        folder: an empty folder of its own.
        password, codes, key, message: see Doorman.
    """

    def __init__(
        self,
        thread: LoopThread,
        folder: Path,
        *,
        password: str = "",
        codes: Mapping[str, str] | None = None,
        key: bool = True,
        message: str = "",
    ) -> None:
        host_key, client_key = make_key(folder / "host_key"), make_key(folder / "client_key")
        home = folder / "home"
        home.mkdir()
        self.server = EmbeddedServer(
            thread,
            folder,
            home,
            host_key,
            client_key,
            key,
            lambda: Doorman(password, codes or {}, key, message),
        )
        line = Relay(thread, ("127.0.0.1", self.server.port))
        super().__init__(folder, home, line, getpass.getuser(), host_key, client_key)

    def close(self) -> None:
        super().close()
        self.server.close()
