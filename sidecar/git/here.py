"""The repository here: what is in it, what is staged, and the objects that go and come."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from sidecar.core import gitindex, identity, staged
from sidecar.core.gitindex import Entry
from sidecar.core.identity import Identity
from sidecar.core.staged import Staged, Tree
from sidecar.git.command import HARDENED, ask, environment, run, words

MOST_TAGS = 5000
"""Tags that are sent along: what `git describe` finds."""

SMALL_WHOLE = 100 << 20
"""Bytes of a repository that are not worth a closer look."""

MOVES = 1000
"""Moves of a branch that are looked back on, to tell a commit that was made here from others."""


def tags(root: Path, head: str) -> dict[str, str]:
    """The tags that HEAD has behind it, by full name."""
    listed = words(
        root, "for-each-ref", f"--count={MOST_TAGS}", "--format=%(objectname) %(refname)",
        f"--merged={head}", "refs/tags",
    )  # fmt: skip
    pairs = (line.split(" ", 1) for line in listed.split("\n") if line)
    return {name: oid for oid, name in pairs}


def known(root: Path, oids: list[str]) -> set[str]:
    """Those of these objects that are here."""
    if not oids:
        return set()
    given = "".join(f"{oid}\n" for oid in oids).encode("ascii")
    lines = run(root, "cat-file", "--batch-check", given=given).decode("ascii").splitlines()
    return {line.split()[0] for line in lines if not line.endswith("missing")}


def was_here(root: Path, branch: str, head: str, commit: str) -> bool:
    """Whether a commit, which is here, lies behind this branch, or was its end or HEAD's before
    it was amended, rebased or reset."""
    if head and ask(root, "merge-base", "--is-ancestor", commit, head, fine=(0, 1))[0] == 0:
        return True
    for name in ("HEAD", branch):
        if name:
            moves = run(root, "rev-list", "-g", f"-n{MOVES}", name, fine=(0, 128))
            if commit.encode("ascii") in moves.split():
                return True
    return False


def count(root: Path, old: str, new: str) -> int:
    """Commits that lie behind `new` and not behind `old` ("": all)."""
    excluded = [f"^{old}"] if old else []
    return int(words(root, "rev-list", "--count", new, *excluded))


Local = Callable[[str], "Identity | None"]
"""What both sides agreed that a path is here; None where they did not, or it is the remote's."""


class Listing(NamedTuple):
    """What git says of commit and index. `unlike`: paths whose files it does not find to be what
    is staged. `tags`: those that HEAD has behind it."""

    tree: Tree
    entries: list[Entry]
    unlike: set[bytes]
    tags: dict[str, str]


async def listing(root: Path, head: str) -> Listing:
    """Asked at once: four processes take the time of two.

    Raises:
        SyncError: git fails.
    """
    ran = asyncio.to_thread
    unlike, listed, tree, tagged = await asyncio.gather(
        ran(_differing, root),
        ran(run, root, "ls-files", "-v", "-s", "-z"),
        ran(run, root, "ls-tree", "-r", "-z", head) if head else _nothing(),
        ran(tags, root, head) if head else _nothing(),
    )
    paths, intended = unlike
    index = await ran(staged.read_index, listed, intended)
    found = await ran(staged.read_tree, tree or b"")
    return Listing(found, index, paths, tagged or {})


async def _nothing() -> None:
    return None


def what_is_staged(
    root: Path, listed: Listing, local: Local, stays_here: Callable[[str], bool]
) -> Staged:
    """The index, as told to who has the commit. Blocking; 5 µs a path.

    Args:
        stays_here: whether a tracked path is not synced.
    """
    unlike = set(listed.unlike)
    index = list(listed.entries)
    for at, entry in enumerate(index):
        if entry.mode == gitindex.SUBMODULE:
            continue
        path = os.fsdecode(entry.path)
        agreed = local(path)
        if agreed is None:
            unlike.add(entry.path)
            if not entry.stage and stays_here(path):
                index[at] = entry._replace(flags=entry.flags | gitindex.SKIP_WORKTREE)
        elif entry.path not in unlike and _now(root, path) != agreed:
            unlike.add(entry.path)
    return staged.difference(listed.tree, index, unlike)


