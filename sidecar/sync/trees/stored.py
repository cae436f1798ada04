"""What an engine begins with: the rules and base, read before it is made.

Both take their time, git's answer and a large tree's base 0.2 s each, so a thread reads them.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from sidecar.config import model
from sidecar.sync.rules.ignore import Rules
from sidecar.sync.trees.base import Base
from sidecar.sync.trees.history import History


class Stored(NamedTuple):
    """`folder`: of our own for what is remembered. `base` is open; the engine closes it."""

    folder: Path
    rules: Rules
    base: Base

    @classmethod
    def read(cls, root: Path, settings: model.Sync, folder: Path) -> Stored:
        """Blocking.

        Args:
            root: the project's folder here, its real path.
            folder: exists, 0700, held by one process.
        """
        history = History(folder / "history")
        rules = Rules.load(root, settings.ignore, settings.include)
        base = Base(folder / BASE)  # last: nobody closes what a maker that failed had opened
        base.history = history
        return cls(folder, rules, base)


BASE = "base.journal"
