"""Every interpreter that a person may mean on this machine, found by where tools put them.

Nothing is started here, and only folders with known names are looked into: a file system of
others is not ours to walk.
"""

import glob
import os
import re
import shutil
import sys
from typing import Dict, List, Mapping, NamedTuple

from sidecar.agent.environment import conda, packages

MOST = 100
"""Candidates; who has more is shown the first."""


class Candidate(NamedTuple):
    """`name`: what a person calls it by; `setting`: what `python` in the configuration is then;
    `kind`: "venv", "conda", "uv", "pyenv", "poetry", "login" or "system"."""

    name: str
    path: str
    setting: str
    kind: str


def candidates(root: str, variables: Mapping[str, str]) -> List[Candidate]:
    """All of them, nearest to the project first; each environment once, under its best name.

    Args:
        root: the project's folder there.
        variables: of a login shell, after `setup`.
    """
    found: Dict[str, Candidate] = {}

    def add(name: str, path: str, setting: str, kind: str) -> None:
        if os.path.lexists(path) and len(found) < MOST:
            found.setdefault(identity(path), Candidate(name, path, setting, kind))

    for path in _in_and_near(root):
        relative = os.path.relpath(path, root)
        inside = not relative.startswith("..")
        setting = relative if inside else shown(path)
        add(os.path.dirname(os.path.dirname(setting)), path, setting, "venv")
    known = set()
    for one in conda.environments(variables):
        name = "conda:" + one.name
        # A second environment of that name is only its path.
        setting = name if name not in known else shown(one.python)
        add(setting if name in known else name, one.python, setting, "conda")
        known.add(name)
    for kind, pattern in _kept_by_tools(variables):
        for path in sorted(glob.glob(pattern)):
            prefix = os.path.dirname(os.path.dirname(path))
            own = "venv" if kind == "venv" else kind
            name = shown(prefix) if kind == "venv" else "%s:%s" % (kind, os.path.basename(prefix))
            add(name, path, shown(path), own)
    for name in ("python3", "python"):
        on_path = shutil.which(name, path=variables.get("PATH", ""))
        if on_path:
            add(name, on_path, shown(on_path), "login")
            break
    for path in ("/usr/local/bin/python3", "/usr/bin/python3"):
        add(path, path, path, "system")
    if not found:
        add(sys.executable, sys.executable, sys.executable, "system")
    return list(found.values())


def identity(path: str) -> str:
    """The same for two names of one environment: a venv is its folder, whatever its interpreter is
    a link to; other interpreters are the file that they are in the end."""
    prefix = os.path.dirname(os.path.dirname(path))
    if os.path.exists(os.path.join(prefix, "pyvenv.cfg")) or os.path.isdir(
        os.path.join(prefix, "conda-meta")
    ):
        return os.path.realpath(prefix)
    return os.path.realpath(path)


def shown(path: str) -> str:
    """With `~` for the home, as people write it."""
    home = os.path.expanduser("~")
    return "~" + path[len(home) :] if path.startswith(home + "/") else path


def version_by_name(candidate: Candidate) -> str:
    """The version, where the environment's files tell it; "" where only the interpreter can."""
    prefix = os.path.dirname(os.path.dirname(candidate.path))
    settings = packages.venv_settings(prefix)
    for key in ("version_info", "version"):
        match = re.match(r"3\.\d+\.\d+", settings.get(key, ""))
        if match:
            return match[0]
    if settings:
        return ""
    for path in glob.glob(os.path.join(glob.escape(prefix), "conda-meta", "python-3.*.json")):
        match = re.match(r"python-(3\.\d+\.\d+)-", os.path.basename(path))
        if match:
            return match[1]
    if candidate.kind in ("pyenv", "uv"):
        match = re.search(r"(?:^|-)(3\.\d+\.\d+)(?:-|$)", os.path.basename(prefix))
        if match:
            return match[1]
    return ""


def _in_and_near(root: str) -> List[str]:
    """Interpreters of the environments in the project's folder, its own first; in the folder above
    by their usual names."""
    folders = [os.path.join(root, name) for name in (".venv", "venv", "env")]
    try:
        with os.scandir(root) as entries:
            folders += sorted(entry.path for entry in entries if entry.is_dir())[:200]
    except OSError:
        pass  # not there yet
    folders += [os.path.join(os.path.dirname(root), name) for name in (".venv", "venv")]
    return [
        os.path.join(folder, "bin", "python")
        for folder in dict.fromkeys(folders)
        if os.path.exists(os.path.join(folder, "pyvenv.cfg"))
        or os.path.lexists(os.path.join(folder, "bin", "python"))
    ]


def _kept_by_tools(variables: Mapping[str, str]) -> List["tuple[str, str]"]:
    """Kinds, and the patterns of their interpreters."""

    def place(variable: str, *usual: str) -> List[str]:
        own = variables.get(variable, "")
        paths = [own] if os.path.isabs(own) else [os.path.expanduser(one) for one in usual]
        return [glob.escape(path) for path in paths]

    data = variables.get("XDG_DATA_HOME") or "~/.local/share"
    cache = variables.get("XDG_CACHE_HOME") or "~/.cache"
    config = [
        ("uv", place("UV_PYTHON_INSTALL_DIR", data + "/uv/python"), "*/bin/python3"),
        ("pyenv", place("PYENV_ROOT", "~/.pyenv"), "versions/*/bin/python"),
        ("poetry", place("POETRY_CACHE_DIR", cache + "/pypoetry"), "virtualenvs/*/bin/python"),
        (
            "venv",
            place("WORKON_HOME", "~/.virtualenvs", "~/.venvs", "~/venvs", "~/envs", "~/.envs"),
            "*/bin/python",
        ),
        ("venv", place("", "~"), ".venv/bin/python"),
        ("venv", place("", "~"), "venv/bin/python"),
        ("venv", place("", data + "/virtualenvs"), "*/bin/python"),
    ]
    return [
        (kind, os.path.join(folder, rest)) for kind, places, rest in config for folder in places
    ]
