"""Lines of a file that run alone, there, as a cell of a notebook does: as `__main__`, with the
file's name and line numbers, and with the last expression printed.

Nothing is written for it, here or there. The lines travel in the job's environment, which nobody
else on that machine can read (its command anybody can), and are gone from it before they run.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence

from sidecar.errors import UsageError

VARIABLE = "SIDECAR_CELL"

LARGEST = 120 * 1024
"""Bytes of the variable's value: Linux takes 128 KiB for one with its name."""

GONE = "the lines of a cell are not kept: run them again from the editor"

COMMAND = f"import os; exec(os.environ.pop('{VARIABLE}', 'exit(\"{GONE}\")'), {{}})"
"""What a list of the processes there shows."""

# For whatever Python 3 the project has there. A traceback shall begin with the file's own frames.
_PROGRAM = """\
import ast, base64, os, sys, zlib

def cell(path, data):
    def hook(kind, error, trace, shown=sys.excepthook):
        while trace and trace.tb_frame.f_code.co_filename == "<string>":
            trace = trace.tb_next
        shown(kind, error.with_traceback(trace), trace)
    sys.excepthook = hook
    sys.argv[:] = [path] + sys.argv[2:]
    if sys.path[:1] == [""]:
        sys.path[0] = os.path.dirname(path)
    main = sys.modules["__main__"].__dict__
    del main["os"]
    main["__file__"] = path
    source = zlib.decompress(base64.b64decode(data)).decode("utf-8", "surrogatepass")
    tree = compile(source, path, "exec", ast.PyCF_ONLY_AST, True)
    last = [tree.body.pop()] if tree.body and isinstance(tree.body[-1], ast.Expr) else []
    code = compile(tree, path, "exec", 0, True)
    exec(code, main)
    if last:
        future = code.co_flags & 0x1fe0000
        exec(compile(ast.Interactive(last), path, "single", future, True), main)

"""


def command(python: str, path: str, first: int, last: int, args: Sequence[str]) -> list[str]:
    """The command of the lines from `first` to `last` of the file with that name there. Its
    environment must have `variable`."""
    return [python, "-c", COMMAND, f"{path}:{first}-{last}", *args]


def shown(argv: Sequence[str]) -> list[str]:
    """A command as a list of jobs has it: of a cell, the file and the lines."""
    if COMMAND not in argv:
        return list(argv)
    at = argv.index(COMMAND)
    return [*argv[: at - 1], *argv[at + 1 :]]


def variable(path: str, first: int, lines: Sequence[str]) -> str:
    """The value of VARIABLE.

    Args:
        path: the file's name there.
        first: the number, from 1, of the first of the lines.
    Raises:
        UsageError: there is nothing to run, or more than a variable takes.
    """
    skipped = next((number for number, line in enumerate(lines) if line.strip()), None)
    if skipped is None:
        raise UsageError("There is nothing to run", "the lines are empty", "select some code")
    first, lines = first + skipped, lines[skipped:]
    before = "\n" * (first - 1)
    if lines[0][:1].isspace():
        # Lines of a block. Not dedented, since that would change strings of several lines.
        before = "\n" * (first - 2) + "if 1:\n" if first > 1 else "if 1:\n"
    source = before + "".join(line.rstrip("\r\n") + "\n" for line in lines)
    data = base64.b64encode(zlib.compress(source.encode("utf-8", "surrogatepass"), 9)).decode()
    if len(data) > LARGEST:
        raise UsageError(
            f"{len(lines)} lines are too many for a cell", "", "select fewer, or run the file"
        )
    return f"{_PROGRAM}cell({path!r}, {data!r})"
