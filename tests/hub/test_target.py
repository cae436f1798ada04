from __future__ import annotations

from pathlib import Path

import pytest

from sidecar import api
from sidecar.core.pathmap import PathMap
from sidecar.errors import UsageError
from sidecar.hub import target
from sidecar.hub.target import Looked
from sidecar.jobs import cell

PATHS = PathMap(["/home/ada/model", "/data/model"], ["/srv/model"])
PYTHON = "/srv/env/bin/python"


def command(params: api.RunParams) -> target.Command:
    name, colons, test = params.target.partition("::")
    folder = params.cwd or "/home/ada/model"
    file = str(Path(folder, name)) if name.endswith(".py") and not params.module else ""
    return target.command(params, PATHS, PYTHON, Looked(file, colons + test, bool(colons)))


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
        (api.RunParams(target="/data/model/bin/x"), ["/srv/model/bin/x"], "/srv/model"),
        (api.RunParams(target="/usr/bin/env"), ["/usr/bin/env"], "/srv/model"),
        (
            api.RunParams(target="tests/test_x.py::TestA::test_b", args=["-x"]),
            [PYTHON, "-m", "pytest", "tests/test_x.py::TestA::test_b", "-x"],
            "/srv/model",
        ),
        (
            api.RunParams(target="/data/model/test_x.py::test_b[1-a::b]"),
            [PYTHON, "-m", "pytest", "/srv/model/test_x.py::test_b[1-a::b]"],
            "/srv/model",
        ),
    ],
)
def test_a_target_becomes_a_command_there(params: api.RunParams, argv: list[str], cwd: str) -> None:
    assert command(params) == (argv, cwd, {})


@pytest.mark.parametrize(
    "params",
    [
        api.RunParams(target="/etc/x.py"),
        api.RunParams(target="../x.py"),
        api.RunParams(target="/etc/test_x.py::test_y"),
        api.RunParams(target="a.py", cwd="/elsewhere"),
    ],
)
def test_what_is_not_in_the_project_is_refused(params: api.RunParams) -> None:
    with pytest.raises(UsageError, match="not in the project"):
        command(params)


def test_lines_are_a_cell_with_the_files_name_there() -> None:
    looked = Looked("/data/model/x/a.py")
    params = api.RunParams(target="/data/model/x/a.py", args=["-v"])
    found = target.command(params, PATHS, PYTHON, looked, (3, ["x = 1\n", "x\n"]))
    assert found.argv == [PYTHON, "-c", cell.COMMAND, "/srv/model/x/a.py:3-4", "-v"]
    assert set(found.env) == {cell.VARIABLE}
    with pytest.raises(UsageError, match="no Python file"):
        target.command(api.RunParams(target="a.sh"), PATHS, PYTHON, Looked(), (1, ["x"]))


def test_a_target_is_looked_for_where_the_command_runs(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("print(1)\n")
    (tmp_path / "test_it.py").write_text("def test_it():\n    pass\n")
    root = str(tmp_path)
    look = lambda name, **rest: target.look(api.RunParams(target=name, **rest), root)  # noqa: E731
    assert look("train.py") == Looked(f"{root}/train.py")
    assert look("test_it.py").by_pytest
    assert look("test_it.py::test_it")[:3] == (f"{root}/test_it.py", "::test_it", True)
    assert look("trian.py") == Looked(f"{root}/trian.py", exists=False, near="train.py")
    assert look("train.py", cwd=f"{root}/sub").exists is False
    assert look("pytest") == look("pkg.mod", module=True) == Looked()


def test_a_typo_is_said_before_anything_is_started() -> None:
    missing = Looked("/home/ada/model/trian.py", exists=False, near="train.py")
    params = api.RunParams(target="trian.py")
    with pytest.raises(UsageError, match=r"Did you mean train\.py"):
        target.refuse_what_is_missing(params, missing, True, lambda path: "")
    as_is = api.RunParams(target="trian.py", as_is=True)
    target.refuse_what_is_missing(as_is, missing, True, lambda path: "")


def test_a_script_that_a_rule_keeps_here_is_refused_with_the_rule() -> None:
    looked = Looked("/home/ada/model/local.py")
    with pytest.raises(UsageError, match=r"\.gitignore:3"):
        target.refuse_what_is_missing(
            api.RunParams(target="local.py"), looked, True, lambda path: ".gitignore:3 `local*`"
        )


def test_a_test_is_debugged_as_a_module_of_pytest() -> None:
    params = api.DebugParams(target="/data/model/test_x.py::test_y", args=["-x"])
    looked = Looked("/data/model/test_x.py", "::test_y", True)
    assert target.to_debug(params, looked, PATHS) == (
        "pytest",
        ["/srv/model/test_x.py::test_y", "-x"],
        True,
    )
    plain = api.DebugParams(target="a.py", args=["-x"])
    assert target.to_debug(plain, Looked("/data/model/a.py"), PATHS) == ("a.py", ["-x"], False)


def test_a_target_has_one_name_in_whatever_spelling_it_comes(tmp_path: Path) -> None:
    root = tmp_path / "real"
    root.mkdir()
    (tmp_path / "link").symlink_to(root)
    params = api.RunParams(target="a.py")
    assert target.name(params, Looked(str(tmp_path / "link" / "a.py")), root) == "a.py"
    assert target.name(params, Looked(str(root / "t.py"), "::test_x"), root) == "t.py::test_x"
    module = api.RunParams(target="pkg.mod", module=True)
    assert target.name(module, Looked(), root) == "-m pkg.mod"
