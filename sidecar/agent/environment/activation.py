"""What activating a Python environment does to variables.

conda's rules, as its own `conda activate` and `conda run` have them (conda/activate.py, 24.11):

1. `bin` of the environment stands first in PATH; where another one was active (a login shell often
   activates `base`), in that one's place, and the scripts of etc/conda/deactivate.d have run.
2. CONDA_PREFIX, CONDA_SHLVL, CONDA_DEFAULT_ENV, CONDA_PROMPT_MODIFIER, CONDA_EXE and
   CONDA_PYTHON_EXE, and CONDA_PREFIX_n for the one before.
3. The variables of etc/conda/env_vars.d/*.json, then of conda-meta/state; what they replace is kept
   in __CONDA_SHLVL_n_NAME.
4. A bash reads etc/conda/activate.d/*.sh, in the order of their names.

A venv gets VIRTUAL_ENV and its `bin` in front, and PYTHONHOME goes, as its `activate` does. Of any
other interpreter the folder stands in front only where PATH would find another one.
"""

import json
import os
import shutil
from typing import Any, Dict, List

from sidecar.agent.environment import login

_UNSET = "***unset***"
"""conda's word for a variable that was taken back (`conda env config vars unset`)."""

MOST_STATE = 1 << 20


def prefix_of(python: str) -> str:
    """The folder of the environment that this interpreter is in."""
    return os.path.dirname(os.path.dirname(python))


def is_conda(prefix: str) -> bool:
    return os.path.isdir(os.path.join(prefix, "conda-meta"))


def is_venv(prefix: str) -> bool:
    return os.path.isfile(os.path.join(prefix, "pyvenv.cfg"))


def activated(python: str, variables: Dict[str, str]) -> Dict[str, str]:
    """These variables with the environment of that interpreter active. May take as long as its
    scripts do.

    Raises:
        login.SetupFailed: the scripts of a conda environment do not end.
    """
    prefix = prefix_of(python)
    if is_conda(prefix):
        return conda(prefix, variables)
    changed = dict(variables)
    folder = os.path.dirname(python)
    if is_venv(prefix):
        changed["VIRTUAL_ENV"] = prefix
        changed.pop("PYTHONHOME", None)
        changed["PATH"] = _with_first([folder], changed)
    elif shutil.which(os.path.basename(python), path=changed.get("PATH", "")) != python:
        changed["PATH"] = _with_first([folder], changed)
    return changed


def conda(prefix: str, variables: Dict[str, str]) -> Dict[str, str]:
    """As `activated`, for a conda environment."""
    before = variables.get("CONDA_PREFIX", "")
    depth = _number(variables.get("CONDA_SHLVL", "")) if before else 0
    changed = dict(variables)
    changed.pop("VIRTUAL_ENV", None)
    if before == prefix and depth:
        depth -= 1  # active already: once more, as conda's reactivation
    elif depth:
        changed = _run(_scripts(before, "deactivate.d")[::-1], changed)
        for name in _variables(before):
            kept = changed.pop("__CONDA_SHLVL_%d_%s" % (depth - 1, name), None)
            changed.pop(name, None)
            if kept is not None:
                changed[name] = kept
        changed["CONDA_PREFIX_%d" % depth] = before
    root = _root(prefix, variables)
    front = [os.path.join(prefix, "bin")]
    if not before and root and os.path.isdir(os.path.join(root, "condabin")):
        front.append(os.path.join(root, "condabin"))
    old = os.path.join(before, "bin") if depth and before != prefix else ""
    changed["PATH"] = _with_first(front, changed, old)
    name = _name(prefix, root)
    changed["CONDA_PREFIX"] = prefix
    changed["CONDA_SHLVL"] = str(depth + 1)
    changed["CONDA_DEFAULT_ENV"] = name
    changed["CONDA_PROMPT_MODIFIER"] = "(%s) " % name
    if root and os.path.isfile(os.path.join(root, "bin", "conda")):
        changed["CONDA_EXE"] = os.path.join(root, "bin", "conda")
        changed["CONDA_PYTHON_EXE"] = os.path.join(root, "bin", "python")
    for key, value in _variables(prefix).items():
        if key in variables and before != prefix:
            changed["__CONDA_SHLVL_%d_%s" % (depth, key)] = variables[key]
        changed[key] = value
    return _run(_scripts(prefix, "activate.d"), changed)


def _run(scripts: List[str], variables: Dict[str, str]) -> Dict[str, str]:
    return login.sourced(scripts, variables) if scripts else variables


def _scripts(prefix: str, kind: str) -> List[str]:
    folder = os.path.join(prefix, "etc", "conda", kind)
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(".sh"))
    except OSError:
        return []  # most environments have none
    return [os.path.join(folder, name) for name in names]


def _variables(prefix: str) -> Dict[str, str]:
    found: Dict[str, str] = {}
    folder = os.path.join(prefix, "etc", "conda", "env_vars.d")
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(".json"))
    except OSError:
        names = []  # most environments have none
    for name in names:
        found.update(_texts(_json(os.path.join(folder, name))))
    state = _json(os.path.join(prefix, "conda-meta", "state"))
    found.update(_texts(state.get("env_vars") if isinstance(state, dict) else None))
    return {key: value for key, value in found.items() if value != _UNSET}


def _texts(value: Any) -> Dict[str, str]:
    if not isinstance(value, dict):
        return {}
    return {
        key: str(one)
        for key, one in value.items()
        if isinstance(key, str) and key and "=" not in key and "\0" not in key + str(one)
    }


def _json(path: str) -> Any:
    try:
        with open(path, encoding="utf-8") as file:
            return json.loads(file.read(MOST_STATE))
    except (OSError, ValueError):
        return {}  # not there, as a rule; what conda cannot read either sets nothing


def _root(prefix: str, variables: Dict[str, str]) -> str:
    """The installation that an environment belongs to, "" where that cannot be told."""
    if os.path.isdir(os.path.join(prefix, "condabin")):
        return prefix
    above = os.path.dirname(prefix)
    if os.path.basename(above) == "envs":
        return os.path.dirname(above)
    return os.path.dirname(os.path.dirname(variables.get("CONDA_EXE", "")))


def _name(prefix: str, root: str) -> str:
    if prefix == root:
        return "base"
    if os.path.basename(os.path.dirname(prefix)) == "envs":
        return os.path.basename(prefix)
    return prefix


def _with_first(front: List[str], variables: Dict[str, str], instead_of: str = "") -> str:
    """PATH with these folders in front, or where `instead_of` stands in it."""
    parts = variables.get("PATH", os.defpath).split(os.pathsep)
    at = parts.index(instead_of) if instead_of in parts else 0
    before = [part for part in parts[:at] if part not in front]
    behind = [part for part in parts[at:] if part not in front and part != instead_of]
    return os.pathsep.join(before + front + behind)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0
