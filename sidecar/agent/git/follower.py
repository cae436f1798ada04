"""A repository follows the laptop's: its branch, its HEAD and its index, and never its work tree.

The index's lock is held from the last look to the rename, as by git's own commands, so that nobody
commits in between. In that order: the objects are there and whole; what was staged there by
somebody else is kept as a commit, and where a branch does not simply go forward, its old end as a
ref; then branch and tags move in one transaction, HEAD behind them, and the new index appears. A
crash leaves an index that is behind, and a lock that is known as ours (agent/git/indexlock.py).
"""

import contextlib
import json
import os
import shutil
from typing import Dict, List, NamedTuple, Tuple

from sidecar.agent.failure import Failure, Refusal
from sidecar.agent.git import backups, repository
from sidecar.agent.git.backups import KEPT
from sidecar.agent.git.command import Git
from sidecar.agent.git.indexlock import IndexLock, clear
from sidecar.agent.roots.folder import OURS
from sidecar.agent.roots.managed import Managed
from sidecar.agent.roots.root import Root
from sidecar.core import gitindex, staged
from sidecar.core import identity as identities
from sidecar.core.blake2 import blake2b
from sidecar.core.gitindex import Entry
from sidecar.core.staged import Staged, Tree

STATE = b"git.json"
"""In our own folder: a digest of what we last wrote into the index, by which what somebody else
staged is told from it."""

_STATE_LIMIT = 4096

_UNTOLD = (gitindex.SKIP_WORKTREE, gitindex.INTENT_TO_ADD)


class Target(NamedTuple):
    """Where a repository is to be. `branch` "": HEAD is detached; `head` "": no commit yet.
    `from_branch`, `from_head`, `branch_was`: what was seen there (HEAD, and the branch's commit, ""
    where it was not there). `tags`: those that are missing there. `digest`: of the managed set that
    `staged` speaks of."""

    branch: str
    head: str
    from_branch: str
    from_head: str
    branch_was: str
    tags: Dict[str, str]
    digest: str
    staged: Staged


