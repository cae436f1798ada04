"""The repository here: where its HEAD is, why it is to be left alone, and by what one knows
without asking git that nothing moved in it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from sidecar.errors import SyncError
from sidecar.git.command import ask, run, words

Stamp = tuple[tuple[int, int, int] | None, ...]
"""Of some files: equal as long as none of them was written."""


class Repository(NamedTuple):
    """`left`: why it is not followed; "" where it is. `head`: "" before the first commit. `branch`:
    the full name, "" where HEAD is detached. `notes`: what of it stays here, in words. `folder`:
    its own, usually `.git`. `stamp`: of what says where it is, taken before anything was read."""

    left: str
    algorithm: str = "sha1"
    head: str = ""
    branch: str = ""
    notes: tuple[str, ...] = ()
    folder: str = ""
    stamp: Stamp = ()


def may_be_in_one(folder: Path) -> bool:
    """Whether git would find a repository there; without starting it."""
    return any(os.path.lexists(one / ".git") for one in (folder, *folder.parents))


class _Traits(NamedTuple):
    """What changes with a setting only. `top`: of its work tree."""

    stamp: Stamp
    left: str = ""
    algorithm: str = "sha1"
    folder: str = ""


class Looker:
    """Of one project. What a setting decides is asked of git again only where one has changed, so
    that a look takes one process, some 5 ms."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._traits: _Traits | None = None

    def look(self) -> Repository | None:
        """The repository whose work tree is this folder; None where there is none, or no git.
        Blocking.

        Raises:
            SyncError: git failed on what it has just found.
        """
        traits = self._known_traits()
        if traits is None:
            return None
        if traits.left:
            return Repository(traits.left, folder=traits.folder)
        folder = traits.folder
        for _ in range(2):
            branch = _branch(folder)
            stamp = _stamp(folder, "HEAD", "index", "packed-refs", *([branch] if branch else []))
            branch_now, head = self._where()
            if branch_now == branch:
                break
        return Repository(
            "", traits.algorithm, head, branch_now, self._notes(folder), folder, stamp
        )

    def is_where(self, repository: Repository) -> bool:
        """Whether nothing has moved since that look."""
        branch = [repository.branch] if repository.branch else []
        now = _stamp(repository.folder, "HEAD", "index", "packed-refs", *branch)
        return now == repository.stamp

    def _where(self) -> tuple[str, str]:
        """HEAD: its branch and its commit, either may be ""."""
        asked = ("rev-parse", "HEAD^{commit}", "--symbolic-full-name", "HEAD")
        status, said = ask(self._root, *asked, fine=(0, 128))
        lines = os.fsdecode(said).split("\n")
        if status == 0 and len(lines) == 3:
            return "" if lines[1] == "HEAD" else lines[1], lines[0]
        branch = words(self._root, "symbolic-ref", "-q", "HEAD", fine=(0, 1))
        head = words(self._root, "rev-parse", "-q", "--verify", "HEAD^{commit}", fine=(0, 1, 128))
        return branch, head

    # --- what settings say

    def _known_traits(self) -> _Traits | None:
        git = os.path.join(self._root, ".git")
        if not may_be_in_one(self._root):
            return None
        folder = self._traits.folder if self._traits is not None else git
        settings = _stamp(folder, "config", "config.worktree", "shallow")
        stamp = (*_stamp_of(git), *settings)
        if self._traits is None or self._traits.stamp != stamp:
            self._traits = self._asked(stamp)
        return self._traits

    def _asked(self, stamp: Stamp) -> _Traits | None:
        try:
            asked = words(
                self._root, "rev-parse", "--path-format=absolute", "--show-toplevel", "--git-dir",
                "--git-common-dir", "--is-shallow-repository", "--show-object-format",
            )  # fmt: skip
        except SyncError:
            return None
        lines = asked.split("\n")
        if len(lines) != 5:
            return None
        top, folder, common, shallow, algorithm = lines
        if os.path.realpath(top) != os.path.realpath(self._root):
            left = f"the project is a folder of the repository {top}"
        elif folder != common:
            left = "it is a worktree of another repository"
        elif shallow == "true":
            left = "it is a shallow clone"
        else:
            left = self._unusual()
        return _Traits(stamp, left, algorithm, folder)

    def _unusual(self) -> str:
        pattern = r"^(core\.sparsecheckout|extensions\.partialclone|remote\..*\.promisor)$"
        asked = ("config", "-z", "--get-regexp", pattern)
        listed = os.fsdecode(run(self._root, *asked, fine=(0, 1)))
        for line in listed.split("\0"):
            name, _, value = line.partition("\n")
            if name == "core.sparsecheckout":
                if value.lower() in ("true", "yes", "on", "1"):
                    return "it is a sparse checkout"
            elif name:
                return "it is a partial clone"
        return ""

    def _notes(self, folder: str) -> tuple[str, ...]:
        found = []
        if (self._root / ".gitmodules").is_file():
            found.append("submodules: their files are synced, their repositories stay here")
        if os.path.isdir(os.path.join(folder, "lfs")):
            found.append("git-lfs: its files are synced, its storage stays here")
        return tuple(found)


def _branch(folder: str) -> str:
    """What HEAD names, read from its file; "" where it names none."""
    try:
        with open(os.path.join(folder, "HEAD"), "rb") as file:
            text = file.read(4096)
    except OSError:
        return ""
    return os.fsdecode(text[5:]).strip() if text.startswith(b"ref: ") else ""


def _stamp(folder: str, *names: str) -> Stamp:
    return tuple(_stamp_of(os.path.join(folder, name))[0] for name in names)


def _stamp_of(path: str) -> Stamp:
    try:
        status = os.stat(path)
    except OSError:
        return (None,)
    return ((status.st_ino, status.st_mtime_ns, status.st_size),)
