"""Every Python that can be had here, debugged with the release of debugpy that is meant for it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.debug.client import DapClient
from tests.debug.conftest import Bench

SCORE = 2
"""The line of model.py where `doubled` is made."""

OTHER_PYTHONS = ("3.8", "3.9", "3.10", "3.12", "3.13", "3.14", "3.15")


def other_python(minor: str) -> str:
    """An interpreter of that version on this machine, "" where there is none. The variable says
    where else one is, with `%s` for the version: a Debian of its own in a folder, say."""
    elsewhere = os.environ.get("SIDECAR_OTHER_PYTHONS", "").replace("%s", minor)
    for path in filter(None, (elsewhere, shutil.which(f"python{minor}"))):
        # pyenv's programs are there for versions that are not chosen, and then only complain.
        if os.access(path, os.X_OK) and not subprocess.run([path, "-c", ""]).returncode:
            return path
    pyenv = sorted(Path.home().glob(f".pyenv/versions/{minor}.*/bin/python"))
    return str(pyenv[-1]) if pyenv else ""


@pytest.mark.parametrize("version", OTHER_PYTHONS)
async def test_other_pythons_are_debugged_as_well(bench: Bench, version: str) -> None:
    interpreter = other_python(version)
    if not interpreter:
        pytest.skip(f"only on a machine with Python {version}")
    session = await bench.start(interpreter=interpreter, version=version)
    model = str(bench.here / "model.py")
    async with DapClient.connected(session.port) as client:
        frames = await client.stop_at(model, SCORE)
        assert (frames[0]["source"]["path"], frames[0]["line"]) == (model, SCORE)
        assert (await client.variables(frames[0]))["row"] == "1"
        found = await client.ask(
            "evaluate", expression="__import__('sys').version_info[:2]", frameId=frames[0]["id"]
        )
        assert found["result"] == f"({version.replace('.', ', ')})"
        await client.ask("next", threadId=1)
        assert (await client.stack(2))[0]["line"] == SCORE + 1
        await client.ask("setBreakpoints", source={"path": model}, breakpoints=[])
        await client.ask("continue", threadId=1)
        await client.output("total 12")
        await client.event("terminated")
        assert client.printed("stderr") == ""
