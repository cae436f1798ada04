"""What an agent has loaded while nothing happens."""

from __future__ import annotations

import json
import subprocess

import pytest

from sidecar.agent.rest import LIKELY
from sidecar.remote import bundle
from tests.agent.test_loader import BEGIN, LOADER
from tests.remote.pythons import PYTHONS

WHEN_WANTED = {
    "sidecar.agent.install",
    "sidecar.agent.streams",
    "sidecar.agent.changes.repair",
    "sidecar.agent.git.repositories",
    "sidecar.agent.git.follower",
    "tarfile",
    "tempfile",
    "datetime",
    "asyncio",
    "email",
    "inspect",
    "logging",
    "ssl",
    "unittest",
    "urllib.parse",
}
"""What the agent of somebody who edits and runs has no use for: each is up to a megabyte."""


@pytest.mark.parametrize("python", PYTHONS)
def test_what_nobody_asked_for_is_not_loaded(python: str) -> None:
    names = (*bundle.NOW, *bundle.FILES, *bundle.OTHERS)
    sources = {f"sidecar.{name}": bundle._source(name) for name in names}
    code = (
        "import json\n"
        "loader.install(json.load(sys.stdin))\n"
        "import sidecar.agent.changes.files, sidecar.agent.roots.notice\n"
        "import sidecar.agent.environment.interpreters, sidecar.agent.rest as rest\n"
        "rest.prepare(); print(*sys.modules)"
    )
    done = subprocess.run(
        [python, "-sSEB", "-c", BEGIN + code, LOADER],
        input=json.dumps(sources),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    loaded = set(done.stdout.split())
    assert loaded & WHEN_WANTED == set()
    assert loaded >= set(LIKELY)


def test_likely_modules_travel() -> None:
    assert {name.removeprefix("sidecar.") for name in LIKELY} <= set(bundle.OTHERS)
