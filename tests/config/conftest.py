"""A project to write configuration files into, of a user who has none of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sidecar.config import places, project
from sidecar.config.load import Loaded, load


class Desk:
    """A person's home and one project in it. Files are given by name: "sidecar.toml", …, and
    "config.toml" for the person's own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.root = home / "work" / "digits"
        self.root.mkdir(parents=True)
        self.environ: dict[str, str] = {}

    @property
    def project(self) -> project.Project:
        return project.at(self.root)

    def write(self, name: str, text: str) -> Path:
        path = places.config_dir() / name if name == "config.toml" else self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def load(self, **overrides: Any) -> Loaded:
        options = {name.replace("__", "."): value for name, value in overrides.items()}
        return load(self.project, environ=self.environ, overrides=options)

    def ssh_config(self, text: str) -> None:
        folder = self.home / ".ssh"
        folder.mkdir(exist_ok=True)
        (folder / "config").write_text(text, encoding="utf-8")


@pytest.fixture
def desk(isolated: Path) -> Desk:
    return Desk(isolated)
