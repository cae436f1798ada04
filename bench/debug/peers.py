"""Who takes part: ways to the same breakpoint."""

from __future__ import annotations

import io
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

from bench.debug.client import Debugger
from bench.run.scene import SIDECAR, Project, Scene
from sidecar.debug import bundle
from sidecar.debug.adapter import ENVIRONMENT

STDIO, PORT, LOCAL = "sidecar", "sidecar, its port", "debugpy, here"
"""The adapter that an editor starts; the port that a running editor asks for; debugpy's adapter
on this machine, with the compiled parts of this interpreter's environment."""

PROMPT = "sidecar, its guard alone, here"
"""What is left of a step without a line and a proxy. debugpy alone waits 40 ms in each step for
TCP's delayed acknowledgements, which our guard sends at once (guard.PromptConnection)."""

PROGRAM = "main.py"

TEXT = """\
def work(rows):
    total = 0
    for row in rows:
        total += row
    return total


print(work(range(100_000)))
"""

LINE = 3
"""Of the breakpoint; `total` is 0 there."""


def fill(root: Path) -> None:
    (root / PROGRAM).write_text(TEXT)
    for number in range(20):
        (root / f"other_{number}.py").write_text(f"NUMBER = {number}\n")


def ways(scene: Scene, project: Project) -> dict[str, Callable[[], Debugger]]:
    """By peer, what has the program stopped at its breakpoint."""
    path, environ = project.here / PROGRAM, scene.box.environ
    launch = {"program": str(path), "cwd": str(project.here), "console": "internalConsole"}

    def by_stdio() -> Debugger:
        debugger = Debugger.started([*SIDECAR, "debug", "--stdio"], environ, project.here)
        debugger.stop_at(path, LINE, "launch", launch)
        return debugger

    def by_port() -> Debugger:
        told = project.editor.request("sidecar/debug", {"target": str(path)})
        debugger = Debugger.connected(told["port"])
        debugger.stop_at(path, LINE, "attach", told["configuration"])
        return debugger

    def here() -> Debugger:
        adapter = [sys.executable, "-m", "debugpy.adapter"]
        debugger = Debugger.started(adapter, environ, project.here)
        python = {"python": [sys.executable], "redirectOutput": True}
        debugger.stop_at(path, LINE, "launch", {**launch, **python})
        return debugger

    def prompt() -> Debugger:
        folder = scene.box.folder / "debugpy"
        if not folder.exists():
            with tarfile.open(fileobj=io.BytesIO(bundle.bundle().archive)) as archive:
                archive.extractall(folder)
        adapter = [sys.executable, "-I", str(folder / bundle.GUARD)]
        more = {"python": [sys.executable], "redirectOutput": True}
        debugger = Debugger.started(adapter, {**environ, **ENVIRONMENT}, project.here)
        debugger.stop_at(path, LINE, "launch", {**launch, **more})
        return debugger

    return {STDIO: by_stdio, PORT: by_port, LOCAL: here, PROMPT: prompt}


def checked(peer: str, debugger: Debugger, path: Path) -> None:
    """Raises RuntimeError: it stopped elsewhere, or in something else."""
    frame = debugger.where()
    found = frame["source"]["path"], frame["line"], debugger.value("total", frame)
    if found != (str(path), LINE, "0"):
        raise RuntimeError(f"{peer} stopped at {found}")
