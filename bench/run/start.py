"""Save → first output: how soon a run of what was just written says something.

Beside it: the file brought over by rsync and run by ssh, both over a ControlMaster; the same with
rsync going through the whole project, which is what a run of ours makes sure of; and the
interpreter's own start, by a process that stands on that machine already.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench.remote import HOST
from bench.results import Result
from bench.run.scene import EDITOR, SHELL, SIDECAR, Project, Scene, finished
from bench.sync import trees

SMALL, LARGE = 20, 20_000
"""Files of the two projects."""

FILE, WHOLE = "rsync of the file, ssh", "rsync of the project, ssh"
INTERPRETER = "the program alone, there"
COMMAND = "sidecar --version"
"""What a command pays before it does anything: a Python of its own."""

PROGRAM = "hello.py"


def workload(files: int) -> str:
    return f"save → first output, {files:,} files"


def start(scene: Scene) -> list[Result]:
    return [*_start(scene, SMALL, scene.rounds * 2), *_start(scene, LARGE, scene.rounds)]


def _start(scene: Scene, files: int, rounds: int) -> list[Result]:
    def fill(root: Path) -> None:
        trees.many(root, files - 1)
        (root / PROGRAM).write_text("print(0)\n")

    project = scene.project(f"start-{files}", fill)
    environ, mux = scene.box.environ, scene.mux
    path, place = project.here / PROGRAM, f"{HOST}:theirs-{files}"
    run = [*scene.ssh, sys.executable, f"theirs-{files}/{PROGRAM}"]
    whole = ["rsync", "-a", "--delete", "-e", mux, f"{project.here}/", f"{place}/"]
    subprocess.run(whole, env=environ, check=True)

    def by_editor() -> bytes:
        project.editor.save(path)
        job = project.editor.request("sidecar/run", {"target": str(path)})["job"]
        said = project.editor.wait_for("sidecar/output", finished(job))["data"]
        return str(said).encode()

    def by_shell() -> bytes:
        return _first([*SIDECAR, "run", str(path)], environ, project.here)

    def by_rsync(command: list[str]) -> bytes:
        subprocess.run(command, env=environ, check=True)
        return _first(run, environ, project.here)

    def command() -> bytes:
        _first([*SIDECAR, "--version"], environ, project.here)
        return str(saved).encode()

    def there() -> bytes:
        return _first([sys.executable, str(project.there / PROGRAM)], environ, project.there)

    peers: dict[str, Callable[[], bytes]] = {
        EDITOR: by_editor,
        SHELL: by_shell,
        FILE: lambda: by_rsync(["rsync", "-a", "-e", mux, str(path), f"{place}/"]),
        WHOLE: lambda: by_rsync(whole),
        COMMAND: command,
        INTERPRETER: there,
    }
    samples: dict[str, list[float]] = {peer: [] for peer in peers}
    saved = 0
    for number in range(-1, rounds):
        for peer, first in peers.items():
            if peer not in (COMMAND, INTERPRETER):
                saved += 1
                path.write_text(f"print({saved})\n" + "#" * (saved % 7) + "\n")
            elif peer == INTERPRETER:
                _until_there(project)
            began = time.perf_counter()
            said = first()
            took = (time.perf_counter() - began) * 1000
            if said.strip() != str(saved).encode():
                raise RuntimeError(f"{peer}: {said!r} came, not {saved}: stale code ran")
            if number >= 0:
                samples[peer].append(took)
            time.sleep(0.1)
    return [scene.result(workload(files), peer, found) for peer, found in samples.items()]


def _first(command: list[str], environ: dict[str, str], cwd: Path) -> bytes:
    """The first output; the rest, and the end, are waited for in the next round's pause."""
    process = subprocess.Popen(
        command, env=environ, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    said = os.read(process.stdout.fileno(), 1 << 12)
    _reap(process)
    return said


def _reap(process: subprocess.Popen[bytes]) -> None:
    _ending.append(process)
    while len(_ending) > 1:
        early = _ending.pop(0)
        early.communicate()


_ending: list[subprocess.Popen[bytes]] = []


def _until_there(project: Project) -> None:
    """What the rsync peers wrote goes to our copy, too."""
    project.editor.request("sidecar/sync", {"project": str(project.here)})
