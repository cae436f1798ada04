"""`sidecar run` and what belongs to it, against real machines: as if it ran here."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sidecar import api
from sidecar.cli import run
from tests.hub.laptop import COMMAND, PATIENCE, Laptop
from tests.servers.box import Box


def test_a_script_runs_there_with_its_output_apart_and_its_exit_status(
    connected: Laptop, box: Box
) -> None:
    connected.write("helper.py", "WORD = 'there'\n")
    connected.write(
        "main.py",
        "import os, sys\n"
        "from helper import WORD\n"
        "print(WORD, sys.argv[1:], os.getcwd())\n"
        "print('oops', file=sys.stderr)\n"
        "sys.exit(7)\n",
    )
    done = connected.sidecar("run", "main.py", "a b", "--flag")
    assert done.returncode == 7, done
    assert done.stdout == f"there ['a b', '--flag'] {box.home}/model\n"
    assert done.stderr == "oops\n"


def test_what_was_written_a_moment_ago_is_what_runs(nearby: Laptop) -> None:
    for number in range(5):
        nearby.write("main.py", f"print({number})\n")
        assert nearby.sidecar("run", "main.py").stdout == f"{number}\n"


def test_bytes_go_both_ways_unchanged(nearby: Laptop) -> None:
    nearby.write(
        "cat.py",
        "import sys\ndata = sys.stdin.buffer.read()\nsys.stdout.buffer.write(data)\n",
    )
    data = bytes(range(256)) * 2000
    done = subprocess.run(
        [*COMMAND, "run", "cat.py"], input=data, capture_output=True, cwd=nearby.project, check=True
    )
    assert done.stdout == data


def test_much_output_arrives_whole(nearby: Laptop) -> None:
    nearby.write("much.py", "for n in range(200_000):\n    print('line', n)\n")
    lines = nearby.sidecar("run", "much.py").stdout.splitlines()
    assert len(lines) == 200_000
    assert lines[-1] == "line 199999"


def test_a_module_and_a_program_run_too(nearby: Laptop) -> None:
    nearby.write("pkg/__init__.py", "")
    nearby.write("pkg/__main__.py", "print('module')\n")
    assert nearby.sidecar("run", "-m", "pkg").stdout == "module\n"
    done = nearby.sidecar("run", "-e", "X=1", "sh", "-c", "echo $X; exit 3")
    assert (done.stdout, done.returncode) == ("1\n", 3)


def test_a_script_in_a_folder_below_runs_in_that_folder(nearby: Laptop, embedded: Box) -> None:
    script = nearby.write("tools/here.py", "import os, sys\nprint(os.getcwd(), sys.argv[0])\n")
    done = nearby.sidecar("run", "here.py", cwd=script.parent)
    assert done.stdout == f"{embedded.home}/model/tools here.py\n"


def test_a_signal_that_ends_the_job_is_told_as_a_shell_does(nearby: Laptop) -> None:
    nearby.write("die.py", "import os\nos.kill(os.getpid(), 9)\n")
    assert nearby.sidecar("run", "die.py").returncode == 128 + 9


def test_ctrl_c_goes_to_the_job(connected: Laptop) -> None:
    connected.write(
        "wait.py",
        "import time\n"
        "try:\n"
        "    print('begun', flush=True)\n"
        "    time.sleep(60)\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n",
    )
    running = connected.start("run", "wait.py")
    assert running.stdout is not None
    assert running.stdout.readline() == b"begun\n"
    running.send_signal(signal.SIGINT)
    assert running.stdout.read() == b"interrupted\n"
    assert running.wait(PATIENCE) == 0


def test_a_killed_command_leaves_the_job_which_can_be_found_and_stopped(nearby: Laptop) -> None:
    nearby.write("wait.py", "import time\nprint('begun', flush=True)\ntime.sleep(60)\n")
    running = nearby.start("run", "wait.py")
    assert running.stdout is not None
    running.stdout.readline()
    running.kill()
    running.wait()
    (job,) = json.loads(nearby.sidecar("jobs", "--json").stdout)
    assert job["state"] == "running"
    assert nearby.sidecar("stop", job["id"][:12]).returncode == 0
    (job,) = json.loads(nearby.sidecar("jobs", "--json").stdout)
    assert (job["state"], job["exit_status"], job["signal"]) == ("exited", -1, "INT")
    assert job["id"] in nearby.sidecar("jobs").stdout


def test_a_detached_job_is_attached_to_later(nearby: Laptop) -> None:
    nearby.write("say.py", "print(input())\nraise SystemExit(4)\n")
    started = nearby.sidecar("run", "-d", "say.py")
    assert started.returncode == 0, started.stderr
    job = started.stdout.strip()
    done = nearby.sidecar("attach", job, stdin=b"hello\n")
    assert done.returncode in (4, 1), done
    logs = nearby.sidecar("logs", job)
    assert logs.returncode == 0


def test_logs_show_what_a_job_said(nearby: Laptop) -> None:
    nearby.write("say.py", "print('one')\nprint('two')\n")
    nearby.sidecar("run", "say.py")
    done = nearby.sidecar("logs")
    assert (done.stdout, done.returncode) == ("one\ntwo\n", 0)
    assert nearby.sidecar("logs", "-f").stdout == "one\ntwo\n"


def test_a_job_knows_the_commit_and_the_tree_that_it_ran(nearby: Laptop) -> None:
    git = ["git", "-c", "user.name=x", "-c", "user.email=x"]
    nearby.write("main.py", "print(1)\n")
    for arguments in (["init", "-q"], ["add", "main.py"], ["commit", "-qm", "x"]):
        subprocess.run([*git, *arguments], cwd=nearby.project, check=True)
    nearby.sidecar("run", "main.py")
    (job,) = json.loads(nearby.sidecar("jobs", "--json").stdout)
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=nearby.project, capture_output=True, text=True, check=True
    )
    assert job["commit"] == head.stdout.strip()
    assert job["tree"]
    assert job["command"].endswith("main.py")


def test_own_failures_exit_125(nearby: Laptop, tmp_path: Path) -> None:
    missing = nearby.sidecar("run", "no-such-program-anywhere")
    assert missing.returncode == 125
    assert "Traceback" not in missing.stderr
    outside = nearby.sidecar("run", str(tmp_path / "x.py"))
    assert outside.returncode == 125
    assert "not in the project" in outside.stderr
    assert nearby.sidecar("attach", "nothing").returncode == 125
    assert nearby.sidecar("run", "x.py", cwd=tmp_path).returncode == 125


def test_a_run_is_refused_where_a_remote_edit_would_run_instead(
    nearby: Laptop, embedded: Box
) -> None:
    nearby.write("main.py", "print('mine')\n")
    nearby.sidecar("sync")
    (embedded.home / "model/main.py").write_text("print('theirs')\n")
    done = nearby.sidecar("run", "main.py")
    assert done.returncode == 125
    assert "main.py" in done.stderr
    assert nearby.sidecar("run", "--as-is", "main.py").stdout == "theirs\n"


def test_a_reader_that_goes_ends_the_job(nearby: Laptop) -> None:
    nearby.write("much.py", "while True:\n    print('y' * 1000)\n")
    running = subprocess.Popen(
        [*COMMAND, "run", "much.py"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        cwd=nearby.project,
    )
    with running:
        assert running.stdout is not None
        assert os.read(running.stdout.fileno(), 100).startswith(b"yyy")
        running.stdout.close()
        assert running.wait(PATIENCE) == 141
    (job,) = json.loads(nearby.sidecar("jobs", "--json").stdout)
    assert job["state"] == "exited"


def test_a_cut_in_the_middle_of_a_run_loses_and_repeats_nothing(
    connected: Laptop, box: Box
) -> None:
    connected.write(
        "count.py",
        "import sys\nfor n in range(5):\n    print(n, flush=True)\n    sys.stdin.readline()\n",
    )
    running = connected.start("run", "count.py")
    assert running.stdout is not None
    assert running.stdin is not None
    for number in range(5):
        assert running.stdout.readline() == b"%d\n" % number
        if number == 2:
            box.cut()
        running.stdin.write(b"\n")
        running.stdin.flush()
    assert running.stdout.read() == b""
    assert running.wait(PATIENCE) == 0


def test_a_killed_hub_is_said_and_the_job_lives_on(nearby: Laptop) -> None:
    nearby.write("wait.py", "import time\nprint('begun', flush=True)\ntime.sleep(60)\n")
    running = nearby.start("run", "wait.py")
    assert running.stdout is not None
    assert running.stderr is not None
    running.stdout.readline()
    os.kill(nearby.hub_pid(), signal.SIGKILL)
    assert running.wait(PATIENCE) == 125
    assert b"The sidecar hub has gone" in running.stderr.read()
    assert nearby.sidecar("stop").returncode == 0


@pytest.mark.parametrize("target", ["main.py", "-m"])
def test_a_run_without_a_project_names_what_to_do(laptop: Laptop, target: str) -> None:
    done = laptop.sidecar("run", target, *(["pkg"] if target == "-m" else []))
    assert done.returncode == 125
    assert "sidecar init" in done.stderr


def test_programs_of_the_configured_environment_come_first(nearby: Laptop, embedded: Box) -> None:
    programs = embedded.home / "env/bin"
    programs.mkdir(parents=True)
    (programs / "python").write_text(f'#!/bin/sh\nexec "{os.path.realpath(sys.executable)}" "$@"\n')
    (programs / "hello").write_text("#!/bin/sh\necho hello from there\n")
    for program in programs.iterdir():
        program.chmod(0o755)
    nearby.configure('[hosts.box]\npath = "~/model"\npython = "~/env/bin/python"\n')
    assert nearby.sidecar("run", "hello").stdout == "hello from there\n"


def test_logs_of_a_job_that_runs_are_what_it_said_so_far(nearby: Laptop) -> None:
    nearby.write("main.py", "print('one', flush=True)\nprint('two', flush=True)\ninput()\n")
    running = nearby.start("run", "main.py")
    assert running.stdin is not None
    assert running.stdout is not None
    assert [running.stdout.readline(), running.stdout.readline()] == [b"one\n", b"two\n"]
    done = nearby.sidecar("logs")
    assert (done.stdout, done.stderr, done.returncode) == ("one\ntwo\n", "", 0)
    running.stdin.close()
    assert running.wait(PATIENCE) == 1


def test_a_run_goes_on_when_the_configuration_changes_under_it(nearby: Laptop) -> None:
    nearby.write("main.py", "print('begun', flush=True)\nprint('got', input(), flush=True)\n")
    running = nearby.start("run", "main.py")
    assert running.stdin is not None
    assert running.stdout is not None
    assert running.stdout.readline() == b"begun\n"
    settings = nearby.project / "sidecar.local.toml"
    settings.write_text(settings.read_text() + 'log_max = "5 MB"\n')
    assert nearby.sidecar("run", "echo", "another").stdout == "another\n"
    running.stdin.write(b"this\n")
    running.stdin.flush()
    assert running.stdout.readline() == b"got this\n"
    assert running.wait(PATIENCE) == 0


def test_much_output_for_a_reader_that_stands_still_fills_nobodys_memory(nearby: Laptop) -> None:
    """64 MB, of which the reader takes none at first: the job is held, then all of it comes."""
    nearby.write(
        "main.py",
        "import hashlib, random, sys\n"
        "block = random.Random(3).randbytes(1 << 20)\n"
        "print('begun', file=sys.stderr, flush=True)\n"
        "for _ in range(64): sys.stdout.buffer.write(block)\n",
    )
    running = nearby.start("run", "main.py")
    assert running.stdout is not None
    assert running.stderr is not None
    assert running.stderr.readline() == b"begun\n"
    hub = nearby.hub_pid()
    before = _most_memory(hub)
    expected, found = hashlib.sha256(), hashlib.sha256()
    block = random.Random(3).randbytes(1 << 20)
    for _ in range(64):
        expected.update(block)
    size = 0
    while data := running.stdout.read(1 << 16):
        found.update(data)
        size += len(data)
        if size == 1 << 16:
            # Whoever asks something else meanwhile is answered, so nothing waits for this reader.
            assert nearby.sidecar("jobs").returncode == 0
    assert running.wait(PATIENCE) == 0
    assert (size, found.digest()) == (64 << 20, expected.digest())
    assert _most_memory(hub) - before < 40 << 20


def _most_memory(pid: int) -> int:
    """Bytes that the process ever had in memory at once."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


def test_an_end_that_comes_before_the_answer_is_told_behind_the_output(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A short job has ended when the hub's answer is read; all three then come in one piece."""
    hears: dict[str, Any] = {}

    class Hub:
        def on(self, method: str, _: type[api.Message], handler: Any) -> None:
            hears[method] = handler

    hub: Any = Hub()
    job = run.JobHere(hub, argparse.Namespace(host=""))
    part = {"stream": "stderr", "data": "No such file\n", "encoding": "utf-8"}
    hears["sidecar/output"](api.Output(job="j", offset=0, end=18, **part))
    hears["sidecar/exited"](api.Exited(job="j", host="box", status=1, advice="data/ exists here"))
    job.begins(api.RunResult(job="j", host="box", pid=1, interpreter="", headline=""))
    assert job.follow(stdin=False) == 1
    assert capfd.readouterr().err == "No such file\nsidecar: data/ exists here\n"
