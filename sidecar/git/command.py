"""git on this machine, asked about the person's own repository: nothing in it is run
(config/git.py), nothing fetched, no lock taken that a person's own command would meet."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from sidecar.config.git import UNTRUSTED
from sidecar.errors import SyncError

PATIENCE = 300.0
"""Seconds for one command; listing the objects of a very large repository takes one minute."""

HARDENED = (
    *UNTRUSTED, "-c", "core.hooksPath=/dev/null", "-c", "gc.auto=0", "-c", "maintenance.auto=false",
    "-c", "protocol.allow=never",
)  # fmt: skip


def environment() -> dict[str, str]:
    """Ours, without what a hook set that started us, and which names another repository."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    return kept | {
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "LC_ALL": "C",
    }


def ask(
    root: Path, *arguments: str, given: bytes = b"", fine: Sequence[int] = (0,)
) -> tuple[int, bytes]:
    """A command's status and output. Blocking.

    Raises:
        SyncError: git is not there, or failed with a status that is not `fine`.
    """
    try:
        done = subprocess.run(
            ["git", *HARDENED, *arguments],
            cwd=root,
            env=environment(),
            input=given,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
    except OSError as error:
        raise SyncError("git cannot be started here", str(error), code="git") from None
    except subprocess.TimeoutExpired:
        why = f"it took over {PATIENCE:.0f} s"
        raise SyncError(f"git {arguments[0]} was given up", why, code="git") from None
    if done.returncode not in fine:
        why = done.stderr.decode("utf-8", "replace").strip().removeprefix("fatal: ")
        raise SyncError(f"git {arguments[0]} failed in {root}", why[-400:], code="git")
    return done.returncode, done.stdout


def run(root: Path, *arguments: str, given: bytes = b"", fine: Sequence[int] = (0,)) -> bytes:
    """What a command prints. As `ask`."""
    return ask(root, *arguments, given=given, fine=fine)[1]


def words(root: Path, *arguments: str, fine: Sequence[int] = (0,)) -> str:
    """The same as text, without the line's end."""
    return os.fsdecode(run(root, *arguments, fine=fine)).rstrip("\n")
