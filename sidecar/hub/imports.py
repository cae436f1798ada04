"""What a project needs from its environment: the packages that its files import.

Lines that begin with `import` or `from` at the left margin; what stands further in is in a function
or behind a `try`, and may well be missing. By the look of the lines, since the compiler's parser
keeps the interpreter's lock for as long as a file takes.
"""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path

MOST_FILES = 2000
MOST_BYTES = 1 << 20
"""Of one file; what is larger was not written by hand."""

SECONDS = 2.0

_IMPORT = re.compile(
    r"^(?:from[ \t]+([A-Za-z_]\w*)[\w.]*[ \t]+import\b"
    r"|import[ \t]+([A-Za-z_][\w.]*(?:[ \t]+as[ \t]+\w+)?"
    r"(?:[ \t]*,[ \t]*[A-Za-z_][\w.]*(?:[ \t]+as[ \t]+\w+)?)*)[ \t]*(?:#.*|;.*)?$)",
    re.MULTILINE,
)

_SKIPPED = frozenset({"node_modules", "__pycache__", "site-packages", "build", "dist"})


def imported(text: str) -> set[str]:
    """Names of the top modules that a file imports at its left margin."""
    found = set()
    for match in _IMPORT.finditer(text):
        if match[1]:
            found.add(match[1])
        else:
            found.update(re.split(r"[. \t]", one.strip())[0] for one in match[2].split(","))
    return found - {"__future__"}


def needed(root: Path) -> list[str]:
    """What the project's files import that is neither theirs nor Python's. Reads for at most
    SECONDS, so that of a very large project only a part counts."""
    own, found = set(), set()
    files = 0
    end = time.monotonic() + SECONDS
    for folder, folders, names in os.walk(root):
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".")
            and name not in _SKIPPED
            and not os.path.exists(os.path.join(folder, name, "pyvenv.cfg"))
            and not os.path.exists(os.path.join(folder, name, "conda-meta"))
        ]
        own.update(folders)
        for name in names:
            stem, suffix = os.path.splitext(name)
            if suffix not in (".py", ".pyx", ".so"):
                continue
            own.add(stem.partition(".")[0])
            if suffix == ".py":
                files += 1
                found |= imported(_text(os.path.join(folder, name)))
        if files > MOST_FILES or time.monotonic() > end:
            break
    return sorted(found - own - sys.stdlib_module_names)


def conda_names(root: Path) -> list[str]:
    """What the project's conda environment may be called: as its `environment.yml` says, or as
    the project itself."""
    names = []
    for name in ("environment.yml", "environment.yaml"):
        match = re.search(r"(?m)^name:[ \t]*['\"]?([^\s'\"#]+)", _text(root / name))
        if match:
            names.append(match[1])
    return list(dict.fromkeys([*names, root.name]))


def _text(path: str | Path) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(MOST_BYTES)
    except OSError:
        return ""  # not there, or not ours to read
