"""`sidecar config` and `sidecar trust`. Both read files only; no hub is started for them."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import msgspec

from sidecar.cli import terminal
from sidecar.cli.terminal import Terminal
from sidecar.config import trust as trusted
from sidecar.config.load import Loaded, Value, load
from sidecar.config.project import Project, find_project
from sidecar.errors import ConfigError, UsageError


def config(options: argparse.Namespace) -> int:
    """Exit status 1 where a KEY was asked for that does not exist."""
    loaded = _load(options)
    values = [one for one in loaded.values() if not options.key or _matches(one.key, options.key)]
    if options.key and not values:
        raise UsageError(f"There is no setting {options.key}", "", "see `sidecar config`")
    if options.json:
        rows = [
            {"key": one.key, "value": one.value, "origin": one.origin, "withheld": one.withheld}
            for one in values
        ]
        print(msgspec.json.encode(rows).decode())
        return 0
    table = [(one.key, _toml(one.value), _origin(one)) for one in values]
    print(terminal.table(("SETTING", "VALUE", "FROM"), table))
    return 0


def trust(options: argparse.Namespace) -> int:
    """Shows what the shared file asks for, then asks once. `--yes` is the answer of scripts."""
    project = _project()
    waiting = load(project).untrusted
    if not waiting:
        terminal.say("Nothing in this project waits for your trust.")
        return 0
    terminal.say(f"{project.spelled} was configured by others to:")
    for statement in waiting:
        terminal.say(f"  {statement}")
    if not options.yes:
        answer = Terminal().choose("Trust these settings?", ["Trust", "Not now"])
        if answer is None:
            raise UsageError(
                "Nobody could be asked", "there is no terminal", "read them, then say --yes"
            )
        if answer != "Trust":
            return 1
    trusted.trust(project, waiting)
    terminal.say("Trusted, as they read now; a change is asked about again.")
    return 0


def _load(options: argparse.Namespace) -> Loaded:
    overrides: dict[str, Any] = {"host": options.host} if options.host else {}
    return load(find_project(Path(os.getcwd())), overrides=overrides)


def _project() -> Project:
    project = find_project(Path(os.getcwd()))
    if project is None:
        raise ConfigError(
            "This folder belongs to no project",
            f"no configuration in {os.getcwd()} or above",
            "run `sidecar init HOST` in the project's folder",
            code="no-project",
        )
    return project


def _matches(key: str, wanted: str) -> bool:
    return key == wanted or key.startswith(f"{wanted}.")


def _toml(value: object) -> str:
    return json.dumps(value, ensure_ascii=False) if value is not None else "-"


def _origin(value: Value) -> str:
    return f"{value.origin} (waits for `sidecar trust`)" if value.withheld else value.origin
