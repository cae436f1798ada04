"""Jobs that live on: what is said of them, and what a closed terminal does to them."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from sidecar.agent import machine
from tests.cli.person import TerminalSession
from tests.hub.laptop import PATIENCE, Laptop

WAITS = "import time\nprint('begun', flush=True)\ntime.sleep(300)\n"


def jobs(laptop: Laptop, *options: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(laptop.sidecar("jobs", "--json", *options).stdout)
    return found


def until_state(laptop: Laptop, state: str) -> dict[str, Any]:
    """The only job, when it is in that state."""
    end = time.monotonic() + PATIENCE
    while (found := jobs(laptop)[0])["state"] != state:
        assert time.monotonic() < end, found
    return found


@pytest.fixture
def gpus(nearby: Laptop, tmp_path: Path) -> Path:
    """NVIDIA's tool on the remote machine, with GPUs 0 and 3; what it says of processes stands in
    the file, "uuid, pid, MiB, name" a line."""
    tools = tmp_path / "tools"
    tools.mkdir()
    apps = tools / "apps"
    apps.write_text("")
    (tools / "nvidia-smi").write_text(
        f"#!/bin/sh\ncase $1 in *apps*) cat {apps};; *) printf '"
        "0, GPU-a, NVIDIA A100, 0, 5, 81920, 550.54, Disabled\\n"
        "3, GPU-d, NVIDIA A100, 0, 5, 81920, 550.54, Disabled\\n';; esac\n"
    )
    (tools / "nvidia-smi").chmod(0o755)
    path = nearby.project / "sidecar.local.toml"
    path.write_text(path.read_text() + f"via = 'env PATH={tools}:/usr/bin:/bin'\n")
    return apps


def test_the_next_session_begins_with_what_still_runs(nearby: Laptop, gpus: Path) -> None:
    nearby.write("main.py", WAITS)
    nearby.write("quick.py", "print('quick')\n")
    for _ in range(2):
        assert nearby.sidecar("run", "-d", "main.py").returncode == 0
    pids = [job["pid"] for job in jobs(nearby)]
    gpus.write_text(
        f"GPU-d, {pids[0]}, 5, python\nGPU-a, {pids[1]}, 5, python\nGPU-a, 1, 5, other\n"
    )
    person = TerminalSession(nearby, "run", "quick.py")
    person.expect("2 jobs still running on box, oldest")
    person.expect(", GPUs 0,3: see `sidecar jobs`")
    person.expect("quick")
    assert person.wait() == 0
    for _ in range(2):
        assert nearby.sidecar("stop").returncode == 0
    person = TerminalSession(nearby, "run", "quick.py")
    person.expect("quick")
    assert person.wait() == 0
    assert "still running" not in person.text


def test_who_leaves_a_job_is_told_its_process_and_gpus(nearby: Laptop, gpus: Path) -> None:
    nearby.write("main.py", WAITS)
    person = TerminalSession(nearby, "run", "main.py")
    person.expect("begun")
    (job,) = jobs(nearby)
    gpus.write_text(f"GPU-d, {job['pid']}, 5, python\n")
    person.type("~d")
    person.expect(f"job {job['id']} runs on at box (process {job['pid']}, GPU 3): `sidecar attach")
    assert person.wait() == 0
    assert nearby.sidecar("stop").returncode == 0


def test_what_a_job_leaves_behind_is_the_last_line(nearby: Laptop, gpus: Path) -> None:
    script = "setsid sleep 300 >/dev/null 2>&1 & echo $!"
    done = nearby.sidecar("run", "sh", "-c", script)
    assert done.returncode == 0
    pid = int(done.stdout)
    (job,) = jobs(nearby)
    last = done.stderr.splitlines()[-1]
    assert f"what it started lives on at box (process {pid})" in last
    assert f"`sidecar stop {job['id']}` ends that" in last
    assert (job["state"], job["left"]) == ("exited", [pid])
    assert "exited 0, 1 left" in nearby.sidecar("jobs").stdout
    assert nearby.sidecar("stop", job["id"]).returncode == 0
    assert not machine.start_time(pid)
    assert jobs(nearby)[0]["left"] == []


def test_a_closed_terminal_keeps_the_job_and_the_next_run_asks_once(nearby: Laptop) -> None:
    nearby.write("main.py", WAITS)
    nearby.write("quick.py", "print('quick')\n")
    person = TerminalSession(nearby, "run", "main.py")
    person.expect("begun")
    person.close()
    (job,) = jobs(nearby)
    assert job["state"] == "running"
    # A script is not asked.
    assert nearby.sidecar("run", "quick.py").stdout == "quick\n"
    person = TerminalSession(nearby, "run", "quick.py")
    person.expect("What shall become of jobs on box when that happens?")
    person.expect("1  Stop them")
    person.expect("2  Keep them running")
    person.expect("Choose 1-2", "1\n")
    person.expect("quick")
    assert person.wait() == 0
    assert 'on_quit = "stop"' in (nearby.project / "sidecar.local.toml").read_text()
    assert jobs(nearby)[0]["state"] == "exited"  # the quick one
    assert nearby.sidecar("stop", job["id"]).returncode == 0
    # From now on a closed terminal ends its job.
    person = TerminalSession(nearby, "run", "main.py")
    person.expect("begun")
    person.close()
    assert until_state(nearby, "exited")["signal"] == "INT"


def test_who_does_not_answer_is_not_asked_again(nearby: Laptop) -> None:
    nearby.write("main.py", WAITS)
    nearby.write("quick.py", "print('quick')\n")
    for asked in (True, False):
        person = TerminalSession(nearby, "run", "main.py")
        person.expect("begun")
        person.close()
        person = TerminalSession(nearby, "run", "quick.py")
        if asked:
            person.expect("Choose 1-2", "\x04")
        person.expect("quick")
        assert person.wait() == 0
        assert "Choose" not in person.text
        assert "on_quit" not in (nearby.project / "sidecar.local.toml").read_text()
        assert nearby.sidecar("stop").returncode == 0


def test_a_killed_command_never_ends_its_job_whatever_is_configured(nearby: Laptop) -> None:
    path = nearby.project / "sidecar.local.toml"
    path.write_text(path.read_text() + 'on_quit = "stop"\n')
    nearby.write("main.py", WAITS)
    person = TerminalSession(nearby, "run", "main.py")
    person.expect("begun")
    os.kill(person.process.pid, signal.SIGKILL)
    person.wait()
    assert jobs(nearby)[0]["state"] == "running"
    assert nearby.sidecar("stop").returncode == 0


def test_jobs_of_another_laptop_are_shown_and_stopped_only_on_demand(
    nearby: Laptop, tmp_path: Path
) -> None:
    nearby.write("main.py", WAITS)
    theirs = {"SIDECAR_STATE_DIR": str(tmp_path / "theirs")}
    started = nearby.sidecar("run", "-d", "main.py", env=theirs)
    assert started.returncode == 0, started.stderr
    job = started.stdout.strip()
    assert jobs(nearby) == []
    assert nearby.sidecar("stop").returncode == 1
    refused = nearby.sidecar("stop", job)
    assert refused.returncode == 1
    assert "was started by" in refused.stderr
    assert "--all" in refused.stderr
    (listed,) = jobs(nearby, "--all")
    assert (listed["id"], listed["state"], listed["mine"]) == (job, "running", False)
    assert listed["owner"] in nearby.sidecar("jobs", "--all").stdout
    assert "begun" in nearby.sidecar("logs", job).stdout
    assert nearby.sidecar("stop", "--all", job).returncode == 0
    assert jobs(nearby, "--all")[0]["state"] == "exited"
