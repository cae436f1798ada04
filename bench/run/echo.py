"""One key's way through a terminal: to the program there, and back to the screen here."""

from __future__ import annotations

import contextlib
import itertools
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench.results import Result
from bench.run.scene import EDITOR, SHELL, SIDECAR, SSH, Project, Scene, finished
from bench.run.terminals import Terminal

ECHO = "key → its echo in a terminal"

PROGRAM = "echo.py"
ECHOES = """
import os, tty
tty.setraw(0)
os.write(1, b"ready")
while True:
    key = os.read(0, 1)
    if key in (b"", b"."):
        break
    os.write(1, key)
"""
END = "."

KEYS = 20
"""In each round, by each peer."""

PAUSE = 0.05
"""Seconds between two keys, on average: as by somebody who types fast."""


def fill(root: Path) -> None:
    (root / PROGRAM).write_text(ECHOES)


def echo(scene: Scene) -> list[Result]:
    project = scene.project("echo", fill)
    with contextlib.ExitStack() as stack:
        peers = {
            EDITOR: in_editor(project, stack),
            SHELL: in_terminal(scene, project, stack),
            SSH: over_ssh(scene, project, stack),
        }
        samples = typed(peers, scene.rounds)
    return [scene.result(ECHO, peer, found) for peer, found in samples.items()]


Press = Callable[[str], float]


def typed(peers: dict[str, Press], rounds: int) -> dict[str, list[float]]:
    samples: dict[str, list[float]] = {peer: [] for peer in peers}
    keys = itertools.cycle("abcdefghijklmnopqrstuvwxyz")
    pauses = random.Random(1)
    for number in range(-1, rounds):
        for peer, press in peers.items():
            for _ in range(KEYS):
                time.sleep(pauses.uniform(0, 2 * PAUSE))
                took = press(next(keys))
                if number >= 0:
                    samples[peer].append(took)
    return samples


def in_terminal(scene: Scene, project: Project, stack: contextlib.ExitStack) -> Press:
    return _terminal([*SIDECAR, "run", PROGRAM], scene, project, stack)


def over_ssh(scene: Scene, project: Project, stack: contextlib.ExitStack) -> Press:
    command = [
        scene.ssh[0],
        "-tt",
        *scene.ssh[1:],
        sys.executable,
        f"{project.here.name}/{PROGRAM}",
    ]
    return _terminal(command, scene, project, stack)


def _terminal(
    command: list[str], scene: Scene, project: Project, stack: contextlib.ExitStack
) -> Press:
    terminal = Terminal(command, scene.box.environ, project.here)
    stack.callback(terminal.close, END.encode())
    terminal.wait_for(b"ready")
    return lambda key: terminal.press(key.encode())


def in_editor(project: Project, stack: contextlib.ExitStack) -> Press:
    """As an editor's own terminal shows a job that has one."""
    editor = project.editor
    path = str(project.here / PROGRAM)
    job = editor.request("sidecar/run", {"target": path, "terminal": True})["job"]
    where = {"project": str(project.here), "job": job}
    editor.wait_for("sidecar/output", finished(job))

    def press(key: str) -> float:
        began = time.perf_counter()
        editor.request("sidecar/input", {**where, "data": key})
        shown = editor.wait_for("sidecar/output", finished(job))
        took = (time.perf_counter() - began) * 1000
        if shown["data"] != key:
            raise RuntimeError(f"{shown['data']!r} came for the key {key!r}")
        return took

    stack.callback(lambda: editor.wait_for("sidecar/exited", finished(job)))
    stack.callback(lambda: editor.request("sidecar/input", {**where, "data": END}))
    return press
