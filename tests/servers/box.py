"""What a test knows of a remote machine, whatever serves it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.servers.keys import KeyFile
from tests.servers.relay import Relay

Options = Mapping[str, str | int | Path | Sequence[str]]


def write_ssh_config(path: Path, hosts: Mapping[str, Options]) -> Path:
    """One `Host` block for each name, in this order; a list gives the option once for each."""
    lines = []
    for name, options in hosts.items():
        lines.append(f"Host {name}")
        for option, value in options.items():
            values = [value] if isinstance(value, (str, int, Path)) else value
            lines += [f"    {option} {one}" for one in values]
    path.write_text("\n".join(lines) + "\n")
    return path


class Box:
    """A remote machine: a server behind a line, a home folder, an ssh_config that reaches it.

    A session has one of each kind; every test gets it with an empty home and its line up.
    """

    alias = "box"
    """The Host of `ssh_config` that stands for it."""

    transport = ""
    """The transport to dial it with: "asyncssh", "openssh", or "" for our own choice."""

    def __init__(
        self,
        folder: Path,
        home: Path,
        line: Relay,
        user: str,
        host_key: KeyFile,
        client_key: KeyFile,
    ) -> None:
        self.folder = folder
        """Of the server: keys, configuration and log, nothing that a test should write."""
        self.home = home
        """The home folder there."""
        self.line = line
        self.user = user
        self.host_key = host_key
        self.client_key = client_key
        self.known_hosts = folder / "known_hosts"
        self.ssh_config = folder / "ssh_config"
        self.fresh()

    @property
    def port(self) -> int:
        return self.line.port

    @property
    def accepted(self) -> int:
        """How many connections were ever made to it."""
        return self.line.accepted

    def options(self) -> dict[str, str | int | Path | Sequence[str]]:
        """What its Host block says; a test may change it and write a file of its own."""
        return {
            "HostName": "127.0.0.1",
            "Port": self.port,
            "User": self.user,
            "IdentityFile": self.client_key.path,
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "UserKnownHostsFile": self.known_hosts,
            "GlobalKnownHostsFile": "/dev/null",
        }

    def hosts(self) -> dict[str, Options]:
        """Host blocks of `ssh_config`."""
        return {self.alias: self.options()}

    def cut(self) -> None:
        """The network is gone for every connection to it; a new one may be made at once."""
        self.line.cut()

    def end_jobs(self) -> None:
        """Ends jobs that a test left there: they outlive every connection, and a test that fails
        never comes to their end."""
        home = f"HOME={self.home}".encode()
        for environment in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):  # gone meanwhile, or another user's
                variables = environment.read_bytes().split(b"\0")
                if home in variables and any(one.startswith(b"SIDECAR_JOB=") for one in variables):
                    os.kill(int(environment.parent.name), signal.SIGKILL)

    def fresh(self) -> None:
        """As at the start: nothing in the home, the line up, the right host key known."""
        self.line.on_accept = None
        self.line.flow()
        self.line.cut()
        for entry in self.home.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {self.host_key.public}\n")
        write_ssh_config(self.ssh_config, self.hosts())

    def close(self) -> None:
        self.line.close()
