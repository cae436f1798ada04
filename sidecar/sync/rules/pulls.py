"""Which paths of the remote come here by themselves, as `[sync] pull` says it.

Patterns as in .gitignore, decided from the top component down; here a `!pattern` also counts below
a folder that matched (`runs/` with `!*.ckpt`). Two kinds:

- *Named* ones (`runs/`, `*.png`): what they match is the remote's own, whatever git ignores.
- *All* (`**`, `*`): every path that the rules here sync; what is ours stays ours, and comes when it
  was edited there.

Never: git's and our own state, what built-in rules ignore unless a pattern matches just that, and
what this machine might run by itself (disk/landing.py), unless a pattern is that path.
"""

from __future__ import annotations

from collections.abc import Sequence

from sidecar.core import tree
from sidecar.core.reconcile import COMES, THEIRS
from sidecar.sync.disk.landing import NotTaken, refuse_what_runs
from sidecar.sync.rules import patterns
from sidecar.sync.rules.ignore import BUILT_IN, NEVER, Rules, openings
from sidecar.sync.rules.patterns import Pattern, PatternList, as_bytes

ALL = frozenset({"*", "**", "**/*", "*/**"})

MOST_FOLDERS = 200_000
"""Folders whose state is remembered; beyond it, all are forgotten."""

_SPECIAL = frozenset("*?[\\")


class Pulls:
    """The patterns of one project. Decisions may be asked for from several threads."""

    def __init__(self, wanted: Sequence[str], rules: Rules) -> None:
        found = patterns.parse_lines(wanted, "sync.pull")
        self._rules = rules
        self.all = any(one.glob in ALL and not one.negated for one in found)
        self._named = [one for one in found if one.glob not in ALL]
        self._list = PatternList(self._named)
        self._built_in = PatternList(patterns.parse_lines(BUILT_IN, "built-in"))
        positive = [one for one in self._named if not one.negated]
        self._anywhere = any(not one.in_path for one in positive)
        self._openings = PatternList(openings(positive))
        self._literal = {one.glob for one in positive if _is_literal(one)}
        self._folders: dict[str, bool | None] = {"": None}

    def __bool__(self) -> bool:
        return self.all or bool(self._named)

    def of(self, path: str, is_dir: bool = False) -> int:
        """COMES and THEIRS, or-ed, as reconcile takes it."""
        if not self or not self._allowed(path):
            return 0
        matched = self._matched(path, is_dir)
        if matched:
            return COMES | THEIRS
        if matched is None and self.all and not self._rules.decide(path, is_dir).ignored:
            return COMES
        return 0

    def rule(self, path: str, is_dir: bool = False) -> str:
        """The pattern by which what is there comes here, as it was written; "" where none does."""
        if not self.of(path, is_dir):
            return ""
        for part in [path, *tree.ancestors(path)]:
            name = part.rpartition("/")[2]
            hit = self._list.match(as_bytes(part), as_bytes(name), is_dir or part != path)
            if hit is not None:
                return hit.text
        return "**"

    def enters(self, folder: str) -> bool:
        """Whether something in a folder may come."""
        if not folder:
            return bool(self)
        if not self or not self._allowed(folder):
            return False
        if self._matched(folder, True):
            return True
        raw, name = as_bytes(folder), as_bytes(folder.rpartition("/")[2])
        if self._openings.match(raw, name, True) is not None:
            return True
        return (self.all or self._anywhere) and not self._rules.decide(folder, True).ignored

    def is_named(self, path: str) -> bool:
        """Whether a pattern is just this path, so that the person is taken at their word."""
        return path in self._literal

    def _allowed(self, path: str) -> bool:
        if any(part in NEVER for part in path.split("/")):
            return False
        try:
            refuse_what_runs(path, False, False)
        except NotTaken:
            return self.is_named(path)
        return True

    def _matched(self, path: str, is_dir: bool) -> bool | None:
        """Whether a named pattern has the path: True, False (by a `!`), None: none has."""
        above, _, name = path.rpartition("/")
        state = self._folder(above)
        raw = as_bytes(name)
        hit = self._list.match(as_bytes(path), raw, is_dir)
        if hit is not None:
            return not hit.negated
        if state and self._built_in.match(as_bytes(path), raw, is_dir) is not None:
            return False
        return state

    def _folder(self, path: str) -> bool | None:
        if path not in self._folders:
            if len(self._folders) > MOST_FOLDERS:
                self._folders = {"": None}
            self._folders[path] = self._matched(path, True)
        return self._folders[path]


def _is_literal(pattern: Pattern) -> bool:
    return not _SPECIAL & set(pattern.glob) and not pattern.folders_only
