"""What git knows of a folder: where its ignore files are, and which paths it tracks.

git itself is asked, once for the places and once for the paths; nothing of the repository is
changed (no lock is taken, no index refreshed) and nothing in it is run (config/git.py). Without git
on this machine, ignore files in the project count and nothing is tracked.
"""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import time
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from sidecar.config.git import UNTRUSTED
from sidecar.sync.rules.patterns import MAX_FILE, Pattern, as_bytes, parse_file

GIT_TIMEOUT = 60.0
"""Seconds that one question to git may take; `ls-files` of a million paths takes two."""

MOST_SUBMODULES = 1000
"""Submodules whose indexes are watched; those of more are still read, with the next change."""

RULES = ".gitignore"

_STEERING = (
    "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_CEILING_DIRECTORIES",
)  # fmt: skip
"""Variables that a git hook sets, and that would turn our questions to another repository."""


class Places(NamedTuple):
    """A repository around a folder."""

    prefix: str
    """The folder's path from the top of the work tree, with a slash behind it; "" at the top."""
    top: str
    index_file: str
    exclude: str
    """The repository's own `info/exclude`."""
    excludes_file: str
    """The person's `core.excludesFile`."""
    fold: bool


def find(root: Path) -> Places | None:
    """The repository in whose work tree a folder lies; None where there is none that counts.

    One that ignores the folder as a whole (a repository of dotfiles in the home folder, say) does
    not count: the project would be nothing but ignored.
    """
    asked = _git(
        root, "rev-parse", "--path-format=absolute", "--show-prefix", "--show-toplevel",
        "--git-path", "index", "--git-path", "info/exclude",
    )  # fmt: skip
    lines = os.fsdecode(asked).split("\n") if asked is not None else []
    if len(lines) != 5:
        return None
    prefix, top, index, exclude, _ = lines
    if prefix and _git(root, "check-ignore", "-q", "--no-index", ".") is not None:
        return None
    excludes_file, fold = _settings(root)
    return Places(prefix, top, index, exclude, excludes_file, fold)


def _settings(root: Path) -> tuple[str, bool]:
    asked = _git(root, "config", "-z", "--get-regexp", r"^core\.(excludesfile|ignorecase)$")
    values = {}
    for line in os.fsdecode(asked or b"").split("\0"):
        key, _, value = line.partition("\n")
        values[key] = value
    config = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    excludes = values.get("core.excludesfile", os.path.join(config, "git", "ignore"))
    fold = values.get("core.ignorecase", "").lower() in ("true", "yes", "on", "1")
    return os.path.join(root, os.path.expanduser(excludes)) if excludes else "", fold


def submodule_indexes(index_file: str) -> list[str]:
    """The indexes of a repository's submodules, and of theirs, where git keeps them: in `modules`
    beside its own."""
    found: list[str] = []
    folders = [os.path.join(os.path.dirname(index_file), "modules")]
    while folders and len(found) < MOST_SUBMODULES:
        try:
            with os.scandir(folders.pop()) as entries:
                inner = [one.path for one in entries if one.is_dir(follow_symlinks=False)]
        except OSError:
            continue
        for path in inner:
            if os.path.lexists(os.path.join(path, "HEAD")):
                found.append(os.path.join(path, "index"))
                folders.append(os.path.join(path, "modules"))
            else:
                folders.append(path)  # a submodule's name may have slashes
    return found


def tracked(root: Path) -> frozenset[str]:
    """The paths below a folder that are in the index, relative to it; of a submodule those in its
    own index, or the submodule itself where it is not checked out."""
    listed = _git(root, "ls-files", "-z", "--cached", "--recurse-submodules")
    return frozenset(os.fsdecode(listed or b"").split("\0")) - {""}


MAX_POINTER = 8192
"""Bytes of a submodule's `.git` that are read."""

RECENT = 10
"""Moves of HEAD that are looked back on for what git removed."""

STALE = 600.0
"""Seconds after which the lock of git's index was left behind by a git that died."""


