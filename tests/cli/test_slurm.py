"""`launch` with a real srun: what stands between us and the program must not show."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.person import TerminalSession
from tests.hub.laptop import PATIENCE, Laptop
from tests.servers.slurm import Cluster

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("slurm"))
    yield cluster
    cluster.close()


@pytest.fixture
def user(nearby: Laptop, cluster: Cluster) -> Laptop:
    """Whose jobs go behind srun."""
    _configure(nearby, cluster, 'launch = "srun --job-name=ours"')
    return nearby


def _configure(laptop: Laptop, cluster: Cluster, *lines: str) -> None:
    laptop.configure(
        '[hosts.box]\nssh = "box"\npath = "~/model"\ntransport = "asyncssh"\n'
        f'env = {{ SLURM_CONF = "{cluster.conf}" }}\n' + "\n".join(lines) + "\n"
    )


def test_output_input_and_exit_status_are_the_programs(user: Laptop) -> None:
    user.write(
        "main.py",
        "import os, sys\n"
        "print(os.environ['SLURMD_NODENAME'], os.getcwd().endswith('model'), sys.argv[1:])\n"
        "print('oops', file=sys.stderr)\n"
        "print(len(sys.stdin.buffer.read()))\n"
        "sys.exit(int(sys.argv[1]))\n",
    )
    for status in (0, 1, 2, 255):
        done = user.sidecar("run", "main.py", str(status), "a b", stdin=bytes(range(256)) * 400)
        assert done.stdout == f"n1 True ['{status}', 'a b']\n102400\n"
        assert "oops\n" in done.stderr
        assert done.returncode == status


def test_a_program_that_a_signal_killed_is_told_as_srun_tells_it(user: Laptop) -> None:
    user.write("die.py", "import os\nos.kill(os.getpid(), 9)\n")
    assert user.sidecar("run", "die.py").returncode == 128 + 9


def test_on_a_terminal_the_program_has_one(user: Laptop) -> None:
    user.write(
        "main.py",
        "import os, sys\n"
        "print(sys.stdin.isatty(), sys.stdout.isatty(), os.environ['SLURMD_NODENAME'])\n"
        "name = input('your name? ')\n"
        "try:\n"
        "    input('interrupt me')\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted', name)\n"
        "sys.exit(3)\n",
    )
    person = TerminalSession(user, "run", "main.py")
    person.expect("True True n1")
    person.expect("your name? ", "Ada\r")
    person.expect("interrupt me", "\x03")
    person.expect("interrupted Ada")
    assert person.wait() == 3


def test_stop_ends_the_program_and_its_allocation(user: Laptop, cluster: Cluster) -> None:
    user.write("wait.py", "import time\nprint('begun', flush=True)\ntime.sleep(600)\n")
    running = user.start("run", "wait.py")
    assert running.stdout is not None
    assert running.stdout.readline() == b"begun\n"
    assert cluster.ask("squeue", "-h", "-o", "%j %t") == "ours R"
    assert user.sidecar("stop").returncode == 0
    assert running.wait(PATIENCE) != 0
    (job,) = json.loads(user.sidecar("jobs", "--json").stdout)
    assert job["state"] == "exited"
    cluster.until_idle()


@pytest.mark.parametrize("name", ["SIGINT", "SIGUSR1"])
def test_a_signal_reaches_the_program_behind_srun(
    user: Laptop, cluster: Cluster, name: str
) -> None:
    user.write(
        "wait.py",
        "import signal, sys, time\n"
        "def told(number, frame):\n"
        "    print(signal.Signals(number).name, flush=True)\n"
        "    sys.exit(5)\n"
        f"signal.signal(signal.{name}, told)\n"
        "print('begun', flush=True)\n"
        "time.sleep(600)\n",
    )
    running = user.start("run", "wait.py")
    assert running.stdout is not None
    assert running.stdout.readline() == b"begun\n"
    assert user.sidecar("stop", "--signal", name).returncode == 0
    assert running.stdout.readline() == f"{name}\n".encode()
    assert running.wait(PATIENCE) == 5
    cluster.until_idle()


def test_a_job_behind_srun_outlives_who_started_it(user: Laptop) -> None:
    user.write("say.py", "print(input())\nraise SystemExit(4)\n")
    started = user.sidecar("run", "-d", "say.py")
    assert started.returncode == 0, started.stderr
    done = user.sidecar("attach", started.stdout.strip(), stdin=b"hello\n")
    assert (done.returncode, done.stdout) == (4, "hello\n")


def test_a_login_node_runs_nothing_before_it_is_said_how(
    nearby: Laptop, cluster: Cluster, tmp_path: Path
) -> None:
    programs = tmp_path / "slurm"
    programs.mkdir()
    (programs / "sbatch").write_text("#!/bin/sh\n")
    (programs / "sbatch").chmod(0o755)
    setup = f'setup = "export PATH={programs}:$PATH; unset SLURM_JOB_ID"'
    nearby.write("main.py", "import os\nprint(os.environ.get('SLURM_JOB_ID', 'here'))\n")
    _configure(nearby, cluster, setup)
    refused = nearby.sidecar("run", "main.py")
    assert refused.returncode == 125
    assert f"{programs}/sbatch" in refused.stderr
    assert 'launch = "srun"' in refused.stderr
    assert 'launch = ""' in refused.stderr
    debugged = nearby.sidecar("debug", "main.py")
    assert (debugged.returncode, "login node" in debugged.stderr) == (125, True)
    _configure(nearby, cluster, setup, 'launch = ""')
    assert nearby.sidecar("run", "main.py").stdout == "here\n"
    _configure(nearby, cluster, setup, 'launch = "srun"')
    assert nearby.sidecar("run", "main.py").stdout.strip().isdigit()
    inside = f'setup = "export PATH={programs}:$PATH SLURM_JOB_ID=7"'
    _configure(nearby, cluster, inside)
    assert nearby.sidecar("run", "main.py").stdout == "7\n"
    assert os.environ.get("SLURM_CONF") is None
