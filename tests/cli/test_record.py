"""What a job's record says, and running it again, as a person at a shell does it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.hub.laptop import Laptop
from tests.servers.box import Box
from tests.whole.waiting import eventually


@pytest.fixture
def committed(nearby: Laptop) -> Laptop:
    """A project with one commit; the hub stays between two commands."""
    nearby.write(".gitignore", "*.secret\n/sidecar.local.toml\n")
    nearby.write("main.py", "import os, lib\nprint(lib.VALUE, os.environ.get('LR'))\n")
    nearby.write("lib.py", "VALUE = 1\n")
    git(nearby, "init", "-q")
    git(nearby, "add", ".")
    git(nearby, "commit", "-q", "-m", "first")
    nearby.serve()
    return nearby


def git(laptop: Laptop, *arguments: str) -> str:
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
    done = subprocess.run(
        ["git", *who, *arguments], cwd=laptop.project, capture_output=True, check=True
    )
    return done.stdout.decode().strip()


def told(laptop: Laptop, *arguments: str) -> str:
    done = laptop.sidecar(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def newest(laptop: Laptop) -> Any:
    return json.loads(told(laptop, "jobs", "--json"))[0]


def details(laptop: Laptop, job: str) -> Any:
    return json.loads(told(laptop, "jobs", job, "--json"))


def test_which_code_made_this_has_an_answer(committed: Laptop, tmp_path: Path) -> None:
    committed.write("lib.py", "VALUE = 2\n")
    committed.write("new.py", "NEW = 'naïve'\n")
    committed.write("token.secret", "hidden\n")
    assert told(committed, "run", "-e", "LR=value-of-lr", "main.py") == "2 value-of-lr\n"
    job = newest(committed)
    assert job["commit"] == git(committed, "rev-parse", "HEAD")
    assert job["dirty"] == 2
    assert len(job["tree"]) == 40
    eventually(lambda: bool(details(committed, job["id"])["diff"]), "the difference")
    eventually(lambda: bool(details(committed, job["id"])["packages"]), "the packages")
    found = details(committed, job["id"])
    assert found["variables"] == ["LR"]
    assert "pip" in found["packages"] or found["packages"]
    assert "value-of-lr" not in json.dumps(found)
    assert "hidden" not in found["diff"]
    # The commit and the patch are the code.
    again = tmp_path / "again"
    git(committed, "clone", "-q", ".", str(again))
    patch = told(committed, "jobs", "--diff", job["id"])
    subprocess.run(["git", "apply"], input=patch.encode(), cwd=again, check=True)
    for name in ("main.py", "lib.py", "new.py"):
        assert (again / name).read_text() == (committed.project / name).read_text()
    text = told(committed, "jobs", job["id"])
    for words in ("code", job["commit"], "+ 2 changed", job["tree"], "variables    LR", "packages"):
        assert words in text


def test_a_rerun_is_the_same_command_with_todays_code_and_says_what_differs(
    committed: Laptop,
) -> None:
    committed.write("show.py", "import sys, lib\nprint(lib.VALUE, sys.argv[1:])\n")
    assert told(committed, "run", "show.py", "--epochs", "3") == "1 ['--epochs', '3']\n"
    first = newest(committed)["id"]
    same = committed.sidecar("rerun", first)
    assert (same.returncode, same.stdout) == (0, "1 ['--epochs', '3']\n"), same.stderr
    assert "nothing differs" in same.stderr
    committed.write("lib.py", "VALUE = 2\n")
    git(committed, "add", ".")
    git(committed, "commit", "-q", "-m", "second")
    done = committed.sidecar("rerun", first, cwd=committed.project)
    assert (done.returncode, done.stdout) == (0, "2 ['--epochs', '3']\n"), done.stderr
    assert "1 file changed: lib.py" in done.stderr
    assert "commit " in done.stderr


def test_a_frozen_rerun_has_the_code_of_then(committed: Laptop, embedded: Box) -> None:
    assert told(committed, "run", "--frozen", "main.py") == "1 None\n"
    first = newest(committed)
    assert told(committed, "jobs").splitlines()[1].endswith("python main.py")
    committed.write("lib.py", "VALUE = 2\n")
    (committed.project / "main.py").unlink()
    assert told(committed, "rerun", "--frozen", first["id"]) == "1 None\n"
    again = newest(committed)
    assert again["id"] != first["id"]
    assert (again["tree"], again["commit"]) == (first["tree"], first["commit"])
    # What is kept is bounded; without it there is a clear word.
    for path in (embedded.home / "model/.sidecar/frozen").glob("*.entries"):
        path.unlink()
    done = committed.sidecar("rerun", "--frozen", first["id"])
    assert done.returncode == 125
    assert "not kept" in done.stderr


def test_a_value_that_is_kept_nowhere_is_given_again(committed: Laptop) -> None:
    assert told(committed, "run", "-e", "LR=0.1", "main.py") == "1 0.1\n"
    done = committed.sidecar("rerun")
    assert done.returncode == 125
    assert "LR" in done.stderr
    assert "-e LR=" in done.stderr
    assert told(committed, "rerun", "-e", "LR=0.2") == "1 0.2\n"


def test_a_running_job_is_marked_when_its_files_changed_unless_it_is_frozen(
    committed: Laptop,
) -> None:
    committed.write("wait.py", "import sys\nprint('begun', flush=True)\nsys.stdin.read()\n")
    jobs = {}
    for how in ("--no-frozen", "--frozen"):
        running = committed.start("run", how, "wait.py")
        assert running.stdout is not None
        assert running.stdout.readline() == b"begun\n"
        jobs[how] = newest(committed)["id"]
    assert "changed since" not in told(committed, "jobs")
    committed.write("lib.py", "VALUE = 2\n")
    committed.write("new.py", "")
    assert committed.sidecar("sync").returncode == 0
    rows = {line.split()[0]: line for line in told(committed, "jobs").splitlines()}
    assert "running, 2 files changed since" in rows[jobs["--no-frozen"]]
    assert "running, frozen" in rows[jobs["--frozen"]]
    assert details(committed, jobs["--no-frozen"])["changed"] == ["lib.py", "new.py"]
    assert "2 files since its start: lib.py, new.py" in told(committed, "jobs", jobs["--no-frozen"])
