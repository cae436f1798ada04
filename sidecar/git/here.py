"""The repository here: where its HEAD is, what is staged, and why it is to be left alone."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from sidecar.core import gitindex, identity, staged
from sidecar.core.identity import Identity
from sidecar.core.staged import Staged
from sidecar.errors import SyncError
from sidecar.git.command import HARDENED, ask, environment, run, words

MOST_TAGS = 5000
"""Tags that are sent along: what `git describe` finds."""

MOVES = 1000
"""Moves of a branch that are looked back on, to tell a commit that was made here from others."""


class Repository(NamedTuple):
    """`left`: why it is not followed; "" where it is. `head`: "" before the first commit. `branch`:
    the full name, "" where HEAD is detached. `notes`: what of it stays here, in words."""

    left: str
    algorithm: str = "sha1"
    head: str = ""
    branch: str = ""
    notes: tuple[str, ...] = ()


def look(root: Path) -> Repository | None:
    """The repository whose work tree is this folder; None where there is none, or no git.
    Blocking, some 10 ms.

    Raises:
        SyncError: git failed on what it has just found.
    """
    try:
        asked = words(
            root, "rev-parse", "--path-format=absolute", "--show-toplevel", "--git-dir",
            "--git-common-dir", "--is-shallow-repository", "--show-object-format",
        )  # fmt: skip
    except SyncError:
        return None
    lines = asked.split("\n")
    if len(lines) != 5:
        return None
    top, folder, common, shallow, algorithm = lines
    if os.path.realpath(top) != os.path.realpath(root):
        return Repository(f"the project is a folder of the repository {top}")
    if folder != common:
        return Repository("it is a worktree of another repository")
    if shallow == "true":
        return Repository("it is a shallow clone")
    left = _unusual(root)
    if left:
        return Repository(left)
    branch = words(root, "symbolic-ref", "-q", "HEAD", fine=(0, 1))
    head = words(root, "rev-parse", "-q", "--verify", "HEAD^{commit}", fine=(0, 1, 128))
    return Repository("", algorithm, head, branch, _notes(root, Path(folder)))


def _unusual(root: Path) -> str:
    pattern = r"^(core\.sparsecheckout|extensions\.partialclone|remote\..*\.promisor)$"
    listed = os.fsdecode(run(root, "config", "-z", "--get-regexp", pattern, fine=(0, 1)))
    for line in listed.split("\0"):
        name, _, value = line.partition("\n")
        if name == "core.sparsecheckout":
            if value.lower() in ("true", "yes", "on", "1"):
                return "it is a sparse checkout"
        elif name:
            return "it is a partial clone"
    return ""


def _notes(root: Path, folder: Path) -> tuple[str, ...]:
    found = []
    if (root / ".gitmodules").is_file():
        found.append("submodules: their files are synced, their repositories stay here")
    if (folder / "lfs").is_dir():
        found.append("git-lfs: its files are synced, its storage stays here")
    return tuple(found)


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


def what_is_staged(
    root: Path, head: str, local: Local, stays_here: Callable[[str], bool]
) -> Staged:
    """The index, as told to who has the commit. Blocking; 5 µs a path, and what git takes.

    Args:
        stays_here: whether a tracked path is not synced.
    """
    tree = staged.read_tree(run(root, "ls-tree", "-r", "-z", head)) if head else {}
    unlike, intended = _differing(root)
    index = staged.read_index(run(root, "ls-files", "-v", "-s", "-z"), intended)
    for at, entry in enumerate(index):
        if entry.mode == gitindex.SUBMODULE:
            continue
        path = os.fsdecode(entry.path)
        agreed = local(path)
        if agreed is None:
            unlike.add(entry.path)
            if stays_here(path) and not entry.stage:
                index[at] = entry._replace(flags=entry.flags | gitindex.SKIP_WORKTREE)
        elif entry.path not in unlike and _now(root, path) != agreed:
            unlike.add(entry.path)
    return staged.difference(tree, index, unlike)


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
