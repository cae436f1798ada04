"""A frozen run's command: the same target, in its copy of the code (agent/jobs/frozen.py). No I/O.

Scripts, tests and selected lines are named in the copy, whose folders are then first on
`sys.path`. With `-m`, Python would put the working directory there, which stays the project's; so
it is told not to. Of any other program, itself and its first argument are led there where they are
files of the project (`torchrun train.py`, `./run.sh`); a shell script finds the copy in
`SIDECAR_FROZEN`.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from sidecar import api
from sidecar.core import messages
from sidecar.core.copies import place
from sidecar.core.pathmap import PathMap
from sidecar.hub import target
from sidecar.hub.target import Command, Looked

_SAFE_PATH = (3, 11)
"""The first Python with `-P`."""

_RUN_MODULE = "import runpy, sys; sys.path[:1] = []; runpy._run_module_as_main(sys.argv.pop(1))"
"""What `-m` does, without the working directory, for Pythons that have no `-P`."""


class FrozenCommand(NamedTuple):
    """`ahead`: a folder of the copy, relative to it, that must come first on Python's path; ""
    where what is started sees to that."""

    command: Command
    ahead: str


def command(
    params: api.RunParams,
    paths: PathMap,
    python: messages.PythonFound,
    looked: Looked,
    lines: tuple[int, Sequence[str]] | None,
    name: str,
) -> FrozenCommand:
    """As target.command, from the copy of that name.

    Args:
        python: the interpreter there.
    Raises:
        UsageError: as target.command.
    """
    live = target.command(params, paths, python.path, looked, lines)
    root = paths.remote[0]
    code = PathMap(paths.local, [place(root, name)])
    ahead = posixpath.relpath(live.cwd, root)
    if params.module:
        return FrozenCommand(live._replace(argv=_safe(live.argv, python.version)), ahead)
    if not looked.file:
        here = params.cwd or paths.local[0]
        led = [_led(one, here, code) for one in live.argv[:2]]
        return FrozenCommand(live._replace(argv=[*led, *live.argv[2:]]), ahead)
    asked = msgspec.structs.replace(params, target=looked.file + looked.test)
    argv, _, env = target.command(asked, code, python.path, looked, lines)
    if looked.by_pytest:
        return FrozenCommand(Command(_safe(argv, python.version), live.cwd, env), ahead)
    return FrozenCommand(Command(argv, live.cwd, env), "")


def _safe(argv: Sequence[str], version: str) -> list[str]:
    """`python -m MODULE …` without the working directory on its path."""
    python, _, *rest = argv
    if tuple(int(part) for part in version.split(".")[:2]) >= _SAFE_PATH:
        return [python, "-P", "-m", *rest]
    return [python, "-c", _RUN_MODULE, *rest]


def _led(argument: str, here: str, code: PathMap) -> str:
    """The file of the project that is meant, in the copy; else the argument as it is."""
    inside = "/" in argument or argument.endswith(".py")
    file = os.path.join(here, argument)
    there = code.to_remote(file) if inside and os.path.isfile(file) else None
    return there or argument
