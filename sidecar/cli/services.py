"""`sidecar tensorboard`, `sidecar jupyter`: started there, and met here."""

from __future__ import annotations

import argparse
import os
import webbrowser
from typing import Literal

from sidecar import api
from sidecar.cli import place, terminal
from sidecar.cli.run import JobHere


def tensorboard(options: argparse.Namespace) -> int:
    return _service(options, "tensorboard")


def jupyter(options: argparse.Namespace) -> int:
    return _service(options, "jupyter")


def _service(options: argparse.Namespace, name: Literal["tensorboard", "jupyter"]) -> int:
    """Prints the URL, then shows what the server says; Ctrl-C is the server's."""
    args = options.args[1:] if options.args[:1] == ["--"] else options.args
    with place.connect(options) as hub, JobHere(hub, options) as job:
        params = api.ServiceParams(
            **place.where(options),
            service=name,
            args=args,
            cwd=os.getcwd(),
            port=options.port,
            detach=options.detach,
        )
        found = job.ask("sidecar/service", params, api.ServiceResult)
        print(found.url, flush=True)
        if found.port.wanted:
            terminal.say(f"Port {found.port.wanted} is taken here.")
        if options.open:
            webbrowser.open(found.url)
        if found.run is not None and not options.detach:
            job.begins(found.run)
            return job.follow(stdin=False)
        terminal.say(
            f"Job {found.job} runs on until `sidecar stop {found.job}`; "
            "Ctrl-C closes only the way to it."
        )
        while True:
            hub.read()
