"""Code actions of a file about which there is something to decide: keep one side, or both, or see
the difference."""

from __future__ import annotations

from collections.abc import Sequence

from lsprotocol import types

DECIDED = ("conflict", "newer-there", "kept", "held", "refused")
"""Kinds of notes that a person decides about."""

KIND = types.CodeActionKind.QuickFix

_KEEP = (("Keep local", "local"), ("Keep remote", "remote"), ("Keep both", "both"))


def actions(
    path: str,
    host: str,
    diagnostics: Sequence[types.Diagnostic],
    only: Sequence[str] | None,
) -> list[types.CodeAction]:
    """For anywhere in the file: its note stands at the top, where nobody edits.

    Args:
        path: the local file's.
        diagnostics: those that the client asks about.
        only: kinds that it wants.
    """
    if only is not None and not any(KIND.value == one or not one for one in only):
        return []
    ours = [one for one in diagnostics if one.source == "sidecar"]
    made = [
        types.Command(
            f"{title} ({host})",
            "sidecar.resolve",
            arguments=[{"paths": [path], "keep": keep, "host": host}],
        )
        for title, keep in _KEEP
    ]
    made.append(
        types.Command(
            f"Show difference ({host})",
            "sidecar.diff",
            arguments=[{"path": path, "host": host}],
        )
    )
    return [
        types.CodeAction(one.title, kind=KIND, command=one, diagnostics=ours or None)
        for one in made
    ]
