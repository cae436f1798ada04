"""Runs of what cannot run, and programs that do not behave: a clear word, and the exit status that
a local run would have."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.hub.laptop import Laptop
from tests.servers.box import Box


@pytest.fixture
def chosen(nearby: Laptop) -> Laptop:
    """Its interpreter is no question."""
    with (nearby.project / "sidecar.local.toml").open("a") as settings:
        settings.write(f'python = "{sys.executable}"\n')
    return nearby


def test_a_module_that_the_interpreter_lacks(chosen: Laptop) -> None:
    done = chosen.sidecar("run", "-m", "nosuchmodule")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"{sys.executable}: No module named nosuchmodule\n")
    chosen.write("imports.py", "import nosuchmodule\n")
    done = chosen.sidecar("run", "imports.py")
    assert (done.returncode, done.stdout) == (1, "")
    assert "\nModuleNotFoundError: No module named 'nosuchmodule'\n" in done.stderr


def test_a_syntax_error(chosen: Laptop) -> None:
    chosen.write("broken.py", "def f(:\n    pass\n")
    done = chosen.sidecar("run", "broken.py")
    assert (done.returncode, done.stdout) == (1, "")
    assert 'broken.py", line 1' in done.stderr
    assert "SyntaxError" in done.stderr


@pytest.mark.parametrize("spelled", ["absolute", "relative"])
def test_a_script_outside_the_project(chosen: Laptop, tmp_path: Path, spelled: str) -> None:
    script = tmp_path / "outside.py"
    script.write_text("print('never')\n")
    name = str(script) if spelled == "absolute" else os.path.relpath(script, chosen.project)
    done = chosen.sidecar("run", name)
    assert (done.returncode, done.stdout) == (125, "")
    assert f"{name} is not in the project" in done.stderr
    assert "Name a file of the project" in done.stderr


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("missing.py", "missing.py is no file here"),
        ("nosuchprogram", "No program nosuchprogram on PATH there"),
        ("./data.txt", "./data.txt may not be executed"),
        ("folder", "No program folder on PATH there"),
        ("./folder", "./folder is a folder there"),
        ("", "The run names no program"),
    ],
)
def test_a_target_that_is_nothing_to_run(chosen: Laptop, target: str, said: str) -> None:
    chosen.write("data.txt", "1\n")
    chosen.write("folder/a.py", "")
    done = chosen.sidecar("run", target)
    assert (done.returncode, done.stdout) == (125, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_an_interpreter_that_is_none(nearby: Laptop, embedded: Box) -> None:
    interpreter = embedded.home / "python"
    interpreter.write_text("#!/nowhere/python\n")
    interpreter.chmod(0o755)
    with (nearby.project / "sidecar.local.toml").open("a") as settings:
        settings.write('python = "~/python"\n')
    nearby.write("main.py", "print(1)\n")
    done = nearby.sidecar("run", "main.py")
    assert (done.returncode, done.stdout) == (125, "")
    assert f"{embedded.home}/python" in done.stderr
    assert "Traceback" not in done.stderr


DAEMON = """
import os
print("begun", flush=True)
stands, stand = os.pipe()
if os.fork():
    os.close(stand)
    os.read(stands, 1)
    os._exit(3)
os.setsid()
if os.fork():
    os._exit(0)
with open("daemon.pid", "w") as file:
    file.write(str(os.getpid()))
os.close(stand)
nothing = os.open(os.devnull, os.O_RDWR)
for number in range(3):
    os.dup2(nothing, number)
import signal
signal.pause()
"""


def test_a_job_that_becomes_a_daemon_ends_with_its_first_process(
    chosen: Laptop, embedded: Box
) -> None:
    """As in a shell; the daemon lives on."""
    chosen.write("daemon.py", DAEMON)
    done = chosen.sidecar("run", "daemon.py")
    try:
        assert (done.returncode, done.stdout) == (3, "begun\n")
    finally:
        pid = int((embedded.home / "model/daemon.pid").read_text())
        os.kill(pid, signal.SIGKILL)
