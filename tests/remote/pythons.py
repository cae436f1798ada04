"""The interpreters that this machine has: what travels must run under each that we support."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

VERSIONS = Path.home() / ".pyenv/versions"


def python(version: str) -> str:
    """The path of that version's interpreter, there or not."""
    return str(VERSIONS / version / "bin/python")


def _parameter(version: str) -> object:
    path = python(version)
    missing = pytest.mark.skipif(
        not Path(path).exists(), reason=f"only on machines with Python {version}"
    )
    return pytest.param(path, id=version, marks=missing)


PYTHONS = [
    pytest.param(sys.executable, id="own"),
    *map(_parameter, ("3.8.18", "3.9.18", "3.10.13", "3.12.1", "3.13.0")),
]
