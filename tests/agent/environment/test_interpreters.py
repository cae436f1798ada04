from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sidecar.agent.environment.environments import Environments
from sidecar.agent.environment.interpreters import Interpreters, between
from sidecar.core import messages as m
from tests.agent.desk import OpenGate, Recorder

VERSION = ".".join(str(part) for part in sys.version_info[:3])


@pytest.fixture
def find(isolated: Path, tmp_path: Path) -> Callable[[str], Any]:
    """Asks, in a project folder `tmp_path/root`, with a fresh home."""
    (tmp_path / "root").mkdir(exist_ok=True)

    def ask(wanted: str, *names: str, setup: str = "") -> Any:
        sent = Recorder()
        Interpreters(sent, str(tmp_path), OpenGate(tmp_path / "root"), Environments(sent)).handle(
            m.Python(1, 1, wanted, setup, list(names))
        )
        return sent.answer(1)

    return ask


def environment(folder: Path) -> Path:
    """Something at `folder` that is a Python as far as anybody can see."""
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(sys.executable)
    return folder / "bin" / "python"


def test_a_path_is_taken_as_it_is_and_says_its_version(find: Callable[[str], Any]) -> None:
    assert find(sys.executable) == m.PythonFound(1, sys.executable, VERSION, "as configured")


def test_a_tilde_a_variable_and_a_path_in_the_project_are_understood(
    find: Callable[[str], Any], isolated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENVS", str(isolated / "envs"))
    path = environment(isolated / "envs" / "ml")
    for wanted in ("~/envs/ml/bin/python", "$ENVS/ml/bin/python"):
        assert find(wanted).path == str(path)
    inside = environment(tmp_path / "root" / "env")
    assert find("env/bin/python").path == str(inside)


def test_the_projects_own_environment_comes_first(
    find: Callable[[str], Any], tmp_path: Path
) -> None:
    second = environment(tmp_path / "root" / "venv")
    assert find("").path == str(second)
    first = environment(tmp_path / "root" / ".venv")
    found = find("")
    assert (found.path, found.source) == (str(first), ".venv in the project's folder")


def test_then_comes_the_conda_environment_of_a_name_that_may_be_the_projects(
    find: Callable[[str], Any], isolated: Path
) -> None:
    environment(isolated / "miniconda3" / "envs" / "other")
    path = environment(isolated / "miniconda3" / "envs" / "digits")
    found = find("", "in-environment-yml", "digits")
    assert (found.path, found.source) == (str(path), "the conda environment digits")


def test_where_neither_is_there_nothing_is_chosen(find: Callable[[str], Any]) -> None:
    assert find("", "digits") == m.PythonFound(1, "", "", "")


def test_a_bare_name_is_one_on_the_path_of_a_login_shell_after_setup(
    find: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "module").mkdir()
    (tmp_path / "module" / "python3").symlink_to(sys.executable)
    found = find("python3", setup=f"PATH={tmp_path}/module:$PATH")
    assert found.path == str(tmp_path / "module" / "python3")


def test_a_conda_environment_is_found_by_its_name(
    find: Callable[[str], Any], isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("CONDA_EXE", "MAMBA_ROOT_PREFIX", "CONDA_ROOT"):
        monkeypatch.delenv(variable, raising=False)
    path = environment(isolated / "miniconda3" / "envs" / "ml")
    base = environment(isolated / "miniconda3")
    other = environment(isolated / "elsewhere" / "vision")
    (isolated / ".conda").mkdir()
    (isolated / ".conda" / "environments.txt").write_text(f"{other.parent.parent}\n/gone/away\n")
    assert find("conda:ml").path == str(path)
    assert find("conda:base").path == str(base)
    assert find("conda:vision").path == str(other)
    answer = find("conda:nope")
    assert answer.code == "no-such-python"
    assert "ml, vision" in answer.why
    assert "hosts.X.python" in answer.fix


@pytest.mark.parametrize(
    ("prepare", "why"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.symlink_to("/no/such/python"), "a link to /no/such/python"),
        (lambda path: path.mkdir(), "a folder"),
        (lambda path: path.write_text("x"), "cannot be started"),
        (lambda path: (path.write_text("#!/bin/sh\necho hi\n"), path.chmod(0o755)), "said 'hi"),
    ],
)
def test_what_is_no_python_is_refused_with_what_was_found(
    find: Callable[[str], Any], tmp_path: Path, prepare: Callable[[Path], Any], why: str
) -> None:
    path = tmp_path / "python"
    prepare(path)
    answer = find(str(path))
    assert answer.code == "no-such-python"
    assert why in answer.why
    assert "Found there: " in answer.why
    assert "sidecar envs" in answer.fix or "add" in answer.fix


def test_a_broken_environment_in_the_project_is_said_and_not_passed_over(
    find: Callable[[str], Any], tmp_path: Path
) -> None:
    folder = tmp_path / "root" / ".venv" / "bin"
    folder.mkdir(parents=True)
    (folder.parent / "pyvenv.cfg").write_text("home = /laptops/own\n")
    (folder / "python").symlink_to("/laptops/own/python")
    answer = find("")
    assert "/laptops/own/python" in answer.why
    assert "python3 -m venv --clear" in answer.fix


def test_text_between_marks() -> None:
    assert between("noise MARK a MARK noise", "MARK") == "a"
    assert between("noise MARK a", "MARK") is None
    assert between("", "MARK") is None
