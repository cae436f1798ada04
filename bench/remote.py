"""A real sshd as the remote, on loopback or at the end of a line, and a laptop's folders."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.line import THERE, Line

HOST = "box"

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"
SFTP_SERVER = "/usr/lib/openssh/sftp-server"


class Remote:
    """Made by `remote`.

    Attributes:
        laptop: the folder of projects here.
        home: the home folder there.
        environ: for commands of the laptop's side.
        line: that the remote is at the far end of.
        server: process id of its sshd.
    """

    def __init__(self, folder: Path, line: Line | None, address: str, port: int) -> None:
        self.folder, self.line = folder, line
        self.laptop, self.home = folder / "laptop", folder / "home"
        self.server = 0
        for each in (self.laptop, self.home, folder / "keys"):
            each.mkdir(parents=True)
        self.runtime = tempfile.mkdtemp(prefix="sc-bench-")
        keys = folder / "keys"
        for name in ("host", "id"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(keys / name)]
            subprocess.run(command, check=True)
        self.ssh_config = keys / "config"
        known_hosts = keys / "known_hosts"
        public = (keys / "host.pub").read_text()
        known_hosts.write_text(f"[{address}]:{port} {public}")
        self.ssh_config.write_text(
            f"Host {HOST}\n  HostName {address}\n  Port {port}\n"
            f"  IdentityFile {keys / 'id'}\n  IdentitiesOnly yes\n  IdentityAgent none\n"
            f"  UserKnownHostsFile {known_hosts}\n"
        )
        self.environ = {
            **os.environ,
            "SIDECAR_SSH_CONFIG": str(self.ssh_config),
            "SIDECAR_STATE_DIR": str(folder / "state"),
            "SIDECAR_CONFIG_DIR": str(folder / "config"),
            "SIDECAR_RUNTIME_DIR": self.runtime,
        }
        # With it, each hub runs the compiler for all that it imports, as nobody's does: 10 MB.
        self.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        # The editor's `python -m sidecar` is started in projects; one is the standard library.
        self.environ["PYTHONSAFEPATH"] = "1"

    def project(self, name: str) -> tuple[Path, Path]:
        """A project's folder here, new or given, with its configuration; and its place there."""
        here = self.laptop / name
        here.mkdir(exist_ok=True)
        (here / "sidecar.local.toml").write_text(
            f'host = "{HOST}"\n\n[hosts.{HOST}]\npath = "~/{name}"\npython = "{sys.executable}"\n'
            '\n[sync]\nask_above = "10 GB"\n'
        )
        return here, self.home / name

    def run(self, *command: str | Path) -> str:
        """A command on the laptop's side; its output."""
        done = subprocess.run(
            [*map(str, command)],
            env=self.environ,
            cwd=self.laptop,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout

    @contextlib.contextmanager
    def master(self) -> Iterator[str]:
        """An OpenSSH ControlMaster that stands; yields the ssh command that uses it."""
        path = f"{self.runtime}/cm"
        ssh = f"ssh -F {self.ssh_config} -o ControlPath={path}"
        command = [*ssh.split(), "-o", "ControlMaster=yes", "-N", HOST]
        master = subprocess.Popen(command, env=self.environ)
        try:
            _wait_until(lambda: os.path.exists(path), "the ControlMaster")
            yield ssh
        finally:
            master.terminate()
            master.wait()


@contextlib.contextmanager
def remote(line: Line | None = None) -> Iterator[Remote]:
    """A remote from entering to leaving; nothing is left of it.

    Args:
        line: where it is at the far end of; None: on loopback.
    """
    folder = Path(tempfile.mkdtemp(prefix="sidecar-bench-"))
    far = line.within(line.there) if line else []
    address, port = (THERE, 2222) if line else ("127.0.0.1", _free_port())
    made = Remote(folder, line, address, port)
    sshd_config = folder / "keys" / "sshd_config"
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)])
    sshd_config.write_text(
        f"Port {port}\nListenAddress {address}\nHostKey {folder}/keys/host\nPidFile none\n"
        f"AuthorizedKeysFile {folder}/keys/id.pub\nStrictModes no\nUsePAM no\n"
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        "PermitRootLogin prohibit-password\n"
        f"Subsystem sftp {SFTP_SERVER}\n"
        'ForceCommand cd && eval "$SSH_ORIGINAL_COMMAND"\n'
        f'SetEnv "HOME={made.home}" "PATH={path}"\n'
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    log = (folder / "sshd.log").open("wb")
    server = subprocess.Popen([*far, SSHD, "-D", "-e", "-f", str(sshd_config)], stderr=log)
    made.server = server.pid
    try:
        _wait_until(lambda: b"listening" in (folder / "sshd.log").read_bytes(), "sshd")
        yield made
    finally:
        server.terminate()
        server.wait()
        log.close()
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(made.runtime, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 20
    while not true():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what} does not come up")
        time.sleep(0.01)
