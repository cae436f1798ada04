"""Which paths of a project are synced, and which rule says so: one answer for scan, watcher, saves.

A path is decided from its top component down, as git does it: what is in an ignored folder is
ignored. At each component the first of these that applies decides:

1. Ours and git's: `.git`, `.sidecar`, our configuration files, folders that are projects of their
   own. Never synced; nothing undoes that.
2. `include`: synced, whatever follows says. A pattern with a folder in it (`data/mini/*.csv`)
   also opens the ignored folders on its way; a name alone (`.env`) opens none.
   In an included folder git's rules do not matter, the others do.
3. `ignore`: as the strongest of all ignore files, so that `!pattern` undoes what follows.
4. What git tracks is synced; of an ignored folder only that.
5. `.gitignore` files, the deepest first, then `.git/info/exclude` and `core.excludesFile`: a
   pattern ignores, one with `!` says only that git does not.
6. The built-in list below, and environments: folders that hold `pyvenv.cfg` or `conda-meta`.

What holds in a directory is read once and kept until `reload` or `forget`. Measured on one busy
core: 20,000 files in 2,000 directories, with 40 patterns at the top, are decided in 50 ms (2.5 µs
each); reading what holds in those directories takes as long again, once.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from sidecar.config.project import PYPROJECT, names_us
from sidecar.core import paths as names
from sidecar.core import tree
from sidecar.sync.rules import patterns, repository
from sidecar.sync.rules.patterns import Pattern, PatternList, as_bytes

NEVER = frozenset({".git", ".sidecar", "sidecar.toml", "sidecar.local.toml"})
"""Names that are synced nowhere: git's own state has its own way (hosts.X.git), and our files say
what holds here, not there."""

BUILT_IN = (
    # What Python, and tools around it, make again
    "__pycache__/", "*.pyc", "*.pyo", ".mypy_cache/", ".pytest_cache/", ".ruff_cache/",
    ".hypothesis/", ".ipynb_checkpoints/", ".venv/", ".tox/", ".nox/", "node_modules/",
    # Editors' swap, backup, lock and half-written files: Vim (4913 is its test whether a folder
    # can be written), Emacs, Kate, JetBrains, gedit, and atomic saves in general
    "4913", "*.sw[a-p]", "*.un~", "*~", ".#*", "\\#*#", "*.kate-swp", "*___jb_tmp___",
    "*___jb_old___", ".goutputstream-*", "*.tmp",
    # File systems and desktops
    ".DS_Store", "Thumbs.db", ".nfs*", ".fuse_hidden*",
)  # fmt: skip
"""Ignored everywhere unless git tracks it, or `ignore` has it with a `!`."""

ENVIRONMENT_MARKS = ("pyvenv.cfg", "conda-meta")
PROJECT_MARKS = ("sidecar.toml", "sidecar.local.toml")
"""Besides these, a pyproject.toml with `[tool.sidecar]` makes a folder a project of its own."""


class Decision(NamedTuple):
    """`rule`: the pattern or condition that decided, "" where none did; `source`: where it stands
    (`.gitignore:3`, `sync.ignore`, `built-in`, …)."""

    ignored: bool
    rule: str = ""
    source: str = ""


SYNCED = Decision(False)


MAX_FOLDERS = 500_000
"""Directories whose rules are kept in memory, about 400 bytes each; over that, all are forgotten
and read again as they are asked for."""


class Rules:
    """The rules of one project.

    Decisions are safe to ask for from several threads; `reload` and `refresh` belong to one. Both
    ask git, which takes milliseconds, on 200,000 tracked paths a tenth of a second: not for the
    event loop's thread.
    """

    def __init__(self, root: Path, ignore: Sequence[str], include: Sequence[str]) -> None:
        self.root = root
        self._settings = tuple(ignore), tuple(include)
        self._state = _State(root, *self._settings)
        self.generation = 0
        """Grows with each reading after which decisions may differ."""

    @classmethod
    def load(
        cls,
        root: Path,
        ignore: Sequence[str] = (),
        include: Sequence[str] = (),
    ) -> Rules:
        """Reads what holds for the project at `root`.

        Args:
            root: its real path.
            ignore, include: from `[sync]`, in the syntax of .gitignore.
        """
        return cls(root, ignore, include)

    def decide(self, path: str, is_dir: bool) -> Decision:
        """The decision for a path relative to the root; "" is the root, which is always synced."""
        if not path:
            return SYNCED
        return self.folder(names.parent(path)).decide(path.rpartition("/")[2], is_dir)

    def folder(self, path: str) -> Folder:
        """What holds for the entries of a directory: for those who ask about many of them."""
        return self._state.folder(path)

    def forget(self, path: str) -> None:
        """Forgets what was decided about a directory and those below it: it came or went, and
        another one may stand there now."""
        self._state.forget(path)

    def is_rule_file(self, path: str) -> bool:
        """Whether a change of this path may change decisions about others, so that `reload` and a
        scan are due."""
        folder, _, name = path.rpartition("/")
        return name in _RULE_FILES or (bool(folder) and name == "pyproject.toml")

    def reload(self) -> None:
        """Reads all rules again; nothing decided before is remembered."""
        self._state = _State(self.root, *self._settings)
        self.generation += 1

    def refresh(self) -> bool:
        """Reads all again if something outside the watched tree changed: git's index, the
        repository's excludes, the person's. Returns whether decisions may differ."""
        state = self._state
        if state.stamp == repository.stamp(state.outer_files):
            return False
        new = _State(self.root, *self._settings)
        if new.alike(state):
            state.stamp = new.stamp
            return False
        self._state = new
        self.generation += 1
        return True


_RULE_FILES = frozenset({repository.RULES, *ENVIRONMENT_MARKS, *PROJECT_MARKS})


class _State:
    """Everything read at one time, and what was decided by it."""

    def __init__(self, root: Path, ignore: tuple[str, ...], include: tuple[str, ...]) -> None:
        self.root = os.fspath(root)
        places = repository.find(root)
        self.fold = places.fold if places else False
        self.outer_files: list[str] = []
        outer: list[tuple[str, list[Pattern]]] = []
        self.tracked: frozenset[str] = frozenset()
        self.persons: list[Pattern] = []
        """The person's own rules, which hold in every repository."""
        self.top = ""
        if places is not None:
            self.top = as_bytes(places.prefix)
            self.outer_files = [
                places.index_file,
                places.exclude,
                places.excludes_file,
                *repository.submodule_indexes(places.index_file),
            ]
            # The stamp is taken first: what changes while we read is read again next time.
            self.stamp = repository.stamp(self.outer_files)
            outer = repository.outer_rules(places)
            self.persons = outer[-1][1]
            self.tracked = repository.tracked(root)
        else:
            self.stamp = ()
        self.tracked_folders = frozenset(
            above for path in self.tracked for above in tree.ancestors(path)
        )
        self._outer = outer
        self.include = PatternList(patterns.parse_lines(include, "sync.include"), fold=self.fold)
        self.openings = PatternList(openings(self.include.patterns), fold=self.fold)
        self.ignore = PatternList(patterns.parse_lines(ignore, "sync.ignore"), fold=self.fold)
        self.built_in = PatternList(patterns.parse_lines(BUILT_IN, "built-in"), fold=self.fold)
        own = repository.read_rules(os.path.join(root, repository.RULES), repository.RULES)
        lists = [
            (at, PatternList(found, fold=self.fold))
            for at, found in [(len(self.top), own), *((len(base), found) for base, found in outer)]
            if found
        ]
        self._top = Folder(self, "", SYNCED, None, True, False, lists)
        self._folders = {"": self._top}

    def alike(self, other: _State) -> bool:
        """Whether the same was read from outside the tree."""
        mine = self.tracked, self._outer, self.fold, self.top
        return mine == (other.tracked, other._outer, other.fold, other.top)

    def folder(self, path: str) -> Folder:
        found = self._folders.get(path)
        if found is not None:
            return found
        if len(self._folders) > MAX_FOLDERS:
            self._folders = {"": self._top}
        # From the deepest one that is known down to the one that is wanted.
        missing = [path]
        for above in tree.ancestors(path):
            if above in self._folders:
                break
            missing.append(above)
        folder = self._folders.get(names.parent(missing[-1]), self._top)
        for one in reversed(missing):
            if folder.verdict.ignored:
                return folder
            folder = self._folders[one] = folder.inner(one.rpartition("/")[2])
        return folder

    def forget(self, path: str) -> None:
        if self._folders.pop(path, None) is not None:
            below = f"{path}/"
            for one in [one for one in self._folders if one.startswith(below)]:
                self._folders.pop(one, None)

    def environment(self, path: str) -> str:
        """The mark that says that a directory is a Python environment, "" where there is none."""
        for mark in ENVIRONMENT_MARKS:
            if os.path.lexists(f"{self.root}/{path}/{mark}"):
                return mark
        return ""

    def is_project(self, path: str) -> bool:
        """Whether a directory is a project of its own."""
        folder = f"{self.root}/{path}/"
        if any(os.path.lexists(folder + mark) for mark in PROJECT_MARKS):
            return True
        try:
            with open(folder + PYPROJECT, "rb") as file:
                text = file.read(patterns.MAX_FILE)
        except OSError:
            return False
        return b"sidecar" in text and names_us(Path(folder, PYPROJECT))


