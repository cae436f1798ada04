"""What git says of a project here: the commit and how many files differ from it. Read only."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import stat
from pathlib import Path
from typing import NamedTuple

from sidecar.config.git import UNTRUSTED

log = logging.getLogger(__name__)

PATIENCE = 3.0
"""Seconds for git to answer; a run does not wait longer for a line in its record."""

MAX_OUTPUT = 1 << 20
"""Bytes of `git status`: some 10,000 changed files. More are counted as far as they came."""


MAX_DIFF = 256 * 1024
"""Bytes of a difference that is kept with a job."""

MAX_NEW = 64 * 1024
"""Bytes of a new file that is shown in it."""

MOST_LEFT = 100
"""Names of others."""


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
    if not _may_be_in_a_repository(root):
        return Commit()
    # One process, since a run waits for it: 5 ms. -z: names as they are, each ended by NUL; a
    # rename's old name follows as one more.
    said = await _git(
        root, "status", "--porcelain=v2", "--branch", "-z", "--untracked-files=normal", "--", "."
    )
    if said is None:
        head = await _git(root, "rev-parse", "--verify", "--quiet", "HEAD")
        return Commit(head.decode("ascii", "replace").strip(), -1) if head else Commit()
    entries, id, dirty = iter(said.split(b"\0")), "", 0
    for entry in entries:
        if entry.startswith(_HEAD):
            id = entry[len(_HEAD) :].decode("ascii", "replace")
        elif entry and entry[:1] != b"#":
            dirty += 1
            if entry[:1] == b"2":
                next(entries, None)
    return Commit() if id in ("", _NONE_YET) else Commit(id, dirty)


_HEAD, _NONE_YET = b"# branch.oid ", "(initial)"


def _may_be_in_a_repository(root: Path) -> bool:
    """As git looks for one: upward; without starting it."""
    return "GIT_DIR" in os.environ or any(
        os.path.lexists(folder / ".git") for folder in (root, *root.parents)
    )


async def diff_of(root: Path, commit: Commit) -> bytes:
    """What of the project differs from the commit, as a patch: files that git tracks, and new ones
    that it does not ignore. Not beyond MAX_DIFF; what is left out is named."""
    ours = ("-c", "core.quotePath=false")
    tracked = await _git(root, *ours, "diff", "--no-ext-diff", "--no-color", commit.id, "--", ".")
    listed = await _git(root, "ls-files", "--others", "--exclude-standard", "-z", "--", ".")
    parts, left = [tracked or b""], []
    for name in sorted((listed or b"").split(b"\0")):
        if name:
            patch = await asyncio.to_thread(_as_new, root, name)
            room = MAX_DIFF - sum(map(len, parts))
            if patch is None or len(patch) > room:
                left.append(name)
            else:
                parts.append(patch)
    diff = b"".join(parts)
    if len(diff) > MAX_DIFF:
        diff = diff[:MAX_DIFF] + b"\n# cut off here\n"
    if left:
        diff += b"# new, and not shown: %s\n" % b", ".join(left[:MOST_LEFT])
    return diff


def _as_new(root: Path, name: bytes) -> bytes | None:
    """A patch that makes the file; None for what is no text, or large."""
    try:
        path = os.path.join(os.fsencode(root), name)
        if not stat.S_ISREG(os.lstat(path).st_mode) or os.path.getsize(path) > MAX_NEW:
            return None
        with open(path, "rb") as file:
            data = file.read(MAX_NEW)
    except OSError:
        return None
    if b"\0" in data:
        return None
    lines = data.splitlines(keepends=True)
    head = b"diff --git a/%s b/%s\nnew file mode 100644\n" % (name, name)
    if not lines:
        return head
    text = b"".join(b"+" + line for line in lines)
    if not text.endswith(b"\n"):
        text += b"\n\\ No newline at end of file\n"
    return head + b"--- /dev/null\n+++ b/%s\n@@ -0,0 +1,%d @@\n%s" % (name, len(lines), text)


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
