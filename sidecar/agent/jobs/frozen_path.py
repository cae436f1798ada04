"""Where a frozen program finds its modules: each place of the project on Python's search path gives
way to the same place in the copy.

The script's own folder is on the path by itself, since the script is started from the copy. The
rest stands in PYTHONPATH, which spawned workers inherit: what was in it before, and what the
interpreter adds by itself (an editable installation of the project, a `.pth` file), as the copy has
it.
"""

import json
import os
from typing import Dict, List, Optional

from sidecar.agent.environment.interpreters import ask, between
from sidecar.agent.failure import Failure

_PROBE = """\
import json, os, sys
found = [path for path in sys.path if path]
for finder in sys.meta_path:
    module = sys.modules.get(getattr(finder, "__module__", None))
    mapping = getattr(module, "MAPPING", None)
    if isinstance(mapping, dict):
        found += [os.path.dirname(path) for name, path in mapping.items()
                  if os.path.basename(path) == name]
print("%s" + json.dumps(found) + "%s")
"""
"""An editable installation by setuptools is a finder with a MAPPING, from a package's name to its
folder; by all others, an entry of the path."""


def lead(env: Dict[str, str], root: str, copy: str, ahead: str) -> Dict[str, str]:
    """The environment of a job that runs from the copy.

    Args:
        env: its environment else.
        root: the project's folder.
        ahead: a folder of the copy, relative, that stands before all others; "" for none.
    """
    before = [path for path in env.get("PYTHONPATH", "").split(os.pathsep) if path]
    first = [os.path.normpath(os.path.join(copy, ahead))] if ahead else []
    for place in before + _by_itself(env):
        instead = _in_copy(place, root, copy)
        if instead is not None and instead not in first:
            first.append(instead)
    paths = first + before
    changed = dict(env, SIDECAR_FROZEN=copy)
    if paths:
        changed["PYTHONPATH"] = os.pathsep.join(paths)
    return changed


def _in_copy(place: str, root: str, copy: str) -> Optional[str]:
    """The same folder in the copy; None where it is none of the code that was copied."""
    inside = os.path.relpath(os.path.realpath(place), os.path.realpath(root))
    if inside == os.pardir or inside.startswith(os.pardir + os.sep):
        return None
    there = os.path.normpath(os.path.join(copy, inside))
    # What is not managed (an environment in the project) is a link to the project's.
    if os.path.realpath(there) != os.path.normpath(os.path.join(os.path.realpath(copy), inside)):
        return None
    return there if os.path.isdir(there) else None


def _by_itself(env: Dict[str, str]) -> List[str]:
    """What the job's interpreter searches without being told to."""
    for folder in env.get("PATH", os.defpath).split(os.pathsep):
        for name in ("python", "python3"):
            python = os.path.join(folder, name)
            if os.access(python, os.X_OK):
                return _asked(python)
    return []


def _asked(python: str) -> List[str]:
    mark = os.urandom(8).hex()
    try:
        said = between(ask([python, "-E", "-c", _PROBE % (mark, mark)], mark), mark)
        found = json.loads(said or "[]")
    except (Failure, ValueError):
        return []  # it starts the job, or fails to, with better words
    return [path for path in found if isinstance(path, str)]
