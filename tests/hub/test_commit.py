from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from sidecar.hub import commit
from sidecar.hub.commit import Commit, commit_of


def git(root: Path, *arguments: str) -> str:
    identity = {
        f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    return subprocess.run(
        ["git", *arguments],
        cwd=root,
        env={**os.environ, **identity},
        capture_output=True,
        check=True,
        text=True,
    ).stdout.strip()


@pytest.fixture
def repository(isolated: Path) -> Path:
    root = isolated / "project"
    root.mkdir()
    git(root, "init", "-q")
    return root


async def test_a_folder_outside_of_git_has_no_commit(tmp_path: Path) -> None:
    assert await commit_of(tmp_path) == Commit()
    assert await commit_of(tmp_path / "missing") == Commit()


async def test_a_repository_without_commits_has_none(repository: Path) -> None:
    assert await commit_of(repository) == Commit()


async def test_the_commit_and_every_kind_of_change_are_counted(repository: Path) -> None:
    for name in ("changed", "removed", "renamed-from"):
        (repository / name).write_text(name)
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "first")
    head = git(repository, "rev-parse", "HEAD")
    assert await commit_of(repository) == Commit(head, 0)
    (repository / "changed").write_text("more")
    (repository / "removed").unlink()
    git(repository, "mv", "renamed-from", "renamed to\nhere")
    (repository / "untracked").touch()
    found = await commit_of(repository)
    assert found == Commit(head, 4)
    assert str(found) == f"{head[:9]} + 4 changed"


async def test_a_git_that_hangs_is_not_waited_for(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "bin"
    slow.mkdir()
    (slow / "git").write_text("#!/bin/sh\nexec sleep 60\n")
    (slow / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow}:{os.environ['PATH']}")
    monkeypatch.setattr(commit, "PATIENCE", 0.05)
    assert await commit_of(repository) == Commit()


async def test_a_repositorys_monitor_is_not_run(repository: Path) -> None:
    program = repository / "monitor"
    program.write_text(f"#!/bin/sh\ntouch {repository}/pwned\n")
    program.chmod(0o755)
    (repository / "a").touch()
    git(repository, "add", "a")
    git(repository, "commit", "-qm", "first")
    git(repository, "config", "core.fsmonitor", str(program))
    assert (await commit_of(repository)).dirty == 1
    assert not (repository / "pwned").exists()


async def test_files_that_look_like_a_bare_repository_are_none(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", "cloned")
    cloned = tmp_path / "cloned"
    git(cloned, "-c", "core.bare=false", "--work-tree=.", "commit", "--allow-empty", "-qm", "first")
    assert await commit_of(cloned) == Commit()
