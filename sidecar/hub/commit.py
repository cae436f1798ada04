"""What git says of a project here: the commit and how many files differ from it. Read only."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from pathlib import Path
from typing import NamedTuple

from sidecar.config.git import UNTRUSTED

log = logging.getLogger(__name__)

PATIENCE = 3.0
"""Seconds for git to answer; a run does not wait longer for a line in its record."""

MAX_OUTPUT = 1 << 20
"""Bytes of `git status`: some 10,000 changed files. More are counted as far as they came."""


class Commit(NamedTuple):
    """`id`: the full hash, "" before the first commit and outside of git. `dirty`: changed,
    added, removed and untracked files; -1 where git did not say in time."""

    id: str = ""
    dirty: int = 0

    def __str__(self) -> str:
        if not self.id:
            return ""
        changed = {0: "", -1: " + unknown changes"}.get(self.dirty, f" + {self.dirty} changed")
        return self.id[:9] + changed


async def commit_of(root: Path) -> Commit:
    """Never raises: no git, no repository and a slow disk all mean that nothing is known."""
    head = await _git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    if not head:
        return Commit()
    # -z: names as they are, each ended by NUL; a rename's old name follows as one more.
    status = await _git(root, "status", "--porcelain", "-z", "--untracked-files=normal", "--", ".")
    if status is None:
        return Commit(head.decode("ascii", "replace").strip(), -1)
    entries, dirty = iter(status.split(b"\0")), 0
    for entry in entries:
        if entry:
            dirty += 1
            if entry[:1] in b"RC":
                next(entries, None)
    return Commit(head.decode("ascii", "replace").strip(), dirty)


async def _git(root: Path, *arguments: str) -> bytes | None:
    try:
        process = await asyncio.create_subprocess_exec(
            "git",
            *UNTRUSTED,
            *arguments,
            cwd=root,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            # No lock on the index: the person may be in the middle of a commit.
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"},
        )
    except OSError:
        return None  # no git here, or no such folder
    try:
        return await asyncio.wait_for(_all(process), PATIENCE)
    except (TimeoutError, asyncio.TimeoutError):
        log.info("git %s took over %s s in %s", arguments[0], PATIENCE, root)
        return None
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _all(process: asyncio.subprocess.Process) -> bytes | None:
    """Its output, None where it failed."""
    assert process.stdout is not None
    output = b""
    while data := await process.stdout.read(1 << 16):
        output += data
        if len(output) >= MAX_OUTPUT:
            return output
    return output if await process.wait() == 0 else None
