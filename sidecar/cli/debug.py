"""`sidecar debug`: prints where to attach, and stays until the debug session is over. With
`--stdio` it is a debug adapter itself."""

from __future__ import annotations

import argparse
import os

from sidecar import api
from sidecar.cli import place, terminal
from sidecar.cli.client import HubClient
from sidecar.cli.run import variables
from sidecar.errors import UsageError


def debug(options: argparse.Namespace) -> int:
    if options.stdio:
        from sidecar.cli.serve import debug as pipe

        return pipe()
    if options.last_failure:
        return _failed(options)
    if not options.target:
        raise UsageError(
            "Nothing is named to debug",
            "",
            "name a .py file, or a module with -m; --stdio is for editors",
        )
    with place.connect(options) as hub:
        params = api.DebugParams(
            **place.where(options),
            target=options.target,
            args=options.args[1:] if options.args[:1] == ["--"] else options.args,
            module=options.module,
            cwd=os.getcwd(),
            env=variables(options.env),
            as_is=options.as_is,
            stop_on_rank=options.rank,
        )
        return _serve(hub, "sidecar/debug", params)


def _failed(options: argparse.Namespace) -> int:
    """`debug --last-failure`, of a job where one is named."""
    if options.module or options.args:
        raise UsageError("--last-failure runs what was run", "", "name a job, or nothing")
    with place.connect(options) as hub:
        params = api.DebugFailureParams(
            **place.where(options),
            job=options.target,
            env=variables(options.env),
            as_is=options.as_is,
        )
        return _serve(hub, "sidecar/debugFailure", params)


def once_more(options: argparse.Namespace, job: str) -> None:
    """What `run --debug-on-failure` does when it failed: a port for a debugger that stops where
    the exception leaves the program."""
    with place.connect(options) as hub:
        params = api.DebugFailureParams(
            **place.where(options), job=job, env=variables(options.env), as_is=options.as_is
        )
        _serve(hub, "sidecar/debugFailure", params)


def _serve(hub: HubClient, method: str, params: api.DebugParams | api.DebugFailureParams) -> int:
    """Until the session is over."""
    ended: list[api.DebugEnded] = []
    hub.on("sidecar/debugEnded", api.DebugEnded, ended.append)
    hub.on("sidecar/output", api.Output, lambda part: None)
    started = hub.call(method, params, api.DebugResult)
    print(f"127.0.0.1:{started.port}", flush=True)
    terminal.say(f"waits for a debugger; the program starts on {started.host} when one attaches")
    while not any(end.port == started.port for end in ended):
        hub.read()
    why = next(end.why for end in ended if end.port == started.port)
    if why:
        terminal.complain(why)
    return 1 if why else 0
