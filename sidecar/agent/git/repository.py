"""What repository is in a root: where its HEAD is, what it has, and why it is to be left alone."""

import os
import stat
from typing import Dict, List, NamedTuple, Optional, Tuple

from sidecar.agent.failure import Failure
from sidecar.agent.git.command import Git
from sidecar.agent.roots.folder import decode
from sidecar.agent.roots.root import Root

NONE, HERE, INSIDE, LEFT = "", "here", "inside", "left"
"""No repository; one that can follow; the root is a folder of a larger one; one that is left alone,
for a reason that is told."""

MOST_REFS = 10000
"""Branches and tags that are told: 600 KB, of which little can be compressed."""

MOST_WORKTREES = 1000

OPERATIONS = (
    ("index.lock", "another git command is at work"),
    ("HEAD.lock", "another git command is at work"),
    ("MERGE_HEAD", "a merge is going on"),
    ("CHERRY_PICK_HEAD", "a cherry-pick is going on"),
    ("REVERT_HEAD", "a revert is going on"),
    ("rebase-merge", "a rebase is going on"),
    ("rebase-apply", "a rebase is going on"),
    ("BISECT_LOG", "a bisection is going on"),
    ("sequencer", "several commits are being applied"),
)
"""What lies in a repository while somebody is in the middle of something."""

_UNUSUAL = {
    "core.worktree": "its work tree is another folder",
    "extensions.partialclone": "it is a partial clone",
    "extensions.refstorage": "its refs are kept in another way than in files",
}
_SPARSE = "core.sparsecheckout"


class Seen(NamedTuple):
    """`why`: of LEFT, of INSIDE the folder above. `busy`: why nothing is moved just now. `head`:
    the commit, "" before the first. `branch`: the full name, "" where HEAD is detached."""

    kind: str
    why: str = ""
    busy: str = ""
    algorithm: str = "sha1"
    head: str = ""
    branch: str = ""


def look(root: Root, git: Git) -> Seen:
    """What is there now. Changes nothing.

    Raises:
        Failure: git does not say.
    """
    status = root.lstat((".git",))
    if status is None:
        return _around(root, git)
    if not stat.S_ISDIR(status.st_mode):
        return Seen(LEFT, "its .git is no folder, as in a worktree or a submodule")
    if status.st_uid != os.geteuid():
        return Seen(LEFT, "its .git belongs to another user")
    try:
        algorithm, why = _traits(git)
    except Failure as failure:
        return Seen(LEFT, failure.why)
    if why:
        return Seen(LEFT, why)
    branch, head = where(git)
    return Seen(HERE, "", busy(git), algorithm, head, branch)


def _traits(git: Git) -> Tuple[str, str]:
    """The object format, and why it is left alone; asked again where its settings changed."""
    stamp: List[Optional[Tuple[int, int, int]]] = []
    for name in (b"config", b"config.worktree", b"shallow"):
        try:
            status = os.stat(os.path.join(git.folder, name))
        except OSError:
            stamp.append(None)
        else:
            stamp.append((status.st_ino, status.st_mtime_ns, status.st_size))
    if git.traits is None or git.traits[0] != stamp:
        algorithm = git.run("rev-parse", "--show-object-format").decode("ascii").strip()
        git.traits = stamp, algorithm, _why_left(git)
    return git.traits[1:]


def _around(root: Root, git: Git) -> Seen:
    """A repository of which the root is a folder."""
    above = os.path.dirname(root.path)
    while True:
        if os.path.lexists(os.path.join(above, b".git")):
            return Seen(INSIDE, decode(above))
        if above == os.path.dirname(above):
            return Seen(NONE)
        above = os.path.dirname(above)


def _why_left(git: Git) -> str:
    if os.path.lexists(os.path.join(git.folder, b"shallow")):
        return "it is a shallow clone"
    listed = git.run("config", "-z", "--get-regexp", r"^(core|extensions)\.", fine=(0, 1))
    for line in listed.decode("utf-8", "replace").split("\0"):
        name, _, value = line.partition("\n")
        if name in _UNUSUAL and value not in ("files", ""):
            return _UNUSUAL[name]
        if name == _SPARSE and value.lower() in ("true", "yes", "on", "1"):
            return "it is a sparse checkout"
    return ""


def where(git: Git) -> Tuple[str, str]:
    """HEAD: its branch and its commit, either may be ""."""
    asked = ("HEAD^{commit}", "--symbolic-full-name", "HEAD")
    status, said = git.ask("rev-parse", *asked, fine=(0, 128))
    lines = said.decode("utf-8", "surrogateescape").splitlines()
    if not status and len(lines) == 2:
        return ("" if lines[1] == "HEAD" else lines[1]), lines[0]
    branch = git.run("symbolic-ref", "-q", "HEAD", fine=(0, 1)).decode("utf-8", "surrogateescape")
    head = git.run("rev-parse", "-q", "--verify", "HEAD^{commit}", fine=(0, 1, 128))
    return branch.rstrip("\n"), head.decode("ascii").strip()


def other_worktree(git: Git, branch: str) -> str:
    """The worktree, besides the one with the `.git` folder, that has a branch checked out: there,
    everything would show as modified if it moved. "" for none."""
    folder = os.path.join(git.folder, b"worktrees")
    try:
        names = os.listdir(folder)
    except OSError:
        return ""
    wanted = b"ref: " + branch.encode("utf-8", "surrogateescape")
    for name in names[:MOST_WORKTREES]:
        try:
            with open(os.path.join(folder, name, b"HEAD"), "rb") as file:
                if file.read(len(wanted) + 2).rstrip(b"\n") == wanted:
                    return decode(name)
        except OSError:
            continue
    return ""


def busy(git: Git, ours: str = "") -> str:
    """What somebody is in the middle of; "" for nothing. `ours`: a lock that we hold."""
    for name, words in OPERATIONS:
        if name != ours and os.path.lexists(os.path.join(git.folder, name.encode())):
            return words
    return ""


def refs(git: Git) -> Dict[str, str]:
    """Branches, tags, the stash and what we kept, as far as MOST_REFS goes."""
    listed = git.run(
        "for-each-ref", "--count=%d" % MOST_REFS, "--format=%(objectname) %(refname)",
        "refs/heads", "refs/sidecar", "refs/stash", "refs/tags",
    )  # fmt: skip
    found: Dict[str, str] = {}
    for line in listed.decode("utf-8", "surrogateescape").splitlines():
        oid, _, name = line.partition(" ")
        found[name] = oid
    return found


def check_ref(name: str) -> str:
    """A ref's name from the wire.

    Raises:
        Failure: none that we would write.
    """
    good = name.startswith(("refs/heads/", "refs/tags/")) and len(name) < 1000
    if not good or any(one in name for one in _NEVER) or name.endswith(("/", ".", ".lock")):
        raise Failure("git", "%r is no branch or tag" % name)
    return name


_NEVER: List[str] = ["..", "//", "/.", "@{", "\\", *" ~^:?*[", *map(chr, range(32)), "\x7f"]


def check_oid(oid: str, algorithm: str) -> str:
    """An object's name from the wire.

    Raises:
        Failure: it is none.
    """
    length = {"sha1": 40, "sha256": 64}.get(algorithm, 0)
    if len(oid) != length or not all(one in "0123456789abcdef" for one in oid):
        raise Failure("git", "%.80r is no object's name" % oid)
    return oid
