"""Has a running program load debugpy, and connect to the adapter that waits for it.

Two ways, none of which needs anything in the program: Python 3.14 and newer run a file at another
process's request (`sys.remote_exec`), if both are of the same version. Else gdb calls the
interpreter's own functions in the program (their symbols are there for extension modules), if it is
installed, and the kernel lets us trace that process. Where neither does, it is said why.

This file is a program of its own and travels beside guard.py. Python 3.8 syntax, standard library
only.

    injector.py look PID                    prints what that process is, as JSON
    injector.py inject PID FOLDER HOST PORT ends when its stdin does, or with a reason on stderr
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from typing import Any

ASK_SECONDS = 20.0
"""For an interpreter to say its version."""

GDB_SECONDS = 60.0
"""For gdb to read the symbols of all libraries that a program has loaded, and to make its call.
With torch that is some seconds."""

EXIT_NOT = 4
"""Exit status: it cannot be; why is on stderr."""

CODE = """\
import os, sys
os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
os.environ["PYDEVD_LOAD_NATIVE_LIB"] = "0"
sys.path.insert(0, {folder!r})
try:
    import debugpy
    import debugpy.server
finally:
    sys.path.remove({folder!r})
debugpy.connect(({host!r}, {port}))
"""
"""What the program runs. debugpy finds its own parts by itself."""

_YAMA = "/proc/sys/kernel/yama/ptrace_scope"


class CannotBe(Exception):
    """For a reason that a person is told."""


def look(pid: int) -> dict[str, Any]:
    """The interpreter of a process and its version; raises CannotBe where there is none."""
    try:
        owner = os.stat(f"/proc/{pid}").st_uid
    except OSError:
        raise CannotBe(f"there is no process {pid}") from None
    if owner != os.geteuid():
        raise CannotBe(f"process {pid} belongs to another user")
    try:
        interpreter = os.readlink(f"/proc/{pid}/exe")
        version = subprocess.check_output(
            [interpreter, "-I", "-c", "import sys; print('%d.%d.%d' % sys.version_info[:3])"],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=ASK_SECONDS,
        )
        text = version.decode("ascii").strip()
        if not text.replace(".", "").isdigit():
            raise ValueError(text)
    except (OSError, ValueError, subprocess.SubprocessError):
        raise CannotBe(f"process {pid} runs no Python that could be found") from None
    return {"interpreter": interpreter, "version": text}


def inject(pid: int, folder: str, host: str, port: int) -> None:
    """Raises CannotBe."""
    private = tempfile.mkdtemp(prefix="sidecar-debug-")  # mode 0700
    try:
        script = os.path.join(private, "attach.py")
        with open(script, "w", encoding="utf-8") as file:
            file.write(CODE.format(folder=folder, host=host, port=port))
        if hasattr(sys, "remote_exec"):
            try:
                sys.remote_exec(pid, script)
            except (OSError, RuntimeError) as error:
                raise CannotBe(_why_not_traced(pid, str(error))) from None
        else:
            _by_gdb(pid, script)
        # The program may read it much later: at its next step in Python.
        sys.stdin.buffer.read()
    finally:
        shutil.rmtree(private, ignore_errors=True)


def _by_gdb(pid: int, script: str) -> None:
    gdb = shutil.which("gdb")
    if gdb is None:
        raise CannotBe(
            f"its Python is {sys.version_info[0]}.{sys.version_info[1]}, and a running one can be "
            "asked to load a debugger only from 3.14 on; gdb, which could do it, is not installed"
        )
    # A path of mkdtemp's has nothing in it that C or gdb would take for something else.
    code = f"exec(compile(open('{script}').read(), 'sidecar', 'exec'), {{'__name__': 'sidecar'}})"
    calls = [
        "set confirm off",
        "set scheduler-locking off",
        "set $state = ((int (*)(void)) PyGILState_Ensure)()",
        f'print ((int (*)(const char *)) PyRun_SimpleString)("{code}")',
        "call ((void (*)(int)) PyGILState_Release)($state)",
    ]
    command = [gdb, "--nx", "--batch", "--pid", str(pid)]
    for call in calls:
        command += ["--eval-command", call]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=GDB_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CannotBe(f"gdb had not finished after {GDB_SECONDS:.0f} seconds") from None
    said = done.stdout.decode(errors="replace")
    if "$1 = 0" not in said:
        last = [line for line in said.strip().splitlines() if line][-3:]
        raise CannotBe(_why_not_traced(pid, "gdb said: " + " ".join(last)))


def _why_not_traced(pid: int, words: str) -> str:
    """What the kernel has against it, in front of what was said."""
    try:
        with open(_YAMA) as file:
            scope = int(file.read())
    except (OSError, ValueError):
        scope = 0
    if scope == 1:
        return (
            "this machine lets a process be traced by its ancestors alone "
            "(kernel.yama.ptrace_scope is 1); " + words
        )
    if scope > 1:
        return (
            "this machine lets administrators alone trace processes "
            f"(kernel.yama.ptrace_scope is {scope}); {words}"
        )
    return words


def main(words: list[str]) -> int:
    try:
        if words[0] == "look":
            print(json.dumps(look(int(words[1]))))
        else:
            inject(int(words[1]), words[2], words[3], int(words[4]))
    except CannotBe as error:
        print(error, file=sys.stderr)
        return EXIT_NOT
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
