"""Those who take part, as their users would call them.

All of them go over an OpenSSH ControlMaster that stands, but for those whose name says "cold". They
remember nothing that a user's own installation would not: Unison its archives, sftp its session.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from bench.remote import HOST


class Copy(NamedTuple):
    """A tree here, and its place there."""

    here: Path
    there: Path


class Peer:
    """One way of bringing changes over.

    A round of it: `begin`, which returns soon, and `finish`, which returns when the peer itself
    says that it is done. No paths: the whole tree.
    """

    name = ""

    def meet(self, copy: Copy) -> None:
        """Before the first round: both sides are the same, or `there` does not exist."""

    def begin(self, copy: Copy, path: str = "") -> None:
        raise NotImplementedError

    def finish(self, copy: Copy, path: str = "") -> None:
        raise NotImplementedError

    def close(self) -> None:
        """Ends what it has running."""


class Program(Peer):
    """A program that is run for every change."""

    good = frozenset({0})

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = dict(environ)

    def command(self, copy: Copy, path: str) -> list[str]:
        raise NotImplementedError

    def begin(self, copy: Copy, path: str = "") -> None:
        command = self.command(copy, path)
        self._running = subprocess.Popen(
            command, env=self.environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )

    def finish(self, copy: Copy, path: str = "") -> None:
        _, said = self._running.communicate()
        if self._running.returncode not in self.good:
            raise RuntimeError(f"{self.name} failed: {said.decode(errors='replace')[-2000:]}")


class Rsync(Program):
    """`rsync -a` or, with compression, `rsync -az`; a whole tree with --delete."""

    def __init__(
        self, environ: Mapping[str, str], ssh: str, *, compress: bool, cold: bool = False
    ) -> None:
        super().__init__(environ)
        self.name = f"{'cold ' if cold else ''}rsync{' -z' if compress else ''}"
        self._options = ["-az" if compress else "-a", "-e", ssh]

    def command(self, copy: Copy, path: str) -> list[str]:
        place = f"{HOST}:{copy.there.name}"
        if path:
            folder = os.path.dirname(path)
            return ["rsync", *self._options, str(copy.here / path), f"{place}/{folder}"]
        return ["rsync", *self._options, "--delete", f"{copy.here}/", f"{place}/"]


class Unison(Program):
    """In batch mode; after a save it is given the path, as a hook would."""

    name = "unison"

    def __init__(self, environ: Mapping[str, str], ssh: str, folder: Path) -> None:
        super().__init__({**environ, "UNISON": str(folder)})
        # Its ssh:// form wants the program and its options apart.
        self._ssh = shlex.split(ssh)[1:]

    def meet(self, copy: Copy) -> None:
        if copy.there.exists():  # else the first round is its first meeting
            self.begin(copy)
            self.finish(copy)

    def command(self, copy: Copy, path: str) -> list[str]:
        return [
            *("unison", str(copy.here), f"ssh://{HOST}/{copy.there.name}"),
            *("-batch", "-silent", "-log=false", "-confirmbigdel=false"),
            *("-sshargs", " ".join(self._ssh)),
            *(("-path", path) if path else ()),
        ]


class Tar(Program):
    """A stream of the whole tree, compressed by zstd at its usual level."""

    name = "tar | zstd"

    def __init__(self, environ: Mapping[str, str], ssh: str) -> None:
        super().__init__(environ)
        self._ssh = ssh

    def command(self, copy: Copy, path: str) -> list[str]:
        there = f"mkdir -p {copy.there.name} && zstd -dq | tar -C {copy.there.name} -xf -"
        here = f"tar -C {shlex.quote(str(copy.here))} -cf - . | zstd -q"
        pipe = f"set -o pipefail; {here} | {self._ssh} {HOST} {shlex.quote(there)}"
        return ["bash", "-c", pipe]


class Sftp(Peer):
    """Whole files, put into a session of OpenSSH's sftp that stays open: what editors do that save
    over SFTP. The file there is truncated and written, so a reader may see a part of it."""

    name = "live sftp put"

    _DONE = "Remote working directory"

    def __init__(self, environ: Mapping[str, str], config: Path) -> None:
        # stdbuf is not needed: sftp writes its answers by line.
        self._session = subprocess.Popen(
            ["sftp", "-q", "-F", str(config), "-b", "-", HOST],
            env=dict(environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._say("pwd")
        self._wait()

    def begin(self, copy: Copy, path: str = "") -> None:
        self._say(f"put {copy.here / path} {copy.there.name}/{path}")

    def finish(self, copy: Copy, path: str = "") -> None:
        self._say("pwd")
        self._wait()

    def close(self) -> None:
        assert self._session.stdin is not None
        self._session.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._session.wait(5)
        self._session.kill()
        self._session.wait()

    def _say(self, line: str) -> None:
        assert self._session.stdin is not None
        self._session.stdin.write(line + "\n")
        self._session.stdin.flush()

    def _wait(self) -> None:
        assert self._session.stdout is not None
        for line in self._session.stdout:
            if line.startswith(self._DONE):
                return
        raise RuntimeError("sftp ended")


def missing(*programs: str) -> str:
    """The first of these that is not installed; "" where all are."""
    return next((name for name in programs if shutil.which(name) is None), "")
