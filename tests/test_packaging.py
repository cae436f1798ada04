"""What installs and checks the project agrees with itself."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import sidecar

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PINS = [
    line
    for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    if line and not line.startswith("#")
]


def name_of(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match is not None
    return match[0].lower().replace("_", "-")


def test_there_is_one_version() -> None:
    assert PROJECT["version"] == sidecar.__version__


def test_every_dependency_is_pinned_for_development() -> None:
    pinned = {name_of(pin) for pin in PINS}
    extras = [one for extra in PROJECT["optional-dependencies"].values() for one in extra]
    assert {name_of(one) for one in PROJECT["dependencies"] + extras} <= pinned


def test_constraints_are_plain_pins() -> None:
    for pin in PINS:
        assert re.fullmatch(r"[a-z0-9.-]+==[0-9.]+(; python_version (<|>=) \"3\.\d+\")?", pin)


def test_ci_can_be_run() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


@pytest.mark.skipif(shutil.which("make") is None, reason="needs the program make")
@pytest.mark.parametrize("target", ["demo", "test", "lint", "bench", "docs"])
def test_make_knows_the_target(target: str) -> None:
    done = subprocess.run(
        ["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
