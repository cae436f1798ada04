"""`sidecar git`, with the real command line and hub over a real line, and git on both sides."""

from __future__ import annotations

import json
import os
import select
import time
from collections.abc import Callable
from pathlib import Path

from tests.cli.person import TerminalSession
from tests.git.shell import commit, git, status, words
from tests.hub.laptop import PATIENCE, Laptop
from tests.servers.box import Box
from tests.servers.programs import need_program


def repository(laptop: Laptop) -> None:
    need_program("git")
    git(laptop.project, "init", "-q", "-b", "main")
    (laptop.project / ".git/info").mkdir(exist_ok=True)
    (laptop.project / ".git/info/exclude").write_text("sidecar.local.toml\n")
    for name in ("train.py", "src/model.py", "src/data.py"):
        laptop.write(name, f"# {name}\n")
    commit(laptop.project, "first")


def test_a_commit_is_there_with_an_empty_status(connected: Laptop, box: Box) -> None:
    repository(connected)
    there = box.home / "model"
    done = connected.sidecar("git", "push")
    assert done.returncode == 0, done.stderr
    assert "at main" in done.stdout
    for name in ("train.py", "src/model.py", "src/data.py"):
        connected.write(name, "changed\n")
    mine = commit(connected.project)
    done = connected.sidecar("git", "push", "--json")
    assert json.loads(done.stdout)["head"] == mine
    assert words(there, "rev-parse", "HEAD") == mine
    assert status(there) == ""
    git(there, "fsck", "--strict")
    done = connected.sidecar("git", "status")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_commit_made_there_is_shown_with_what_can_be_done(nearby: Laptop, embedded: Box) -> None:
    repository(nearby)
    there = embedded.home / "model"
    assert nearby.sidecar("git", "push").returncode == 0
    theirs = commit(there, "made there")
    done = nearby.sidecar("git", "status")
    assert done.returncode == 1
    assert "commits that are not here" in done.stdout
    done = nearby.sidecar("git", "push")
    assert done.returncode == 1
    (shown,) = [line for line in done.stderr.splitlines() if "git merge" in line]
    branch = shown.split("`")[1].removeprefix("git merge ")
    assert words(nearby.project, "rev-parse", branch) == theirs
    assert words(there, "rev-parse", "HEAD") == theirs
    mine = commit(nearby.project, "made here")
    done = nearby.sidecar("git", "repair")
    assert done.returncode == 0, done.stderr
    assert "refs/sidecar/heads/main/" in done.stderr
    assert words(there, "rev-parse", "HEAD") == mine


def test_without_a_repository_or_with_git_off_it_is_said(nearby: Laptop) -> None:
    nearby.write("a.py", "a\n")
    done = nearby.sidecar("git", "status")
    assert done.returncode == 1
    assert "no git repository here" in done.stdout
    text = (nearby.project / "sidecar.local.toml").read_text()
    header = next(line for line in text.splitlines() if line.startswith("[hosts."))
    nearby.configure(text.replace(header, f"{header}\ngit = false"))
    done = nearby.sidecar("git", "push")
    assert done.returncode == 1
    assert "git = false" in done.stderr


def test_head_there_is_not_moved_under_a_job_that_runs_from_the_files(
    nearby: Laptop, embedded: Box
) -> None:
    repository(nearby)
    there = embedded.home / "model"
    assert nearby.sidecar("git", "push").returncode == 0
    before = words(there, "rev-parse", "HEAD")
    nearby.write("wait.py", "print('runs', flush=True)\ninput()\n")
    job = nearby.start("run", "-T", "wait.py")
    assert job.stdin is not None
    assert job.stdout is not None
    assert job.stdout.readline() == b"runs\n"
    commit(nearby.project)
    done = nearby.sidecar("git", "push")
    assert done.returncode == 1, done.stdout
    assert "runs there" in done.stdout
    assert words(there, "rev-parse", "HEAD") == before
    job.stdin.write(b"\n")
    job.stdin.close()
    job.wait()
    assert nearby.sidecar("git", "push").returncode == 0
    assert words(there, "rev-parse", "HEAD") != before


def test_a_repository_above_the_folder_there_is_not_touched(nearby: Laptop, embedded: Box) -> None:
    repository(nearby)
    git(embedded.home, "init", "-q")
    done = nearby.sidecar("git", "push")
    assert done.returncode == 1
    assert "lies in the repository" in done.stdout
    assert not os.path.lexists(embedded.home / "model/.git")


def test_a_commit_is_there_without_a_word_where_we_made_the_folder(
    nearby: Laptop, embedded: Box
) -> None:
    repository(nearby)
    there = embedded.home / "model"
    nearby.start("sync", "--watch")
    until(lambda: is_at(there, words(nearby.project, "rev-parse", "HEAD")))
    nearby.write("train.py", "changed\n")
    mine = commit(nearby.project)
    until(lambda: is_at(there, mine) and not status(there))  # the index appears behind HEAD
    git(there, "fsck", "--strict")
    theirs = commit(there, "made there")
    until(lambda: theirs in words(nearby.project, "for-each-ref", "refs/remotes"))
    assert "git merge" in nearby.sidecar("status").stdout
    assert words(there, "rev-parse", "HEAD") == theirs


def test_in_a_folder_that_was_there_none_is_made_unasked(nearby: Laptop, embedded: Box) -> None:
    repository(nearby)
    there = embedded.home / "model"
    there.mkdir()
    assert nearby.sidecar("sync").returncode == 0
    assert not (there / ".git").exists()
    watching = TerminalSession(nearby, "sync", "--watch")
    watching.expect("which follows the one here")
    watching.expect("Choose 1-2", "1\n")
    until(lambda: is_at(there, words(nearby.project, "rev-parse", "HEAD")))
    until(lambda: not status(there))
    watching.close()


def is_at(folder: Path, head: str) -> bool:
    index = folder / ".git/index"
    return index.exists() and words(folder, "rev-parse", "HEAD") == head


def until(true: Callable[[], bool]) -> None:
    """Looks again and again: nobody tells of what happens on the other machine."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end
        select.select([], [], [], 0.02)