class Follower:
    """Of one root. One thread calls it."""

    def __init__(self, root: Root, managed: Managed, git: Git) -> None:
        self._root, self._managed, self._git = root, managed, git

    def follow(self, target: Target) -> List[str]:
        """Moves the repository to the target.

        Returns:
            The refs that now keep what was there before.
        Raises:
            Failure: "git-busy", "git-differs" (it is not as was seen), "git-behind" (the files are
                not as was said), or what git said. Nothing was moved, or all but the index.
        """
        self._root.check()
        clear(self._root, self._git.folder)
        seen = repository.look(self._root, self._git)
        if seen.kind != repository.HERE:
            raise Failure("git", "the repository there is left alone", seen.why)
        if seen.busy:
            raise Failure("git-busy", "the repository there is left alone for now", seen.busy)
        _check(target, seen.algorithm)
        if target.branch and target.branch_was != target.head:
            place = repository.other_worktree(self._git, target.branch)
            if place:
                why = "%s is checked out in its worktree %s" % (target.branch, place)
                raise Failure("git", "the repository there is left alone", why)
        if target.head:
            self._whole([target.head, *target.tags.values()])
        self._has_what_is_staged(target)
        entries = self._entries(target)
        with IndexLock(self._root, self._git.folder) as lock:
            lock.prepare(gitindex.encode(entries, seen.algorithm))
            lock.take()
            self._as_seen(target)
            kept = self._keep(target)
            self._move(target, kept)
            self._remember(entries)
            lock.commit()
        if kept:
            with contextlib.suppress(Failure):  # then there are more names than need be
                backups.put_together(self._git)
        return sorted(kept)

    def _path(self, name: str) -> bytes:
        return os.path.join(self._git.folder, name.encode())

    def _as_seen(self, target: Target) -> None:
        """With the lock held: nobody commits or checks out any more."""
        busy = repository.busy(self._git, ours="index.lock")
        if busy:
            raise Failure("git-busy", "the repository there is left alone for now", busy)
        if repository.where(self._git) != (target.from_branch, target.from_head):
            raise Failure("git-differs", "HEAD is not where it was seen")

    def _whole(self, commits: List[str]) -> None:
        """All that the commits need is there: a ref never points into a hole."""
        self._git.run(
            "rev-list", "--objects", "--stdin", "--not", "--all", "--quiet",
            given="".join(oid + "\n" for oid in commits).encode("ascii"),
        )  # fmt: skip

    def _has_what_is_staged(self, target: Target) -> None:
        entries = [one for one in target.staged.entries if one.mode != gitindex.SUBMODULE]
        names = sorted({one.oid.hex() for one in entries})
        given = "".join(name + "\n" for name in names).encode("ascii")
        listed = self._git.run("cat-file", "--batch-check", given=given) if names else b""
        if b" missing\n" in listed:
            raise Failure("git-differs", "what is staged did not come, or was removed there")

    # --- the index

    def _entries(self, target: Target) -> List[Entry]:
        """The laptop's entries, each with its file's stat here where that is what was synced."""
        tree: Tree = {}
        if target.head:
            tree = staged.read_tree(self._git.run("ls-tree", "-r", "-z", target.head))
        unlike = set(target.staged.unlike)
        if target.digest != self._managed.digest:
            raise Failure("git-behind", "the files are not as was said")
        entries = [
            one if one.path in unlike or one.stage else self._with_stat(one)
            for one in staged.applied(tree, target.staged)
        ]
        if target.digest != self._managed.digest:
            raise Failure("git-behind", "the files changed meanwhile")
        return entries

    def _with_stat(self, entry: Entry) -> Entry:
        if entry.flags in _UNTOLD or entry.mode == gitindex.SUBMODULE:
            return entry
        path = entry.path.decode("utf-8", "surrogateescape")
        wanted = self._managed.packed(path)
        if not wanted:
            return entry
        try:
            status = os.stat(entry.path, dir_fd=self._root.top, follow_symlinks=False)
        except OSError:
            return entry
        if identities.bytes_of(status) != wanted:
            return entry
        return entry._replace(stat=gitindex.stat_of(status))

    # --- what was there

    def _keep(self, target: Target) -> Dict[str, str]:
        """Refs for what would be reachable no more, or what nobody would find."""
        kept = {}
        if target.branch_was and not self._goes_forward(target.branch_was, target.head):
            name = target.branch[len("refs/") :] + "/" + target.branch_was[:12]
            kept[KEPT + name] = target.branch_was
        if target.from_head and not target.from_branch:
            reached = self._git.run(
                "for-each-ref", "--count=1", "--contains", target.from_head
            ) or self._goes_forward(target.from_head, target.head)
            if not reached:
                kept[KEPT + "HEAD/" + target.from_head[:12]] = target.from_head
        commit = self._staged_by_others(target.from_head)
        if commit:
            kept[KEPT + "staged/" + commit[:12]] = commit
        return {name: oid for name, oid in kept.items() if not self._has(name)}

    def _has(self, ref: str) -> bool:
        """Its name says which commit it is."""
        return not self._git.ask("rev-parse", "-q", "--verify", ref, fine=(0, 1, 128))[0]

    def _goes_forward(self, old: str, new: str) -> bool:
        if not new:
            return False
        status, _ = self._git.ask("merge-base", "--is-ancestor", old, new, fine=(0, 1))
        return status == 0

    def _staged_by_others(self, head: str) -> str:
        """A commit of what is staged and neither committed nor ours; "" for nothing."""
        listed = self._git.run("ls-files", "-s", "-z")
        if not listed or _digest(staged.read_index(_tagged(listed))) == self._remembered():
            return ""
        if head:
            unchanged, _ = self._git.ask("diff-index", "--cached", "--quiet", head, fine=(0, 1))
            if not unchanged:
                return ""
        tree = self._tree_of_index()
        parents = ["-p", head] if head else []
        made = self._git.run("commit-tree", tree, *parents, given=b"What was staged here\n")
        return made.decode("ascii").strip()

    def _tree_of_index(self) -> str:
        """Of a copy: git locks an index also to make a tree of it, and the lock is ours."""
        copy = os.path.join(self._root.path, OURS, b"tmp", b"index.%d" % os.getpid())
        try:
            shutil.copyfile(self._path("index"), copy)
            tree = self._git.run("write-tree", index=copy)
        except Failure as failure:
            words = "the repository there is left alone for now"
            raise Failure("git-busy", words, failure.why) from None
        finally:
            try:
                os.unlink(copy)
            except FileNotFoundError:
                pass
        return tree.decode("ascii").strip()

    def _remembered(self) -> str:
        try:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(STATE, flags, dir_fd=self._root.ours)
        except (OSError, Refusal):
            return ""
        with os.fdopen(descriptor, "rb") as file:
            try:
                state = json.loads(file.read(_STATE_LIMIT).decode("ascii"))
                return str(state["staged"])
            except (ValueError, KeyError, TypeError, RecursionError):
                return ""

    def _remember(self, entries: List[Entry]) -> None:
        """Before the index appears: one that nobody wrote is remembered at worst."""
        ours = self._root.ours
        temporary = b"tmp/%s.%d" % (STATE, os.getpid())
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(temporary, flags, 0o600, dir_fd=ours), "wb") as file:
            file.write(json.dumps({"staged": _digest(entries)}).encode("ascii"))
        os.rename(temporary, STATE, src_dir_fd=ours, dst_dir_fd=ours)

    # --- refs

    def _move(self, target: Target, kept: Dict[str, str]) -> None:
        """One transaction; what is not as it was seen makes all of it fail."""
        lines = ["create %s %s" % (name, oid) for name, oid in kept.items()]
        lines += ["create %s %s" % (name, oid) for name, oid in target.tags.items()]
        nothing = "0" * len(target.head)
        if target.branch and target.head and target.branch_was != target.head:
            was = target.branch_was or nothing
            lines.append("update %s %s %s" % (target.branch, target.head, was))
        if not target.branch and (target.from_branch or target.from_head != target.head):
            lines += ["option no-deref", "update HEAD %s" % target.head]
        message = "sidecar: follows the laptop"
        if lines:
            text = "\n".join([*lines, ""]).encode("utf-8", "surrogateescape")
            self._git.run("update-ref", "-m", message, "--stdin", given=text)
        if target.branch and target.branch != target.from_branch:
            self._git.run("symbolic-ref", "-m", message, "HEAD", target.branch)


