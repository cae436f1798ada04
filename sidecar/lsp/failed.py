"""The code action of a file that the traceback of a failed run is shown in: debug it."""

from __future__ import annotations

from collections.abc import Sequence

from lsprotocol import types

from sidecar.lsp.lenses import KIND

COMMAND = "sidecar.debugLastFailure"

_KIND = f"{KIND}.debugLastFailure"


def actions(job: str, host: str, path: str, only: Sequence[str] | None) -> list[types.CodeAction]:
    """Of a job that failed in `path`; the editor gets a debugger's port for an answer."""
    if only is not None and not any(
        not one or one == _KIND or _KIND.startswith(f"{one}.") for one in only
    ):
        return []
    command = types.Command(
        f"Debug last failure on {host}",
        COMMAND,
        arguments=[{"job": job, "host": host, "path": path}],
    )
    return [types.CodeAction(command.title, kind=_KIND, command=command)]