class Folder:
    """What holds for the entries of one directory. `verdict` is the decision for the directory
    itself; is it ignored, all below it is."""

    __slots__ = (
        "_included",
        "_lists",
        "_prefix",
        "_reason",
        "_state",
        "_tracked_pass",
        "path",
        "verdict",
    )

    def __init__(
        self,
        state: _State,
        path: str,
        verdict: Decision,
        reason: Decision | None,
        tracked_pass: bool,
        included: bool,
        lists: list[tuple[int, PatternList]],
    ) -> None:
        self.path, self.verdict = path, verdict
        # Why this directory would be ignored, were it not on the way to something that is not:
        # its entries are ignored for that, except tracked (if those pass) and included ones.
        self._reason, self._tracked_pass = reason, tracked_pass
        # Whether the directory was included as a whole, so that git's rules do not matter in it.
        self._included = included
        # Ignore files, the strongest first, with the place in a path from the work tree's top
        # where the part begins that each of them looks at.
        self._lists = lists
        self._state = state
        self._prefix = state.top + as_bytes(f"{path}/" if path else "")

    def decide(self, name: str, is_dir: bool) -> Decision:
        """The decision for an entry of this directory."""
        if self.verdict.ignored:
            return self.verdict
        if is_dir:
            return self._state.folder(f"{self.path}/{name}" if self.path else name).verdict
        return self._judge(name, is_dir)[0]

    def inner(self, name: str) -> Folder:
        """What holds in a directory in this one, read anew (`Rules.folder` remembers)."""
        state = self._state
        path = f"{self.path}/{name}" if self.path else name
        verdict, reason, tracked_pass, included = self._judge(name, True)
        if verdict.ignored:
            return Folder(state, path, verdict, reason, False, False, [])
        lists, at = self._lists, len(self._prefix) + len(as_bytes(name)) + 1
        repo = repository.rules_inside(f"{state.root}/{path}", path)
        if repo is not None:
            # A submodule or another clone: git asks none of the rules around it there.
            lists = [(at, PatternList(found, fold=state.fold)) for found in (repo, state.persons)]
            if path in state.tracked_folders and tracked_pass:
                reason = None  # what is new in a submodule is none of the outer rules' either
        source = f"{path}/{repository.RULES}"
        own = repository.read_rules(f"{state.root}/{source}", source)
        if own:
            lists = [(at, PatternList(own, fold=state.fold)), *lists]
        return Folder(state, path, verdict, reason, tracked_pass, included, lists)

    def _judge(self, name: str, is_dir: bool) -> tuple[Decision, Decision | None, bool, bool]:
        """The decision, and what an inner directory needs: reason, tracked_pass, included."""
        if name in NEVER:
            return Decision(True, name, "never synced"), None, False, False
        path = f"{self.path}/{name}" if self.path else name
        judged = self._by_rules(path, name, is_dir)
        if is_dir and not judged[0].ignored and self._state.is_project(path):
            return Decision(True, path, "a project of its own"), None, False, False
        return judged

    def _by_rules(
        self, path: str, name: str, is_dir: bool
    ) -> tuple[Decision, Decision | None, bool, bool]:
        state = self._state
        raw = as_bytes(name)
        in_root = self._prefix[len(state.top) :] + raw
        hit = state.include.match(in_root, raw, is_dir)
        if hit is not None and not hit.negated:
            return Decision(False, _written(hit), hit.source), None, True, True
        reason, tracked_pass = self._reason, self._tracked_pass
        hit = state.ignore.match(in_root, raw, is_dir)
        if hit is not None and not hit.negated:
            reason, tracked_pass = Decision(True, _written(hit), hit.source), False
        elif reason is None and hit is None:
            reason = self._by_git(raw, is_dir) or self._by_kind(path, in_root, raw, is_dir)
        if reason is None:
            return SYNCED, None, True, self._included
        if tracked_pass:
            if path in state.tracked:
                # A directory that is tracked by itself is a submodule that is not checked out.
                return Decision(False, path, "tracked by git"), None, True, self._included
            if is_dir and path in state.tracked_folders:
                return Decision(False, path, "holds what git tracks"), reason, True, False
        if is_dir:
            hit = state.openings.match(in_root, raw, True)
            if hit is not None:
                return Decision(False, _written(hit), hit.source), reason, tracked_pass, False
        return reason, reason, False, False

    def _by_git(self, raw: str, is_dir: bool) -> Decision | None:
        if self._included or not self._lists:
            return None
        path = self._prefix + raw
        for at, rules in self._lists:
            hit = rules.match(path[at:], raw, is_dir)
            if hit is not None:
                return None if hit.negated else Decision(True, _written(hit), hit.source)
        return None

    def _by_kind(self, path: str, in_root: str, raw: str, is_dir: bool) -> Decision | None:
        hit = self._state.built_in.match(in_root, raw, is_dir)
        if hit is not None:
            return Decision(True, hit.text, hit.source)
        if is_dir:
            mark = self._state.environment(path)
            if mark:
                return Decision(True, mark, "an environment")
        return None


def _written(pattern: Pattern) -> str:
    """The pattern as text for people, from its bytes."""
    return pattern.text.encode("latin-1").decode("utf-8", "surrogateescape")


def openings(include: Sequence[Pattern]) -> list[Pattern]:
    """Patterns for the folders on the way to what such patterns name."""
    found = []
    for pattern in include:
        parts = pattern.glob.split("/")
        if pattern.negated or not pattern.in_path:
            continue
        for number in range(1, len(parts)):
            if parts[number - 1] == "**":
                break
            way = "/".join(parts[:number])
            found.append(pattern._replace(glob=way, in_path=True, folders_only=True))
            if parts[number] == "**":
                found.append(pattern._replace(glob=f"{way}/**", in_path=True, folders_only=True))
    return found
