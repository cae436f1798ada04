"""Commands that are a doorway to something else: `serve`, `demo`, `hub`."""

from __future__ import annotations

import argparse
import importlib
import os
import signal

from sidecar.cli import terminal
from sidecar.errors import UsageError
from sidecar.hub import process


def serve(options: argparse.Namespace) -> int:
    from sidecar.cli.serve import serve as pipe

    return pipe()


def demo(options: argparse.Namespace) -> int:
    status: int = importlib.import_module("sidecar.demo.tour").main(keep=options.keep)
    return status


def hub(options: argparse.Namespace) -> int:
    """`hub stop` and `hub log`."""
    if options.action == "log":
        print(process.log_path())
        return 0
    try:
        connection, welcome = process.meet("end", "sidecar hub stop", start=False)
    except process.HubError as error:
        if error.what == "No hub is running":
            terminal.say("No hub is running.")
            return 0
        raise
    with connection:
        if welcome.problem:
            if not options.force:
                raise UsageError(
                    "The hub was not ended", welcome.problem, "close them, or say --force"
                )
            os.kill(welcome.pid, signal.SIGTERM)
        process.until_closed(connection)
    return 0
