"""Run and Debug over `if __name__ == "__main__":`, as code lenses and as code actions (Helix and
eglot show no lenses)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lsprotocol import types

_MAIN = re.compile(r"""^if\s+__name__\s*==\s*(['"])__main__\1\s*:""")
KIND = "source.sidecar"


def main_lines(lines: Sequence[str]) -> list[int]:
    """Numbers (from 0) of the lines that begin a main block."""
    return [number for number, line in enumerate(lines) if _MAIN.match(line)]


def commands(path: str, host: str) -> list[types.Command]:
    """What can be done with a script at that local path."""
    argument = {"target": path}
    return [
        types.Command(f"Run on {host}", "sidecar.run", arguments=[argument]),
        types.Command(f"Debug on {host}", "sidecar.debug", arguments=[argument]),
    ]


def lenses(path: str, lines: Sequence[str], host: str) -> list[types.CodeLens]:
    return [
        types.CodeLens(_line(number), command=command)
        for number in main_lines(lines)
        for command in commands(path, host)
    ]


def actions(
    path: str, lines: Sequence[str], host: str, only: Sequence[str] | None
) -> list[types.CodeAction]:
    """For anywhere in a file with a main block: who asks for actions has no lens to aim at."""
    if not main_lines(lines):
        return []
    kinds = (f"{KIND}.run", f"{KIND}.debug")
    return [
        types.CodeAction(command.title, kind=kind, command=command)
        for kind, command in zip(kinds, commands(path, host), strict=True)
        if only is None or any(_within(kind, one) for one in only)
    ]


def _within(kind: str, group: str) -> bool:
    return not group or kind == group or kind.startswith(f"{group}.")


def _line(number: int) -> types.Range:
    return types.Range(types.Position(number, 0), types.Position(number, 0))
