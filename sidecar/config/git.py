"""What git is asked about a project's own files, without giving its repository a say.

A repository is a stranger's until the person says otherwise, as its configuration is.
"""

from __future__ import annotations

import os
import subprocess
from functools import lru_cache
from pathlib import Path

UNTRUSTED = ("-c", "core.fsmonitor=false", "-c", "safe.bareRepository=explicit")
"""Options for a repository that a stranger may have made: its configuration names no program that
runs when the index is read, and files that look like a bare repository, which can come with any
clone, are none."""

PATIENCE = 10.0
"""Seconds for git to say whether it knows one path."""


def came_along(path: Path) -> bool:
    """Whether a file that is called the person's own was made by somebody else: git tracks it, so
    it came with a clone; or it belongs to another user. False where there is no such file."""
    try:
        status = path.stat()
    except OSError:
        return False
    if os.name == "posix" and status.st_uid not in (os.getuid(), 0):
        return True
    # A clone or a pull writes the file anew, so what was found holds as long as it is the same.
    return _is_tracked(path, (status.st_ino, status.st_mtime_ns, status.st_ctime_ns))


@lru_cache(maxsize=256)
def _is_tracked(path: Path, _identity: tuple[int, ...]) -> bool:
    """Where git is not there, nothing was cloned by it; where it gives no answer in time, the file
    counts as somebody else's: that costs a question, the other way costs more."""
    command = ["git", *UNTRUSTED, "ls-files", "--error-unmatch", "--", path.name]
    environ = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    try:
        done = subprocess.run(
            command,
            cwd=path.parent,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=PATIENCE,
            check=False,
        )
    except OSError:
        return False
    except subprocess.TimeoutExpired:
        return True
    return done.returncode == 0
