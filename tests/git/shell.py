"""git as a person types it, with nobody's configuration."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_ADA = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false")


def environment() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    return kept | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}


def git(folder: Path, *arguments: str, data: bytes | None = None, fails: bool = False) -> bytes:
    """What it prints. `fails`: it may, as a merge with conflicts does."""
    done = subprocess.run(
        ["git", *_ADA, *arguments],
        cwd=folder,
        env=environment(),
        input=data,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert fails or done.returncode == 0, (done.stdout + done.stderr).decode()
    return done.stdout


def words(folder: Path, *arguments: str) -> str:
    return git(folder, *arguments).decode().strip()


def status(folder: Path) -> str:
    """As a person sees it, but the index is not refreshed by it."""
    return git(folder, "--no-optional-locks", "status", "--porcelain").decode()


def commit(folder: Path, message: str = "a change") -> str:
    """Everything, as `git commit -am` with what is new; the commit."""
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", message)
    return words(folder, "rev-parse", "HEAD")
