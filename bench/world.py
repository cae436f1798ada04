"""A laptop folder and a remote machine, both new, both gone afterwards."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sidecar.demo.editor import Editor
from tests.servers.keys import make_key
from tests.servers.openssh import Sshd

HOST = "box"
LOOK_EVERY = 0.0002
"""Seconds between two looks at the remote file: well below what is measured."""
PATIENCE = 120.0


class World:
    """`project` here and `remote` there are the two copies; `editor` is there after `open`."""

    def __init__(self, folder: Path, sshd: Sshd, runtime: Path) -> None:
        self.project = folder / "laptop" / "project"
        self.remote = folder / "home" / "project"
        self.project.mkdir(parents=True)
        self.environ = {
            **os.environ,
            "SIDECAR_SSH_CONFIG": str(folder / "ssh_config"),
            "SIDECAR_STATE_DIR": str(folder / "state"),
            "SIDECAR_CONFIG_DIR": str(folder / "config"),
            "SIDECAR_RUNTIME_DIR": str(runtime),
        }
        (self.project / "sidecar.local.toml").write_text(f"[hosts.{HOST}]\n")
        self._sshd = sshd
        self._editors: list[Editor] = []

    def write(self, path: str, content: bytes) -> Path:
        target = self.project / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        return target

    def open(self) -> Editor:
        """Starts the editor and brings the remote up to date."""
        editor = Editor(self.project, self.environ)
        self._editors.append(editor)
        editor.open()
        editor.request("sidecar/sync", {"project": str(self.project)})
        return editor

    def until(self, holds: Callable[[], bool]) -> None:
        """Returns as soon as it holds on the remote."""
        deadline = time.monotonic() + PATIENCE
        while not holds():
            if time.monotonic() > deadline:
                raise TimeoutError(f"nothing happened on the remote for {PATIENCE:.0f} s")
            time.sleep(LOOK_EVERY)

    def close(self) -> None:
        for editor in self._editors:
            editor.close()
        subprocess.run(
            [sys.executable, "-m", "sidecar", "hub", "stop", "--force"],
            env=self.environ, check=False, capture_output=True,
        )  # fmt: skip
        self._sshd.close()


@contextmanager
def world() -> Iterator[World]:
    folder = Path(tempfile.mkdtemp(prefix="sidecar-bench-"))
    runtime = Path(tempfile.mkdtemp(prefix="sc-"))
    made = None
    try:
        (folder / "home").mkdir()
        host_key, client_key = make_key(folder / "host"), make_key(folder / "client")
        sshd = Sshd(folder, folder / "home", host_key, client_key)
        (folder / "known_hosts").write_text(f"[127.0.0.1]:{sshd.port} {host_key.public}\n")
        (folder / "ssh_config").write_text(
            f"Host {HOST}\n  HostName 127.0.0.1\n  Port {sshd.port}\n"
            f"  IdentityFile {client_key.path}\n  IdentitiesOnly yes\n  IdentityAgent none\n"
            f"  UserKnownHostsFile {folder / 'known_hosts'}\n"
        )
        made = World(folder, sshd, runtime)
        yield made
    finally:
        if made is not None:
            made.close()
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(runtime, ignore_errors=True)
