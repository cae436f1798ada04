"""The tour's world: a laptop folder, a remote machine on loopback, and nothing of the person's."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sidecar.config import places
from sidecar.demo.server import DemoServer
from sidecar.errors import SidecarError

HOST = "gpu1"
PROJECT = "digits"
DATA_SIZE = 50_000_000

CONFIGURATION = """\
host = "gpu1"

[hosts.gpu1]
path = "~/code/digits"
python = "{python}"
"""


class World:
    """Everything that the tour needs. `environ` is for processes of the laptop's side."""

    def __init__(self, folder: Path, remote_python: Path) -> None:
        self.folder = folder
        self.laptop, self.home = folder / "laptop", folder / "gpu1"
        keys = folder / "keys"
        for place in (self.laptop, self.home, keys):
            place.mkdir()
        self.project = self.laptop / PROJECT
        self.remote_project = self.home / "code" / PROJECT
        self._runtime = tempfile.mkdtemp(prefix="sidecar-demo-")
        self.server = DemoServer(keys, self.home, {"PATH": os.environ.get("PATH", os.defpath)})
        ssh_config = keys / "config"
        ssh_config.write_text(
            f"Host {HOST}\n  HostName 127.0.0.1\n  Port {self.server.port}\n"
            f"  IdentityFile {self.server.key}\n  IdentitiesOnly yes\n  IdentityAgent none\n"
            f"  UserKnownHostsFile {self.server.known_hosts}\n"
        )
        self.variables = {
            "SIDECAR_SSH_CONFIG": str(ssh_config),
            "SIDECAR_STATE_DIR": str(folder / "state"),
            "SIDECAR_CONFIG_DIR": str(folder / "config"),
            "SIDECAR_RUNTIME_DIR": self._runtime,
        }
        self.environ = {**os.environ, **self.variables}
        self._lay_out(remote_python)

    def _lay_out(self, remote_python: Path) -> None:
        """The project as a person would have it: in git, configured for one host."""
        source = Path(__file__).with_name("project")
        shutil.copytree(source, self.project, ignore=shutil.ignore_patterns("__pycache__", "runs"))
        (self.project / "gitignore").rename(self.project / ".gitignore")
        (self.project / "sidecar.local.toml").write_text(CONFIGURATION.format(python=remote_python))
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            quiet = {"cwd": self.project, "check": True, "capture_output": True}
            subprocess.run(["git", "init", "-q"], **quiet)  # type: ignore[call-overload]
            (self.project / ".git/info/exclude").write_text("sidecar.local.toml\n")

    def close(self) -> None:
        self.server.close()
        shutil.rmtree(self._runtime, ignore_errors=True)


@contextlib.contextmanager
def world(remote_python: Path) -> Iterator[World]:
    """A world that is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="sidecar-demo-"))
    made = World(folder, remote_python)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(folder, ignore_errors=True)


def remote_python() -> Path:
    """The remote's interpreter: an environment with scikit-learn, made once and kept.

    Raises:
        SidecarError: it cannot be made, with the installer's last line.
    """
    environment = places.state_dir() / "demo-environment"
    python = environment / "bin" / "python"
    ready = environment / ".complete"
    if ready.exists():
        return python
    steps = [
        [sys.executable, "-m", "venv", "--clear", str(environment)],
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
         "scikit-learn"],
    ]  # fmt: skip
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = (done.stderr or done.stdout).strip().splitlines()
            raise SidecarError(
                "The demo's remote environment cannot be made",
                lines[-1] if lines else f"exit status {done.returncode}",
                "it needs python3-venv and a package index with scikit-learn",
            )
    ready.touch()
    return python
