"""`sidecar init [HOST]`: writes a host into `sidecar.local.toml`, and keeps that file from git."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from sidecar import api
from sidecar.cli import terminal
from sidecar.cli.terminal import Terminal
from sidecar.config import project as projects
from sidecar.config.ssh_hosts import ssh_hosts
from sidecar.config.write import add_host, name_of
from sidecar.errors import SidecarError, UsageError

LISTED = 20
"""Hosts of ~/.ssh/config in the question; more would scroll away."""


def init(options: argparse.Namespace) -> int:
    """The nearest configured folder upward is the project; without one it is this folder."""
    destination = options.ssh or _asked()
    here = Path(os.getcwd())
    project = projects.find_project(here) or projects.at(here)
    name = options.host or name_of(destination)
    settings = {"ssh": destination, "path": options.path or f"~/{project.folder}"}
    if options.python:
        settings["python"] = options.python
    path = add_host(project, name, settings)
    print(path)
    terminal.say(
        f"{project.spelled} will go to {destination}:{settings['path']}. Nothing was sent yet."
    )
    _look_there(options, project, name)
    return 0


def _look_there(options: argparse.Namespace, project: projects.Project, name: str) -> None:
    """Says what first contact would do. That the host cannot be reached now is no failure: what
    was asked for is written."""
    from sidecar.cli import place
    from sidecar.cli.progress import Progress

    params = api.SyncParams(project=str(project.spelled), host=name, dry_run=True)
    progress = Progress()
    try:
        with place.connect(options) as hub:
            hub.on("sidecar/didChangeStatus", api.Health, progress.take)
            found = hub.call("sidecar/sync", params, api.SyncResult)
    except SidecarError as error:
        progress.clear()
        terminal.say(f"What is there could not be looked at yet. {error}")
        return
    progress.clear()
    terminal.say(found.summary or f"Both sides have met before; {len(found.plan)} changes wait.")
    terminal.say("`sidecar sync` brings it there, and asks before it touches what is there.")


def _asked() -> str:
    known = ssh_hosts(os.environ)[:LISTED]
    other = "None of these"
    answer = Terminal().choose("Which host?", [*known, other]) if known else None
    if answer is None or answer == other:
        raise UsageError(
            "No host was named",
            "" if known else "~/.ssh/config has none to offer",
            "say `sidecar init HOST`, with what you would type after `ssh`",
        )
    return answer
