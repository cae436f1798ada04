"""Which project a file belongs to: the nearest configuration upward owns it."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import NamedTuple

from sidecar.config import layers
from sidecar.errors import ConfigError

SHARED = "sidecar.toml"
PYPROJECT = "pyproject.toml"
LOCAL = "sidecar.local.toml"
TABLE = ("tool", "sidecar")

_NEVER_ENTERED = frozenset({".git", ".hg", ".svn", ".sidecar", "__pycache__", "node_modules"})
_HEADER = re.compile(r"^[ \t]*\[[ \t]*tool[ \t]*\.[ \t]*sidecar[ \t]*[.\]]", re.MULTILINE)


class Project(NamedTuple):
    """A folder with a configuration. `root`: its real path, by which it is known; `spelled`: as
    it was reached, which is how an editor spells its files."""

    root: Path
    spelled: Path

    @property
    def folder(self) -> str:
        """The folder's own name, which `{folder}` stands for."""
        return self.spelled.name


def find_project(path: Path) -> Project | None:
    """The project that owns `path` (a file or folder, which need not exist), or None.

    The way it is spelled is gone upward first, then its real path, so that a link into a project
    finds it too.
    """
    spelled = os.path.abspath(path)
    folder = _nearest(spelled)
    if folder is None:
        real = os.path.realpath(spelled)
        folder = _nearest(real) if real != spelled else None
    return at(folder) if folder is not None else None


def _nearest(start: str) -> str | None:
    """The first folder upward that is a project. Every save asks, so it is done by strings: a
    third of the time that it takes by paths."""
    folder = start
    while not is_project(folder):
        above = os.path.dirname(folder)
        if above == folder:
            return None
        folder = above
    return folder


def at(folder: str | Path) -> Project:
    """This folder as a project, whether it is configured yet or not."""
    spelled = Path(os.path.abspath(folder))
    return Project(Path(os.path.realpath(spelled)), spelled)


def is_project(folder: str | Path) -> bool:
    """Whether this very folder holds a configuration that is somebody's."""
    pyproject = os.path.join(folder, PYPROJECT)
    found = any(os.path.isfile(os.path.join(folder, name)) for name in (SHARED, LOCAL)) or (
        os.path.isfile(pyproject) and names_us(Path(pyproject))
    )
    return found and not _is_everybodys(folder)


def _is_everybodys(folder: str | Path) -> bool:
    """Whether all users of the machine put their files there, as in /tmp: a configuration in it
    would make a project, by another user's wish, of all that is opened below."""
    everybodys = stat.S_ISVTX | stat.S_IWOTH
    try:
        return os.stat(folder).st_mode & everybodys == everybodys
    except OSError:
        return False


def names_us(pyproject: Path) -> bool:
    """Whether it has our table. A file that is no TOML right now counts by its header: somebody
    is typing in it, and the project must not vanish meanwhile."""
    try:
        text = layers.read_text(pyproject, PYPROJECT)
    except ConfigError:
        return False
    if text is None or "sidecar" not in text:
        return False
    try:
        tool = layers.parse(text, PYPROJECT).get("tool")
    except ConfigError:
        return _HEADER.search(text) is not None
    return isinstance(tool, dict) and TABLE[1] in tool
