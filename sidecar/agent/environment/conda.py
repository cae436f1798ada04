"""Where conda, mamba and micromamba have their environments, also when none of them is on PATH.

Known by: the variables that their start-up lines set, the places their installers choose, the list
that conda keeps of all environments it made (~/.conda/environments.txt), and `envs_dirs` of
.condarc. An environment is a folder with `conda-meta`, or with an interpreter below `envs`.
"""

import os
from typing import Dict, List, Mapping, NamedTuple

ROOTS = (
    "~/miniconda3", "~/anaconda3", "~/miniforge3", "~/mambaforge", "~/micromamba", "~/mamba",
    "~/miniconda", "~/anaconda", "~/conda", "~/.conda", "~/opt/miniconda3", "~/opt/anaconda3",
    "~/.local/share/mamba", "~/.local/share/micromamba", "~/.micromamba", "~/miniforge",
    "/opt/conda", "/opt/miniconda3", "/opt/anaconda3", "/opt/miniforge3", "/opt/mambaforge",
    "/opt/miniconda", "/opt/anaconda", "/opt/micromamba", "/usr/local/miniconda3",
    "/usr/local/anaconda3", "/usr/local/miniforge3",
)  # fmt: skip
"""Where installers put themselves; the environments lie in `envs` below."""

MOST_LISTED = 1 << 16
"""Bytes of a list of environments that are read."""


class Environment(NamedTuple):
    """`name` as conda has it: "base", or the folder's."""

    name: str
    prefix: str

    @property
    def python(self) -> str:
        return os.path.join(self.prefix, "bin", "python")


def environments(variables: Mapping[str, str]) -> List[Environment]:
    """All that have an interpreter, those of the first installation first; each once.

    Args:
        variables: of a login shell.
    """
    found: Dict[str, Environment] = {}

    def add(name: str, prefix: str) -> None:
        if os.path.lexists(os.path.join(prefix, "bin", "python")):
            found.setdefault(os.path.realpath(prefix), Environment(name, prefix))

    for root in roots(variables):
        if any(os.path.isdir(os.path.join(root, name)) for name in ("conda-meta", "envs")):
            add("base", root)
        for prefix in _below(os.path.join(root, "envs")):
            add(os.path.basename(prefix), prefix)
    for folder in _folders(variables):
        for prefix in _below(folder):
            add(os.path.basename(prefix), prefix)
    for prefix in _read("~/.conda/environments.txt"):
        if os.path.isabs(prefix):
            # conda lists its roots as well.
            is_root = os.path.isdir(os.path.join(prefix, "condabin"))
            add("base" if is_root else os.path.basename(prefix), prefix.rstrip("/"))
    active = variables.get("CONDA_PREFIX", "")
    if os.path.isabs(active):
        add(variables.get("CONDA_DEFAULT_ENV") or os.path.basename(active), active)
    return list(found.values())


def roots(variables: Mapping[str, str]) -> List[str]:
    """Folders that an installation may be in."""
    found = [variables.get(name, "") for name in ("MAMBA_ROOT_PREFIX", "CONDA_ROOT", "_CONDA_ROOT")]
    for name in ("CONDA_EXE", "MAMBA_EXE"):
        found.append(os.path.dirname(os.path.dirname(variables.get(name, ""))))
    for folder in variables.get("PATH", "").split(os.pathsep):
        above, name = os.path.split(folder)
        if name in ("condabin", "bin") and os.path.exists(os.path.join(above, "condabin")):
            found.append(above)
    found += [os.path.expanduser(root) for root in ROOTS]
    return list(dict.fromkeys(root for root in found if os.path.isabs(root) and root != "/"))


def _folders(variables: Mapping[str, str]) -> List[str]:
    """Folders of environments that the person has configured."""
    listed: List[str] = []
    for name in ("CONDA_ENVS_PATH", "CONDA_ENVS_DIRS"):
        listed += variables.get(name, "").split(os.pathsep)
    inside = False
    for line in _read("~/.condarc") + _read("~/.mambarc"):
        # Two lines of YAML are all that is needed of it.
        word = line.strip()
        if inside and word.startswith("- "):
            listed.append(word[2:].strip().strip("'\""))
        elif word and not word.startswith("#"):
            inside = word.startswith(("envs_dirs:", "envs_path:"))
    paths = [os.path.expanduser(os.path.expandvars(path)) for path in listed]
    return [path for path in paths if os.path.isabs(path)]


def _below(folder: str) -> List[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.path for entry in entries if not entry.name.startswith("."))
    except OSError:
        return []  # most of the usual places are not there


def _read(path: str) -> List[str]:
    try:
        with open(os.path.expanduser(path), encoding="utf-8", errors="replace") as file:
            return file.read(MOST_LISTED).split("\n")
    except OSError:
        return []  # conda keeps it where it could
