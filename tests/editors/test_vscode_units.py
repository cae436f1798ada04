"""The extension's own tests and types, by node's runner and tsc."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "editors" / "vscode"

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(
        not (shutil.which("npm") and (FOLDER / "node_modules").is_dir()),
        reason="only on machines with `npm install` done in editors/vscode",
    ),
]


@pytest.mark.parametrize("script", ["check", "test"])
def test_the_extension_is_right_by_itself(script: str) -> None:
    done = subprocess.run(
        ["npm", "run", "--silent", script],
        cwd=FOLDER,
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