def removed_by_git(root: Path, gone: Collection[str]) -> set[str] | None:
    """Those of these paths that git itself took away, by a checkout, a pull, a stash or a `git rm`:
    a recent commit of HEAD's has them, and the index no more. What `rm` removed stays in the index.

    None: git is at work just now, and writes the index when it is done. Paths are relative to the
    root. Blocking; 200,000 tracked paths take a second or two.
    """
    asked = _git(root, "rev-parse", "--path-format=absolute", "--git-path", "index.lock")
    if asked is None:
        return set()
    try:
        locked = os.stat(os.fsdecode(asked).rstrip("\n")).st_mtime
    except OSError:
        pass
    else:
        if time.time() - locked < STALE:
            return None
    left = set(gone) - tracked(root)
    found: set[str] = set()
    moves = (_git(root, "rev-list", "-g", "-n", str(RECENT), "HEAD") or b"").split()
    for commit in dict.fromkeys([*moves, b"HEAD"]):
        if not left:
            break
        listed = _git(root, "ls-tree", "-r", "-z", "--name-only", os.fsdecode(commit))
        known = left.intersection(os.fsdecode(listed or b"").split("\0"))
        found |= known
        left -= known
    return found


def _git(root: Path, *arguments: str) -> bytes | None:
    """What git prints, None where it fails or is not there."""
    environ = {key: value for key, value in os.environ.items() if key not in _STEERING}
    environ["GIT_OPTIONAL_LOCKS"] = "0"
    command = ["git", *UNTRUSTED, *arguments]
    try:
        done = subprocess.run(
            command,
            cwd=root,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=GIT_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def read_rules(path: str, source: str) -> list[Pattern]:
    """The patterns of an ignore file in a project; a link is not followed, as git does not."""
    return _read(path, source, os.O_NOFOLLOW)


def rules_inside(folder: str, source: str) -> list[Pattern] | None:
    """What `.git/info/exclude` says of a repository that is in another one, as a submodule or a
    clone; None where the folder is no repository's top. A submodule's `.git` is a file that says
    where git keeps it.

    Args:
        source: how the folder is called in messages.
    """
    git = os.path.join(folder, ".git")
    try:
        is_file = stat.S_ISREG(os.lstat(git).st_mode)
    except OSError:
        return None
    if is_file:
        with contextlib.suppress(OSError), open(git, "rb") as file:
            where = file.read(MAX_POINTER).removeprefix(b"gitdir:").strip()
            git = os.path.join(folder, os.fsdecode(where))
    return _read(os.path.join(git, "info", "exclude"), f"{source}/.git/info/exclude", 0)


def outer_rules(places: Places) -> list[tuple[str, list[Pattern]]]:
    """What decides besides the ignore files at and below a root, the strongest first, each with
    the folder in which it holds (its path from the work tree's top, with a slash behind it, as
    patterns.as_bytes has it)."""
    found: list[tuple[str, list[Pattern]]] = []
    above = places.prefix.rstrip("/")
    while above:
        above = above.rpartition("/")[0]
        source = os.path.join(above, RULES)
        rules = read_rules(os.path.join(places.top, source), os.path.join(places.top, source))
        found.append((as_bytes(f"{above}/" if above else ""), rules))
    found.append(("", _read(places.exclude, ".git/info/exclude", 0)))
    found.append(("", _read(places.excludes_file, places.excludes_file, 0)))
    return found


def _read(path: str, source: str, flags: int) -> list[Pattern]:
    if not path:
        return []
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | flags)
    except (OSError, ValueError):
        return []  # not there, or not for us to read: git goes on without it, too
    with os.fdopen(descriptor, "rb") as file:
        try:
            return parse_file(file.read(MAX_FILE), source)
        except OSError:
            return []


def stamp(paths: list[str]) -> tuple[tuple[int, int, int] | None, ...]:
    """A value that differs when one of these files does."""
    found: list[tuple[int, int, int] | None] = []
    for path in paths:
        try:
            status = os.stat(path)
        except OSError:
            found.append(None)
        else:
            found.append((status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(found)
