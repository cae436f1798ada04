"""The difference of one path between both sides, as a unified diff.

Theirs is fetched into a scratch folder of ours, beside a copy of mine, so that what is compared
stays the same while it is read; git makes the diff where it is there (it colours, finds moved
lines, and knows the person's settings), else difflib. Only the last few are kept.
"""

from __future__ import annotations

import asyncio
import difflib
import os
import secrets
import shutil
import subprocess
from pathlib import Path

import msgspec

from sidecar import api
from sidecar.core import messages, paths
from sidecar.core.identity import FILE, SYMLINK, Identity
from sidecar.errors import RemoteError
from sidecar.sync.disk import local_files
from sidecar.sync.disk.local_files import Changed
from sidecar.sync.guarding.notes import version
from sidecar.sync.pulling.fetch import fetch
from sidecar.sync.steps.reach import Reach

LARGEST = 8 << 20
"""Bytes of a file that are compared: what a person may want to read."""

LARGEST_TEXT = 1 << 20
"""Characters of a diff that are handed over."""

GIT_SECONDS = 20.0

DIFFLIB_LINES = 20_000
"""Lines of both sides together that difflib is given, which takes seconds for more."""

KEPT = 20
"""Differences whose files stay."""

LOOKED_AT = 8000
"""Bytes at the beginning in which a NUL says that it is no text, as git has it."""


class Difference:
    """Of one path, over one connection."""

    def __init__(self, reach: Reach, path: str) -> None:
        """Raises PathError where the path may not be used."""
        paths.check(path)
        self._reach, self._path = reach, path
        self._scratch = reach.here.store / "scratch"

    async def made(self, *, color: bool) -> api.DiffResult:
        """The difference as it is now.

        Raises:
            Disconnected: the connection went away meanwhile.
        """
        reach, path = self._reach, self._path
        here = await asyncio.to_thread(local_files.lookup, reach.project.root, path)
        there = (await reach.there.lookup([path])).get(path)
        owners: dict[str, str] = {}
        if there is not None:
            answer = await reach.there.agent.request(
                lambda id: messages.Describe(id, reach.there.number, [path])
            )
            assert isinstance(answer, messages.Described)
            owners = dict(zip([path], answer.owners, strict=True))
        ahead = reach.there.agent.hello.clock_offset_ns
        result = api.DiffResult(
            path=path,
            text="",
            binary=False,
            here=version(here),
            there=version(there, ahead, owners.get(path, "")),
        )
        why = _why_not(here, "here") or _why_not(there, f"on {reach.project.host}")
        if why:
            return _with(result, why=why)
        folder = await asyncio.to_thread(self._make_folder)
        mine, theirs = folder / "here" / path, folder / self._host / path
        try:
            if here is not None:
                await asyncio.to_thread(self._copy, here, mine)
            if there is not None:
                with theirs.open("xb") as into:
                    await fetch(reach.there.agent, reach.there.number, path, there, into)
        except Changed:
            return _with(result, why="it changed while it was read; try again")
        except (OSError, RemoteError) as error:
            return _with(result, why=f"it cannot be read: {error}")
        return await asyncio.to_thread(self._compared, result, folder, mine, theirs, color)

    @property
    def _host(self) -> str:
        """The name of the folder of theirs, which the diff's headings show."""
        host = self._reach.project.host.replace("/", "-")
        return f"{host}-there" if host in ("here", ".", "..") else host

    def _make_folder(self) -> Path:
        self._scratch.mkdir(mode=0o700, exist_ok=True)
        old = sorted(self._scratch.iterdir(), key=lambda one: one.stat().st_mtime_ns)
        for one in old[: 1 - KEPT or None]:
            shutil.rmtree(one, ignore_errors=True)
        folder = self._scratch / secrets.token_hex(4)
        for side in ("here", self._host):
            (folder / side / self._path).parent.mkdir(parents=True)
        return folder

    def _copy(self, here: Identity, into: Path) -> None:
        root = self._reach.project.root
        if here.kind == SYMLINK:
            into.write_bytes(os.fsencode(local_files.read_link(root, self._path)[1]))
        else:
            into.write_bytes(local_files.read(root, self._path, LARGEST)[1])

    def _compared(
        self, result: api.DiffResult, folder: Path, mine: Path, theirs: Path, color: bool
    ) -> api.DiffResult:
        file = str(theirs) if theirs.exists() else ""
        contents = [one.read_bytes() if one.exists() else b"" for one in (mine, theirs)]
        if any(b"\0" in content[:LOOKED_AT] for content in contents):
            return _with(result, binary=contents[0] != contents[1], file=file)
        text = _by_git(folder, mine, theirs, color)
        if text is None:
            text = self._by_difflib(*contents)
        if text is None:
            return _with(
                result, file=file, why="there is no git here, and it is long for anything else"
            )
        if len(text) > LARGEST_TEXT:
            text = text[:LARGEST_TEXT].rpartition("\n")[0] + "\n… the rest is left out\n"
        patch = ""
        if text:
            made = folder / f"{Path(self._path).name}.diff"
            plain = text if not color else _by_git(folder, mine, theirs, False) or text
            made.write_text(plain, encoding="utf-8", errors="surrogateescape")
            patch = str(made)
        return _with(result, text=text, file=file, patch=patch)

    def _by_difflib(self, mine: bytes, theirs: bytes) -> str | None:
        lines = [one.decode("utf-8", "replace").splitlines(keepends=True) for one in (mine, theirs)]
        if sum(map(len, lines)) > DIFFLIB_LINES:
            return None
        made = difflib.unified_diff(
            lines[0], lines[1], f"here/{self._path}", f"{self._host}/{self._path}"
        )
        return "".join(
            line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
            for line in made
        )


def _why_not(what: Identity | None, where: str) -> str:
    """Why something is not compared; "" where it is."""
    if what is None:
        return ""
    if what.kind not in (FILE, SYMLINK):
        return f"it is no file {where}"
    if what.size > LARGEST:
        return f"it is too large {where} to be compared ({what.size / 1e6:.0f} MB)"
    return ""


def _by_git(folder: Path, mine: Path, theirs: Path, color: bool) -> str | None:
    """What git says, with headings that name both sides; None where git is not there."""
    names = [
        os.fspath(one.relative_to(folder)) if one.exists() else os.devnull for one in (mine, theirs)
    ]
    command = [
        "git", "--no-pager", "diff", "--no-index", "--no-prefix", "--no-ext-diff", "--no-textconv",
        f"--color={'always' if color else 'never'}", "--", *names,
    ]  # fmt: skip
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, timeout=GIT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode not in (0, 1):
        return None
    return done.stdout.decode("utf-8", "replace")


def _with(result: api.DiffResult, **fields: object) -> api.DiffResult:
    return msgspec.structs.replace(result, **fields)