def make(root: Root, git: Git, algorithm: str, branch: str) -> None:
    """A new repository in the root, whose HEAD is that branch. No template: those have hooks.

    Raises:
        Failure: git does not make it.
    """
    root.check()
    if algorithm not in gitindex.LENGTHS:
        raise Failure("git", "%.20r is no object format" % algorithm)
    short = repository.check_ref(branch)[len("refs/heads/") :]
    if os.path.lexists(git.folder):
        raise Failure("git-differs", "there is a repository by now")
    # A git that knows one object format alone does not know the option either.
    formats = [] if algorithm == "sha1" else ["--object-format=" + algorithm]
    git.run("init", "-q", "--template=", *formats)
    git.run("config", "core.bare", "false")
    git.run("symbolic-ref", "HEAD", "refs/heads/" + short)


def _check(target: Target, algorithm: str) -> None:
    for oid in (target.head, target.from_head, target.branch_was, *target.tags.values()):
        if oid:
            repository.check_oid(oid, algorithm)
    for name in (target.branch, *target.tags):
        if name:
            repository.check_ref(name)
    if not target.branch and not target.head:
        raise Failure("git", "HEAD is to be nowhere")


def _tagged(listed: bytes) -> bytes:
    """What `ls-files -s` prints, as `ls-files -v -s` does: flags are nobody's work."""
    return b"\0".join(b"H " + line if line else b"" for line in listed.split(b"\0"))


def _digest(entries: List[Entry]) -> str:
    whole = blake2b(digest_size=16)
    for path, mode, oid, stage, _, _ in sorted(entries, key=_place):
        whole.update(b"%o %s %d %d " % (mode, oid.hex().encode(), stage, len(path)) + path)
    return whole.hexdigest()


def _place(entry: Entry) -> Tuple[bytes, int]:
    return entry.path, entry.stage
