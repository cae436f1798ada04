"""What a run starts there: the request's target as a command, and its folder.

A target is a `.py` file, a test of one (`tests/test_x.py::test_y`), lines of one, a module, or any
program. `look` is the one function with I/O.
"""

from __future__ import annotations

import difflib
import os
import posixpath
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from sidecar.core.pathmap import PathMap
from sidecar.errors import UsageError
from sidecar.hub import outline
from sidecar.jobs import cell


class Params(Protocol):
    """What api.RunParams and api.DebugParams have in common."""

    @property
    def target(self) -> str: ...
    @property
    def args(self) -> list[str]: ...
    @property
    def module(self) -> bool: ...
    @property
    def cwd(self) -> str: ...
    @property
    def as_is(self) -> bool: ...


class Command(NamedTuple):
    """`argv`, `cwd` and `env` are the remote's."""

    argv: list[str]
    cwd: str
    env: dict[str, str] = {}


class Looked(NamedTuple):
    """What is here of a target.

    Attributes:
        file: the absolute path of the Python file that it names; "" where it names none.
        test: what is behind the file's name, for pytest: "::TestModel::test_fit".
        by_pytest: it is for pytest.
        near: where it is not here, a file that may have been meant.
    """

    file: str = ""
    test: str = ""
    by_pytest: bool = False
    exists: bool = True
    near: str = ""


def look(params: Params, root: str) -> Looked:
    """Reads the file that a target names. Blocking."""
    if params.module:
        return Looked()
    name, colons, test = params.target.partition("::")
    if not name.endswith(".py"):
        return Looked()
    file = os.path.normpath(os.path.join(params.cwd or root, name))
    if not os.path.isfile(file):
        return Looked(file, colons + test, bool(colons), False, _near(file, name))
    if colons:
        return Looked(file, colons + test, True)
    return Looked(file, "", outline.is_run_by_pytest(file, text_of(file)))


def name(params: Params, looked: Looked, root: str | os.PathLike[str]) -> str:
    """What a target's arguments are remembered under."""
    if params.module:
        return f"-m {params.target}"
    if not looked.file:
        return params.target
    return relative(looked.file, root) + looked.test


def relative(file: str, root: str | os.PathLike[str]) -> str:
    """A file's name in the project, by whichever of its spellings it is given."""
    folder = os.path.realpath(os.path.dirname(file))
    return os.path.relpath(os.path.join(folder, os.path.basename(file)), root)


def text_of(file: str) -> str:
    """The text of a file here, as far as an outline needs it; "" where it cannot be read."""
    try:
        with open(file, encoding="utf-8", errors="replace") as stream:
            return stream.read(outline.LARGEST + 1)
    except (OSError, ValueError):
        return ""


def refuse_what_is_missing(
    params: Params, looked: Looked, inside: bool, why_not: Callable[[str], str]
) -> None:
    """A typo is said here, rather than by a Python there.

    Args:
        inside: the file that is meant is one of the project.
        why_not: of an absolute path here, the rule that keeps it from the remote; "" for none.
    Raises:
        UsageError: the target is a file of the project that is not here, or is not sent; `as_is`
            runs one that only the remote has.
    """
    if not inside or params.as_is:
        return
    if not looked.exists:
        near = f"did you mean {looked.near}? Or " if looked.near else ""
        raise UsageError(
            f"{params.target.partition('::')[0]} is no file here",
            f"looked for {looked.file}",
            f"{near}name a file of the project; --as-is runs one that only the remote has",
        )
    if rule := why_not(looked.file):
        raise UsageError(
            f"{params.target} is not sent to the remote",
            rule,
            "add it to `include` in [sync]; --as-is runs one that the remote has",
        )


def command(
    params: Params,
    paths: PathMap,
    python: str,
    looked: Looked,
    lines: tuple[int, Sequence[str]] | None = None,
) -> Command:
    """The command of a run.

    Args:
        python: the interpreter there.
        lines: the number of the first one and the lines that are to run, instead of the file.
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
        return Command([python, "-m", params.target, *params.args], cwd)
    if not looked.file:
        if lines is not None:
            raise UsageError(
                f"{params.target} is no Python file", "", "select lines of one that ends in .py"
            )
        return Command([_program(params.target, paths), *params.args], cwd)
    name = params.target.partition("::")[0]
    script = _script(name, here, paths)
    if lines is not None:
        there = paths.to_remote(looked.file) or script
        first, last = lines[0], lines[0] + len(lines[1]) - 1
        argv = cell.command(python, there, first, last, params.args)
        return Command(argv, cwd, {cell.VARIABLE: cell.variable(there, *lines)})
    if looked.by_pytest:
        return Command([python, "-m", "pytest", script + looked.test, *params.args], cwd)
    return Command([python, script, *params.args], cwd)


class ToDebug(NamedTuple):
    """As api.DebugParams has them."""

    target: str
    args: list[str]
    module: bool


def to_debug(params: Params, looked: Looked, paths: PathMap) -> ToDebug:
    """What debugpy is to launch: a test is a module's doing.

    Raises:
        UsageError: as `command`.
    """
    if not looked.by_pytest:
        return ToDebug(params.target, params.args, params.module)
    script = _script(params.target.partition("::")[0], params.cwd or paths.local[0], paths)
    return ToDebug("pytest", [script + looked.test, *params.args], True)


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


def _program(target: str, paths: PathMap) -> str:
    """A file of the project by its name there; any other program by the one it was given."""
    return (paths.to_remote(target) if os.path.isabs(target) else None) or target


def _near(file: str, name: str) -> str:
    """The file in the same folder with the most similar name."""
    try:
        others = [one for one in os.listdir(os.path.dirname(file)) if one.endswith(".py")]
    except OSError:
        return ""
    found = difflib.get_close_matches(os.path.basename(file), others, n=1)
    return posixpath.join(os.path.dirname(name), found[0]) if found else ""
