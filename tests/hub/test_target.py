from __future__ import annotations

import pytest

from sidecar import api
from sidecar.core.pathmap import PathMap
from sidecar.errors import UsageError
from sidecar.hub.target import bin_folder, command

PATHS = PathMap(["/home/ada/model", "/data/model"], ["/srv/model"])
PYTHON = "/srv/env/bin/python"


@pytest.mark.parametrize(
    ("params", "argv", "cwd"),
    [
        (api.RunParams(target="a.py", args=["-v"]), [PYTHON, "a.py", "-v"], "/srv/model"),
        (api.RunParams(target="/data/model/x/a.py"), [PYTHON, "/srv/model/x/a.py"], "/srv/model"),
        (
            api.RunParams(target="a.py", cwd="/home/ada/model/x"),
            [PYTHON, "a.py"],
            "/srv/model/x",
        ),
        (
            api.RunParams(target="../a.py", cwd="/home/ada/model/x"),
            [PYTHON, "../a.py"],
            "/srv/model/x",
        ),
        (api.RunParams(target="pkg.mod", module=True), [PYTHON, "-m", "pkg.mod"], "/srv/model"),
        (api.RunParams(target="torchrun", args=["a.py"]), ["torchrun", "a.py"], "/srv/model"),
    ],
)
def test_a_target_becomes_a_command_there(params: api.RunParams, argv: list[str], cwd: str) -> None:
    assert command(params, PATHS, PYTHON) == (argv, cwd)


@pytest.mark.parametrize(
    "params",
    [
        api.RunParams(target="/etc/x.py"),
        api.RunParams(target="../x.py"),
        api.RunParams(target="a.py", cwd="/elsewhere"),
    ],
)
def test_what_is_not_in_the_project_is_refused(params: api.RunParams) -> None:
    with pytest.raises(UsageError, match="not in the project"):
        command(params, PATHS, PYTHON)


def test_the_programs_of_an_environment_are_beside_its_python() -> None:
    assert bin_folder(PYTHON) == "/srv/env/bin"