def blobs(what: Staged) -> set[str]:
    """The contents that are staged and that the commit need not have."""
    return {one.oid.hex() for one in what.entries if one.mode != gitindex.SUBMODULE}


def _differing(root: Path) -> tuple[set[bytes], set[bytes]]:
    """Paths whose files git does not find to be what is staged, and those that are only intended
    to be added."""
    raw = run(
        root, "diff-files", "--raw", "-z", "--no-renames", "--no-ext-diff",
        "--ignore-submodules=all",
    )  # fmt: skip
    unlike, intended = set(), set()
    words = iter(raw.split(b"\0"))
    for traits in words:
        if traits:
            path = next(words, b"")
            unlike.add(path)
            if traits.endswith(b" A"):
                intended.add(path)
    return unlike, intended


def _now(root: Path, path: str) -> Identity | None:
    try:
        return identity.from_stat(os.lstat(os.path.join(root, path)))
    except OSError:
        return None


def weight(root: Path, wants: list[str]) -> int:
    """About how many bytes a pack of these and all behind them has; 0 where that is little. git
    tells how large all it has is at once, and what some of it is only by a walk."""
    counted = words(root, "count-objects", "-v").split("\n")
    sizes = dict(line.split(": ", 1) for line in counted if ": " in line)
    whole = (int(sizes.get("size", 0)) + int(sizes.get("size-pack", 0))) << 10
    if whole <= SMALL_WHOLE:
        return 0
    given = "".join(f"{oid}\n" for oid in wants).encode("ascii")
    asked = ("rev-list", "--disk-usage", "--objects", "--stdin")
    status, said = ask(root, *asked, given=given, fine=(0, 128, 129))
    return whole if status else int(said)  # git before 2.31 cannot say


def start_pack(root: Path, wants: list[str], haves: list[str]) -> subprocess.Popen[bytes]:
    """Begins a thin pack of what the wanted have and the others do not; it comes on stdout."""
    process = subprocess.Popen(
        [
            "git", *HARDENED, "pack-objects", "--revs", "--thin", "--stdout", "-q",
            "--delta-base-offset",
        ],
        cwd=root,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdin is not None
    given = [*wants, *(f"^{oid}" for oid in haves)]
    try:
        process.stdin.write("".join(f"{oid}\n" for oid in given).encode("ascii"))
        process.stdin.close()
    except OSError:
        process.kill()  # what it prints is then no whole pack, which `read_pack`'s caller sees
    return process


def take_pack(root: Path) -> subprocess.Popen[bytes]:
    """Begins to take a pack from the remote, whose objects are checked one by one before any of
    them is there; it is written to stdin."""
    return subprocess.Popen(
        ["git", *HARDENED, "index-pack", "--stdin", "--fix-thin", "--strict"],
        cwd=root,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def set_ref(root: Path, name: str, oid: str) -> None:
    """Points a remote-tracking ref at a commit whose history is here, whole.

    Raises:
        SyncError: it is not.
    """
    given = f"{oid}\n".encode("ascii")
    run(root, "rev-list", "--objects", "--stdin", "--not", "--all", "--quiet", given=given)
    run(root, "update-ref", "-m", "sidecar: made there", name, oid)


def tracking_ref(root: Path, host: str, branch: str) -> str:
    """Where a branch of a host's is kept here; never where one of git's own remotes has its."""
    listed = words(root, "config", "--name-only", "--get-regexp", r"^remote\.", fine=(0, 1))
    own = {name.split(".", 1)[1].rpartition(".")[0] for name in listed.split("\n") if name}
    plain = "".join(one if one.isalnum() or one in "-_" else "-" for one in host) or "host"
    name = f"sidecar-{plain}" if plain in own else plain
    return f"refs/remotes/{name}/{branch.removeprefix('refs/heads/') or 'HEAD'}"
