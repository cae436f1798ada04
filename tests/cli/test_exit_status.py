"""A run's exit status is what a shell here would tell of the same program."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.person import TerminalSession
from tests.hub.laptop import Laptop
from tests.lsp.conftest import editor
from tests.lsp.editor import Editor

__all__ = ["editor"]

ENDS = {
    "ok": "pass",
    "one": "raise SystemExit(1)",
    "two": "import sys; sys.exit(2)",
    "255": "raise SystemExit(255)",
    "killed by 2": "import os; os.kill(os.getpid(), 2); import time; time.sleep(9)",
    "dies of 2": "import os, signal; signal.signal(2, signal.SIG_DFL); os.kill(os.getpid(), 2)",
    "killed by 9": "import os; os.kill(os.getpid(), 9)",
    "killed by 11": "import os; os.kill(os.getpid(), 11)",
    "killed by 15": "import os; os.kill(os.getpid(), 15)",
    "_exit": "import os; os._exit(77)",
    "text": "import sys; sys.exit('text')",
    "exception": "1 / 0",
    "segfault": "import ctypes; ctypes.string_at(0)",
    "abort": "import os; os.abort()",
}


def in_a_shell(path: Path) -> int:
    """What `$?` is here."""
    script = f'"{sys.executable}" "{path}" 2>/dev/null; echo $?'
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    return int(done.stdout.split()[-1])


def listed(laptop: Laptop) -> dict[str, dict[str, Any]]:
    jobs: list[dict[str, Any]] = json.loads(laptop.sidecar("jobs", "--json").stdout)
    return {job["id"]: job for job in jobs}


def as_a_shell_has_it(status: int, signal: str) -> int:
    numbers = {"INT": 2, "ABRT": 6, "KILL": 9, "SEGV": 11, "TERM": 15}
    return 128 + numbers[signal] if signal else status


def scripts(laptop: Laptop) -> dict[str, Path]:
    return {
        what: laptop.write(f"end_{number}.py", text + "\n")
        for number, (what, text) in enumerate(ENDS.items())
    }


async def test_a_command_exits_as_a_program_here(nearby: Laptop, editor: Editor) -> None:
    paths = scripts(nearby)
    await editor.start()  # which keeps the connection up between the runs
    await editor.ready()
    for what, path in paths.items():
        done = await asyncio.to_thread(nearby.sidecar, "run", path.name)
        expected = await asyncio.to_thread(in_a_shell, path)
        assert done.returncode == expected, (what, done.stderr)


async def test_an_editor_and_the_list_tell_it_as_well(nearby: Laptop, editor: Editor) -> None:
    paths = scripts(nearby)
    await editor.start()
    expected, jobs = {}, {}
    for what, path in paths.items():
        started = await editor.request("sidecar/run", target=str(path))
        jobs[started.job] = what
    for job, what in jobs.items():
        expected[what] = await asyncio.to_thread(in_a_shell, paths[what])
        end = await editor.wait("sidecar/exited", lambda one, job=job: one.job == job)
        assert as_a_shell_has_it(end.status, end.signal) == expected[what], (what, end)
    found = await asyncio.to_thread(listed, nearby)
    for job, what in jobs.items():
        one = found[job]
        told = as_a_shell_has_it(one["exit_status"], one["signal"])
        assert (one["state"], told) == ("exited", expected[what]), (what, one)


@pytest.mark.parametrize("what", ["two", "killed by 2", "killed by 15", "text", "segfault"])
def test_on_a_terminal_it_is_the_same(nearby: Laptop, what: str) -> None:
    path = nearby.write("end.py", ENDS[what] + "\n")
    person = TerminalSession(nearby, "run", "end.py")
    assert person.wait() == in_a_shell(path)
