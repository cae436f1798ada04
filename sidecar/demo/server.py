"""An SSH server on loopback, in a thread of this process: the tour's remote machine.

It runs commands with `/bin/sh -c` in a home folder of its own, for one key that is made for it,
and has no terminal, no SFTP and no forwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Mapping
from pathlib import Path

import asyncssh

CLOSE_PATIENCE = 3.0
"""Seconds that commands get to end after they were told to."""


class DemoServer:
    """Listens on a free port from its making until `close`.

    Args:
        folder: an empty folder for keys; gets `id` (the client's key) and `known_hosts`.
        home: the home folder of whoever signs in.
        environ: the environment of every command, HOME aside.
    """

    def __init__(self, folder: Path, home: Path, environ: Mapping[str, str]) -> None:
        self._home = home
        self._environ = {**environ, "HOME": str(home)}
        self._children: set[int] = set()
        host, client = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
        self.key = folder / "id"
        self.key.touch(0o600)
        self.key.write_bytes(client.export_private_key())
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="demo server")
        self._thread.start()
        listening = asyncio.run_coroutine_threadsafe(self._listen(host, client), self._loop)
        self._acceptor = listening.result()
        self.port = self._acceptor.get_port()
        self.known_hosts = folder / "known_hosts"
        public = host.export_public_key().decode()
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {public}")

    async def _listen(self, host: asyncssh.SSHKey, client: asyncssh.SSHKey) -> asyncssh.SSHAcceptor:
        authorized = asyncssh.import_authorized_keys(client.export_public_key().decode())
        return await asyncssh.create_server(
            asyncssh.SSHServer,
            "127.0.0.1",
            0,
            server_host_keys=[host],
            authorized_client_keys=authorized,
            process_factory=self._run,
            encoding=None,
        )

    async def _run(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        child = await asyncio.create_subprocess_exec(
            "/bin/sh",
            "-c",
            process.command or "exit 1",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=self._home,
            env=self._environ,
            start_new_session=True,
        )
        self._children.add(child.pid)
        try:
            await process.redirect(child.stdin, child.stdout, child.stderr)
            status = await child.wait()
            with contextlib.suppress(OSError):
                process.exit(status if status >= 0 else 128 - status)
            await process.wait_closed()
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
            if child.stdin is not None:
                child.stdin.close()
                with contextlib.suppress(OSError):
                    await child.stdin.wait_closed()
            self._children.discard(child.pid)

    def close(self) -> None:
        """Ends the server and the commands on it."""
        for child in tuple(self._children):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGTERM)
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _close(self) -> None:
        self._acceptor.close()
        await self._acceptor.wait_closed()
        # The commands were told to end; their pipes are closed by the loop, while it still runs.
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=CLOSE_PATIENCE)
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0)
