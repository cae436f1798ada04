"""What an editor's `launch` or `attach` asks for, with the names that debugpy uses for it.

A project's launch.json or nvim-dap configuration for a program here works for one there: paths are
local ones, and what means nothing on another machine is left out.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from sidecar.errors import UsageError


class Connect(msgspec.Struct, frozen=True):
    """A port on the remote where the person's own code called `debugpy.listen`."""

    port: int
    host: str = "127.0.0.1"


class Asked(msgspec.Struct, frozen=True, rename="camel"):
    """`launch` and `attach` together. Beside debugpy's own: `sidecar_host` (a host of the
    configuration), `as_is` (run whatever differs there), `stop_on_rank`, `job` (to attach to),
    `last_failure` (debug what failed last, or `job`, once more)."""

    program: str = ""
    module: str = ""
    code: str | list[str] = ""
    args: str | list[str] = []
    env: dict[str, str | None] = {}
    cwd: str = ""
    python: str | list[str] = ""
    python_path: str = ""
    python_args: list[str] = []
    just_my_code: bool | None = None
    stop_on_entry: bool | None = None
    sub_process: bool = True
    console: Literal["internalConsole", "integratedTerminal", "externalTerminal"] = (
        "internalConsole"
    )
    sidecar_host: str = ""
    as_is: bool = False
    stop_on_rank: int | str = ""
    process_id: int | str = ""
    job: str = ""
    connect: Connect | None = None
    host: str = ""
    port: int = 0
    last_failure: bool = False
    sidecar_session: str = ""
    sidecar_child: int = 0

    @property
    def arguments(self) -> list[str]:
        return shlex.split(self.args) if isinstance(self.args, str) else self.args

    @property
    def text(self) -> str:
        """The lines of `code`."""
        return self.code if isinstance(self.code, str) else "\n".join(self.code)

    @property
    def interpreter(self) -> str:
        """What is to run it there, "" where the session decides."""
        named = self.python or self.python_path
        return named if isinstance(named, str) else named[0]

    @property
    def interpreter_arguments(self) -> list[str]:
        more = self.python[1:] if isinstance(self.python, list) else []
        return [*more, *self.python_args]

    @property
    def rank(self) -> str:
        return str(self.stop_on_rank)

    @property
    def address(self) -> tuple[str, int] | None:
        """Of a debugger's port there, in either of debugpy's spellings."""
        if self.connect is not None:
            return self.connect.host, self.connect.port
        return (self.host or "127.0.0.1", self.port) if self.port else None

    def folder(self, fallback: str) -> str:
        """A folder of the project that is meant: a request names no other."""
        if os.path.isabs(self.cwd):
            return self.cwd
        if os.path.isabs(self.program):
            return os.path.dirname(self.program)
        return fallback

    def variables(self) -> dict[str, str]:
        return {name: value for name, value in self.env.items() if value is not None}


def asked(arguments: Mapping[str, Any]) -> Asked:
    """Reads an editor's arguments; what it does not know stays unread.

    Raises:
        UsageError: naming what has a wrong type.
    """
    # Editors leave what was not set as null.
    given = {key: value for key, value in arguments.items() if value is not None}
    try:
        return msgspec.convert(given, Asked)
    except msgspec.ValidationError as error:
        raise UsageError(
            "The debug configuration has a value that cannot be used",
            str(error).replace("`$.", "`").replace("$.", ""),
            "correct it in the editor's debug configuration",
        ) from None


def exactly_one(wanted: Asked) -> None:
    """Raises UsageError where it is not said, or said twice, what to launch."""
    if wanted.last_failure:
        return
    named = [name for name in ("program", "module", "code") if getattr(wanted, name)]
    if len(named) != 1:
        raise UsageError(
            "The debug configuration names " + (" and ".join(named) or "nothing to run"),
            'it needs exactly one of "program", "module" and "code"',
            "correct it in the editor's debug configuration",
        )
