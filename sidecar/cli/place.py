"""What most commands begin with: a connection to the hub, and which project on which host."""

from __future__ import annotations

import argparse
import os
from typing import TypedDict

from sidecar.cli.client import HubClient
from sidecar.cli.terminal import Terminal


class Where(TypedDict):
    project: str
    host: str


def connect(options: argparse.Namespace, *, start: bool = True) -> HubClient:
    person = Terminal(quiet=getattr(options, "json", False))
    return HubClient(f"sidecar {options.command}", person, start=start)


def where(options: argparse.Namespace) -> Where:
    """As parameters of a request: the folder we are in, whose project the hub finds."""
    return {"project": os.getcwd(), "host": options.host}
