"""What debugpy is told to launch, or to attach to: arguments of its own requests, made of what the
session is for and of what the editor may choose."""

from __future__ import annotations

import os.path
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sidecar.core.pathmap import PathMap
from sidecar.debug.dap import Message
from sidecar.errors import UsageError

TASTE = (
    "autoReload",
    "django",
    "gevent",
    "jinja",
    "justMyCode",
    "noDebug",
    "onTerminate",
    "pyramid",
    "qt",
    "rules",
    "showReturnValue",
    "steppingResumesAllThreads",
    "stopOnEntry",
    "subProcess",
    "variablePresentation",
)
"""Options of an editor's `attach` or `launch` that are the person's taste and hold anywhere. The
rest (hosts, ports, path mappings, interpreters) would be about the wrong machine."""

TERMINALS = ("integratedTerminal", "externalTerminal")


class Launch(NamedTuple):
    """What is to be debugged. `target`: a file here (absolute, or relative to `cwd`); with `module`
    the name of one, with `code` the program itself. `cwd`: a folder here; "" is the project's root.
    `env` and `interpreter` (with its own arguments) are the remote's."""

    interpreter: str
    target: str
    args: Sequence[str] = ()
    module: bool = False
    cwd: str = ""
    env: Mapping[str, str] = {}
    just_my_code: bool = True
    stop_on_entry: bool = False
    code: bool = False
    interpreter_args: Sequence[str] = ()
    stops: Sequence[str] = ()
    """Filters of exceptions that it stops at, whatever else the editor wants."""

    def arguments(self, pathmap: PathMap, asked: Mapping[str, Any]) -> Message:
        """Arguments of debugpy's `launch`, with what the client asked for where it may choose.

        Raises:
            UsageError: the target or the folder is not in the project.
        """
        cwd = _mapped(self.cwd or pathmap.local[0], pathmap, "The working directory")
        arguments: Message = {
            "name": "sidecar",
            "type": "debugpy",
            "request": "launch",
            "justMyCode": self.just_my_code,
            "stopOnEntry": self.stop_on_entry,
            "subProcess": True,
        }
        arguments.update(taste(asked))
        arguments.update(
            python=[self.interpreter, *self.interpreter_args],
            args=list(self.args),
            cwd=cwd,
            env=dict(self.env),
            pathMappings=mappings(pathmap),
        )
        if asked.get("console") in TERMINALS:
            # What the program writes is in that terminal already.
            redirected = asked.get("redirectOutput", False)
            arguments.update(console=asked["console"], redirectOutput=redirected)
        else:
            arguments.update(console="internalConsole", redirectOutput=True)
        if self.code:
            arguments["code"] = self.target
        elif self.module:
            arguments["module"] = self.target
        else:
            local = os.path.join(self.cwd or pathmap.local[0], self.target)
            arguments["program"] = _mapped(local, pathmap, "The file to debug")
        return arguments


def attach(pathmap: PathMap, asked: Mapping[str, Any], **where: Any) -> Message:
    """Arguments of debugpy's `attach` to what `where` names."""
    return {
        "name": "sidecar",
        "type": "debugpy",
        "request": "attach",
        "justMyCode": True,
        "redirectOutput": asked.get("redirectOutput", True),
        **taste(asked),
        "pathMappings": mappings(pathmap),
        **where,
    }


def taste(asked: Mapping[str, Any]) -> Message:
    return {key: asked[key] for key in TASTE if asked.get(key) is not None}


def mappings(pathmap: PathMap) -> list[dict[str, str]]:
    """Nothing is mapped by these; but with mappings, debugpy numbers the sources outside of them,
    so that an editor asks it for their text instead of opening its own file."""
    return [{"localRoot": root, "remoteRoot": root} for root in pathmap.remote]


def _mapped(path: str, pathmap: PathMap, what: str) -> str:
    remote = pathmap.to_remote(path)
    if remote is None:
        raise UsageError(
            f"{what} is not in the project",
            f"{path} is not under {pathmap.local[0]}",
            "choose one that the sidecar keeps on the remote",
            code="outside-project",
        )
    return remote
