"""Save → first output: how soon a run of what was just saved says something, beside `ssh HOST
python` over a ControlMaster in the same run."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from bench.figures import Figure, spread
from bench.line import Line
from bench.remote import HOST, remote
from sidecar.demo.editor import Editor


def measure(line: Line | None, name: str, rounds: int = 20) -> list[Figure]:
    """A one-line program, saved and run right behind the save; an interpreter's start is in it."""
    with remote(line) as box:
        project, _ = box.project("project")
        path = project / "hello.py"
        path.write_text("print(0)\n")
        editor = Editor(project, box.environ)
        ours = []
        try:
            editor.open()
            editor.wait_for("sidecar/didChangeStatus", lambda health: health["state"] == "ready")
            for number in range(1, rounds + 1):
                path.write_text(f"print({number})\n")
                began = time.perf_counter()
                editor.save(path)
                job = editor.request("sidecar/run", {"target": str(path)})["job"]
                output = editor.wait_for("sidecar/output", _of(job))
                ours.append((time.perf_counter() - began) * 1000)
                if output["data"].strip() != str(number):
                    raise RuntimeError(f"stale code ran: {output['data']!r}, not {number}")
                editor.wait_for("sidecar/exited", _of(job))
        finally:
            editor.close()
        with box.master() as ssh:
            command = [*ssh.split(), HOST, sys.executable, "project/hello.py"]
            theirs = []
            for _ in range(rounds):
                began = time.perf_counter()
                subprocess.run(command, env=box.environ, check=True, capture_output=True)
                theirs.append((time.perf_counter() - began) * 1000)
    return [
        spread(f"save → first output, {name}: sidecar", ours, "ms"),
        spread(f"run alone, {name}: ssh over a ControlMaster", theirs, "ms"),
    ]


def _of(job: str) -> Callable[[dict[str, Any]], bool]:
    return lambda params: bool(params["job"] == job)
