"""What a run starts there: the request's target as a command, and its folder. No I/O."""

from __future__ import annotations

import os
import posixpath
from typing import NamedTuple

from sidecar import api
from sidecar.core.pathmap import PathMap
from sidecar.errors import UsageError


class Command(NamedTuple):
    """`argv` and `cwd` are the remote's."""

    argv: list[str]
    cwd: str


def command(params: api.RunParams, paths: PathMap, python: str) -> Command:
    """The command of a run.

    Args:
        python: the interpreter there.
    Raises:
        UsageError: the file, or the folder to run it in, is not in the project.
    """
    here = params.cwd or paths.local[0]
    cwd = paths.to_remote(here)
    if cwd is None:
        raise UsageError(
            f"{here} is not in the project", f"that is {paths.local[0]}", "run it from there"
        )
    if params.module:
        argv = [python, "-m", params.target, *params.args]
    elif params.target.endswith(".py"):
        argv = [python, _script(params.target, here, paths), *params.args]
    else:
        argv = [params.target, *params.args]
    return Command(argv, cwd)


def _script(target: str, here: str, paths: PathMap) -> str:
    """As it was typed where that means the same there, so that `sys.argv[0]` is what it would be
    here."""
    there = paths.to_remote(os.path.join(here, target))
    if there is None:
        raise UsageError(
            f"{target} is not in the project",
            f"that is {paths.local[0]}, and only what is in it is on the remote",
            "name a file of the project",
        )
    return there if os.path.isabs(target) else target.replace(os.sep, "/")


def bin_folder(python: str) -> str:
    """Where the programs of the interpreter's environment are."""
    return posixpath.dirname(python)
