"""Environments as conda's own commands leave them.

There is no conda to be had where these tests run, so its prefixes are laid out by hand, as conda
24.11 makes them. What is expected was compared with py-rattler 0.28, another implementation of
conda's activation: it agrees wherever it sets the same variables.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from sidecar.agent.environment import activation
from sidecar.agent.failure import Failure

START = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/root", "TAKEN": "theirs"}


def prefix(folder: Path) -> Path:
    for name in ("bin", "conda-meta", "etc/conda/activate.d", "etc/conda/deactivate.d"):
        (folder / name).mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(sys.executable)
    return folder


@pytest.fixture
def base(tmp_path: Path) -> Path:
    base = prefix(tmp_path / "conda")
    (base / "condabin").mkdir()
    (base / "bin" / "conda").write_text("")
    (base / "etc/conda/deactivate.d/x.sh").write_text("export LEFT=yes; unset OF_BASE\n")
    return base


@pytest.fixture
def ml(base: Path) -> Path:
    ml = prefix(base / "envs" / "ml")
    variables = {"STATE": "from state", "BOTH": "state", "TAKEN": "mine", "GONE": "***unset***"}
    (ml / "conda-meta/state").write_text(json.dumps({"version": 1, "env_vars": variables}))
    (ml / "etc/conda/env_vars.d").mkdir()
    package = {"PACKAGE": "from a package", "BOTH": "package"}
    (ml / "etc/conda/env_vars.d/a.json").write_text(json.dumps(package))
    scripts = ml / "etc/conda/activate.d"
    (scripts / "b.sh").write_text('export ORDER="${ORDER}b" SEES="$CONDA_PREFIX $STATE"\n')
    (scripts / "a.sh").write_text('echo noise; export ORDER="${ORDER}a"; false\n')
    (scripts / "c.fish").write_text("exit 1\n")
    return ml


def test_an_environment_is_active_as_after_conda_activate(base: Path, ml: Path) -> None:
    assert activation.activated(str(ml / "bin/python"), START) == {
        **START,
        "PATH": f"{ml}/bin:{base}/condabin:{START['PATH']}",
        "CONDA_PREFIX": str(ml),
        "CONDA_SHLVL": "1",
        "CONDA_DEFAULT_ENV": "ml",
        "CONDA_PROMPT_MODIFIER": "(ml) ",
        "CONDA_EXE": f"{base}/bin/conda",
        "CONDA_PYTHON_EXE": f"{base}/bin/python",
        "PACKAGE": "from a package",
        "BOTH": "state",
        "STATE": "from state",
        "TAKEN": "mine",
        "__CONDA_SHLVL_0_TAKEN": "theirs",
        "ORDER": "ab",
        "SEES": f"{ml} from state",
    }


def test_an_environment_that_a_login_shell_activated_makes_way(base: Path, ml: Path) -> None:
    login = activation.activated(str(base / "bin/python"), START)
    assert login["CONDA_DEFAULT_ENV"] == "base"
    login = {**login, "PATH": f"/mine:{login['PATH']}", "OF_BASE": "1"}
    active = activation.activated(str(ml / "bin/python"), login)
    assert active["PATH"] == f"/mine:{ml}/bin:{base}/condabin:{START['PATH']}"
    assert (active["CONDA_SHLVL"], active["CONDA_PREFIX_1"]) == ("2", str(base))
    assert active["LEFT"] == "yes"
    assert "OF_BASE" not in active
    back = activation.activated(str(base / "bin/python"), active)
    assert back["CONDA_PREFIX"] == str(base)
    assert back["TAKEN"] == "theirs"
    assert "STATE" not in back


def test_one_that_is_active_already_stays_so_once(ml: Path) -> None:
    once = activation.activated(str(ml / "bin/python"), START)
    again = activation.activated(str(ml / "bin/python"), once)
    assert again["CONDA_SHLVL"] == "1"
    assert again["PATH"] == once["PATH"]


def test_an_environment_outside_of_an_installation_is_called_by_its_path(tmp_path: Path) -> None:
    alone = prefix(tmp_path / "alone")
    active = activation.activated(str(alone / "bin/python"), START)
    assert active["CONDA_DEFAULT_ENV"] == str(alone)
    assert "CONDA_EXE" not in active
    assert active["PATH"] == f"{alone}/bin:{START['PATH']}"


def test_a_script_that_ends_the_shell_is_said(ml: Path) -> None:
    (ml / "etc/conda/activate.d/z.sh").write_text("echo broken package; exit 3\n")
    with pytest.raises(Failure) as caught:
        activation.activated(str(ml / "bin/python"), START)
    assert "broken package" in caught.value.why


@pytest.mark.parametrize("text", ["{", "[]", '{"env_vars": []}', '{"env_vars": {"A=B": "x"}}'])
def test_a_state_that_conda_could_not_have_written_sets_nothing(ml: Path, text: str) -> None:
    (ml / "conda-meta/state").write_text(text)
    active = activation.activated(str(ml / "bin/python"), START)
    assert active["BOTH"] == "package"
    assert "A=B" not in active


def test_a_venv_is_active_as_after_its_own_script(tmp_path: Path) -> None:
    venv = tmp_path / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "pyvenv.cfg").write_text("home = /usr/bin\n")
    given = {**START, "PYTHONHOME": "/x", "VIRTUAL_ENV": "/other"}
    assert activation.activated(str(venv / "bin/python"), given) == {
        **START,
        "PATH": f"{venv}/bin:{START['PATH']}",
        "VIRTUAL_ENV": str(venv),
    }


def test_the_python_that_path_finds_anyway_changes_nothing(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        (folder / "python3").symlink_to(sys.executable)
    given = {"PATH": f"{first}:{second}"}
    assert activation.activated(str(first / "python3"), given) == given
    assert activation.activated(str(second / "python3"), given)["PATH"] == f"{second}:{first}"
