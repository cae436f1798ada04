"""The terminal in which a debugged program runs, where the editor asked for one: a job there with a
terminal of its own, shown in the editor's by `sidecar run`.

debugpy asks for a terminal and says what to run in it. An editor may hand that to a shell, so of
debugpy's words only a port is taken; the rest is what the editor itself wanted to launch.
"""

from __future__ import annotations

import os.path
import sys
from collections.abc import Callable

from sidecar.debug.dap import Message
from sidecar.errors import RunError

Terminal = Callable[[Message], list[str]]
"""From the arguments of debugpy's `runInTerminal`, the command for the editor's terminal."""


def terminal(host: str, folder: str, launched: Message) -> Terminal:
    """Makes the command that runs debugpy's launcher on `host`, and it the program.

    Args:
        folder: of debugpy there.
        launched: arguments of debugpy's `launch`.
    """

    def command(asked: Message) -> list[str]:
        return [
            *_sidecar(),
            *("run", "--as-is", "--host", host),  # the barrier was waited for
            *launched["python"],
            f"{folder}/debugpy/launcher",
            str(launcher_port(asked)),
            "--",
            *_program(launched),
        ]

    return command


def launcher_port(asked: Message) -> int:
    """Where debugpy's adapter waits for its launcher: the word in front of the first `--`.

    Raises:
        RunError: there is none.
    """
    words = asked.get("args")
    if isinstance(words, list) and "--" in words[1:]:
        word = str(words[words.index("--", 1) - 1])
        if word.isdecimal() and 0 < int(word) < 1 << 16:
            return int(word)
    raise RunError(
        "debugpy's wish for a terminal was not understood",
        "",
        'use "console": "internalConsole"',
        code="debugger-start",
    )


def _program(launched: Message) -> list[str]:
    if "module" in launched:
        return ["-m", launched["module"], *launched["args"]]
    if "code" in launched:
        return ["-c", launched["code"], *launched["args"]]
    return [launched["program"], *launched["args"]]


def _sidecar() -> list[str]:
    """Our own command. Not by `-m`, which would prefer a package of the project's own."""
    script = os.path.join(os.path.dirname(sys.executable), "sidecar")
    return [script] if os.path.exists(script) else [sys.executable, "-I", "-m", "sidecar"]
