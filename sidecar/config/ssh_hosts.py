"""The names in the person's own ssh configuration.

`sidecar init` offers them, and a shared file may name them without being trusted: the person
already said what such a name means. Only the names are read here; what they mean is ssh's to say.
"""

from __future__ import annotations

import glob
import os
import shlex
from collections.abc import Mapping
from pathlib import Path

_DEPTH = 16
"""Of Include; OpenSSH has the same limit."""


def ssh_hosts(environ: Mapping[str, str]) -> list[str]:
    """Host names without wildcards, in the order of the files; the file is the one that
    SIDECAR_SSH_CONFIG names, else ~/.ssh/config."""
    named = environ.get("SIDECAR_SSH_CONFIG", "")
    start = Path(named) if named else Path("~/.ssh/config").expanduser()
    found: dict[str, None] = {}
    _read(start, found, 0)
    return list(found)


def _read(path: Path, found: dict[str, None], depth: int) -> None:
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return  # ssh too goes on without a file that it cannot read
    for line in text.splitlines():
        word, _, rest = line.strip().replace("=", " ", 1).partition(" ")
        if word.lower() == "host":
            for name in _words(rest):
                if not set(name) & set("*?!"):
                    found[name] = None
        elif word.lower() == "include" and depth < _DEPTH:
            for pattern in _words(rest):
                whole = os.path.join(os.path.expanduser("~/.ssh"), os.path.expanduser(pattern))
                for included in sorted(glob.glob(whole)):
                    _read(Path(included), found, depth + 1)


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text, comments=True)
    except ValueError:
        return []  # an unclosed quote: ssh refuses the line
