"""Where a workload takes place: a remote at the end of a line, its hub, and those beside it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bench import processes
from bench.links import Link, Terms
from bench.remote import HOST, Remote, remote
from bench.results import Result
from sidecar.demo.editor import Editor

EDITOR, SHELL, SSH = "sidecar", "sidecar run", "ssh"
"""Who takes part: an editor that is open, the command line, and OpenSSH."""

SIDECAR = (sys.executable, "-m", "sidecar")


class Project(NamedTuple):
    """A project's folder here and there, and an editor that is open on it."""

    here: Path
    there: Path
    editor: Editor


class Scene:
    """One workload's. Made by `scene`.

    Attributes:
        ssh: the command, up to what is to be run there; over a ControlMaster that stands.
        rounds: how many count.
    """

    def __init__(self, box: Remote, link: Link, ssh: str, terms: Terms) -> None:
        self.box, self.link = box, link.name
        self.rounds, self.quick = terms.rounds, terms.quick
        self.mux = ssh
        self.ssh = [*ssh.split(), HOST]
        self._editors: list[Editor] = []

    def project(self, name: str, fill: Callable[[Path], object]) -> Project:
        """A new project, in step."""
        here, there = self.box.project(name)
        fill(here)
        editor = Editor(here, self.box.environ)
        self._editors.append(editor)
        editor.open()
        editor.wait_for("sidecar/didChangeStatus", lambda health: health["state"] == "ready")
        return Project(here, there, editor)

    def command(self, project: Project, *words: str, **options: Any) -> subprocess.Popen[bytes]:
        """`sidecar …` in the project's folder."""
        return subprocess.Popen(
            [*SIDECAR, *words], cwd=project.here, env=self.box.environ, **options
        )

    def hub(self) -> int:
        """Its process id."""
        return int(self._editors[0].request("sidecar/status", {})["hubPid"])

    def agent(self) -> int:
        """The agent's process id."""
        for pid in processes.below(self.box.server):
            words = processes.command(pid).split()
            if words and "python" in words[0] and "-c" in words:
                return pid
        raise RuntimeError("no agent runs")

    def session(self) -> int:
        """The process of sshd's that serves the agent's connection: when it ends, that is cut."""
        agent = self.agent()
        outermost = processes.below(self.box.server)
        return next(pid for pid in outermost if agent in processes.below(pid))

    def close(self) -> None:
        for editor in self._editors:
            editor.close()

    def result(self, workload: str, peer: str, samples: list[float], unit: str = "ms") -> Result:
        return Result(workload, self.link, peer, unit, tuple(samples))


@contextlib.contextmanager
def scene(link: Link, terms: Terms) -> Iterator[Scene]:
    """From entering to leaving; nothing is left of it."""
    with remote(link.line) as box, box.master() as ssh:
        made = Scene(box, link, ssh, terms)
        hub = 0
        try:
            made.project("keeper", lambda root: None)
            hub = made.hub()
            yield made
        finally:
            with contextlib.suppress(Exception):  # where all were told to end at once
                made.close()
            if hub:
                processes.end(hub)


def finished(job: str) -> Callable[[dict[str, Any]], bool]:
    """What tells the notifications of one job from others'."""
    return lambda params: bool(params["job"] == job)
