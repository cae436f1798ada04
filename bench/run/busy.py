"""Saves and keys beside a job that prints as fast as it can, and is read: how much they wait."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator

from bench.results import Result
from bench.run import echo
from bench.run.scene import SHELL, Project, Scene
from bench.sync import trees
from bench.sync.scene import arrival, looks, seeded

SAVE, KEY = "a save", "a key"
IDLE, PRINTING = "{}, idle line", "{}, while a job prints at full rate"

PROGRAM = "printer.py"
PRINTS = """
import os
end = __file__.replace("printer.py", "printer.end")
block = (b"x" * 99 + b"\\n") * 655
while not os.path.exists(end):
    for _ in range(100):
        os.write(1, block)
"""

PAUSE = 0.1


def busy(scene: Scene) -> list[Result]:
    project = scene.project("busy", lambda root: trees.modules(root, 100, 12_000))
    echo.fill(project.here)
    (project.here / PROGRAM).write_text(PRINTS)
    choice = seeded(SAVE)
    count = 20 if scene.quick else 40

    def saves() -> list[float]:
        path, there = project.here / trees.SAVED, project.there / trees.SAVED
        samples = []
        for _ in range(count):
            before = looks(there)
            trees.save(path, choice)
            began = time.perf_counter()
            project.editor.save(path)
            samples.append(arrival(path, there, before, began, SHELL))
            time.sleep(PAUSE)
        return samples

    with contextlib.ExitStack() as stack:
        press = {SHELL: echo.in_terminal(scene, project, stack)}

        def keys() -> list[float]:
            return echo.typed(press, max(1, count // echo.KEYS))[SHELL]

        saves()
        results = [
            scene.result(IDLE.format(SAVE), SHELL, saves()),
            scene.result(IDLE.format(KEY), SHELL, keys()),
        ]
        with _printing(scene, project):
            results += [
                scene.result(PRINTING.format(SAVE), SHELL, saves()),
                scene.result(PRINTING.format(KEY), SHELL, keys()),
            ]
    return results


@contextlib.contextmanager
def _printing(scene: Scene, project: Project) -> Iterator[None]:
    """A job that prints until it is told to end, read from a shell."""
    shell = scene.command(project, "run", PROGRAM, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert shell.stdout is not None
    os.read(shell.stdout.fileno(), 1)
    drain = subprocess.Popen(["cat"], stdin=shell.stdout, stdout=subprocess.DEVNULL)
    try:
        yield
        if shell.poll() is not None:
            raise RuntimeError("the job ended before the measurement did")
    finally:
        (project.there / PROGRAM).with_suffix(".end").touch()
        shell.kill()
        shell.wait()
        drain.wait()
