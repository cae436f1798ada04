"""Every interpreter of a machine, and what is in it, without starting more than has to be."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from sidecar.agent.environment import interpreters, packages
from sidecar.agent.environment.environments import Environments
from sidecar.agent.environment.interpreters import Interpreters
from sidecar.core import messages as m
from tests.agent.desk import OpenGate, Recorder

MINOR = f"{sys.version_info[0]}.{sys.version_info[1]}"
NO_START = "#!/bin/sh\necho started >&2; exit 9\n"


@pytest.fixture
def home(isolated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home in which nothing is found but what a test puts there."""
    for name in list(os.environ):
        if name.startswith(("CONDA", "MAMBA", "_CONDA", "PYENV", "UV_", "POETRY", "VIRTUAL_ENV")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SHELL", "/bin/sh")
    (tmp_path / "root").mkdir()
    return isolated


@pytest.fixture
def root(home: Path, tmp_path: Path) -> Path:
    return tmp_path / "root"


def venv(folder: Path, version: str = "3.9.1", **installed: str) -> Path:
    """As `python -m venv` leaves it; its interpreter must not be started."""
    python(folder, version, **installed)
    (folder / "pyvenv.cfg").write_text(f"home = /nowhere/bin\nversion = {version}\n")
    return folder


def python(folder: Path, version: str, **installed: str) -> Path:
    (folder / "bin").mkdir(parents=True)
    for name in ("python", "python3"):
        (folder / "bin" / name).write_text(NO_START)
        (folder / "bin" / name).chmod(0o755)
    minor = ".".join(version.split(".")[:2])
    site = folder / "lib" / f"python{minor}" / "site-packages"
    for name, number in installed.items():
        (site / name).mkdir(parents=True)
        (site / f"{name}-{number}.dist-info").mkdir()
    return folder


def conda(folder: Path, version: str = "3.10.4", **installed: str) -> Path:
    python(folder, version, **installed)
    (folder / "conda-meta").mkdir()
    (folder / "conda-meta" / f"python-{version}-h12debd9_0.json").write_text("{}")
    return folder


def survey(root: Path, *imports: str) -> dict[str, dict[str, Any]]:
    sent = Recorder()
    Interpreters(sent, "", OpenGate(root), Environments(sent)).handle(
        m.Survey(1, 1, "", list(imports))
    )
    rows = json.loads(sent.answer(1).body)["interpreters"]
    return {row["name"]: row for row in rows}


def test_what_each_tool_keeps_is_found_with_its_version_and_not_started(
    home: Path, root: Path
) -> None:
    venv(root / ".venv", "3.11.2", torch="2.5.1")
    venv(root / "env39")
    venv(root.parent / "venv", "3.8.3")
    conda(home / "miniforge3", "3.12.1")
    conda(home / "miniforge3/envs/ml", "3.10.4", numpy="1.26.4")
    conda(home / "data/envs/vision", "3.10.9")
    (home / ".condarc").write_text("channels:\n  - x\nenvs_dirs:\n  - ~/data/envs\n")
    conda(home / "far/away", "3.9.9")
    (home / ".conda").mkdir()
    (home / ".conda/environments.txt").write_text(f"{home}/far/away\n/gone\n")
    conda(home / "micromamba/envs/mm", "3.11.9")
    python(home / ".local/share/uv/python/cpython-3.12.5-linux-x86_64-gnu", "3.12.5")
    python(home / ".pyenv/versions/3.8.18", "3.8.18")
    venv(home / ".cache/pypoetry/virtualenvs/digits-Ab1-py3.11", "3.11.1")
    venv(home / ".virtualenvs/old", "3.7.1")
    found = survey(root)
    versions = {name: row["version"] for name, row in found.items() if row["kind"] != "login"}
    assert {
        ".venv": "3.11.2",
        "env39": "3.9.1",
        "conda:base": "3.12.1",
        "conda:ml": "3.10.4",
        "conda:vision": "3.10.9",
        "conda:away": "3.9.9",
        "conda:mm": "3.11.9",
        "uv:cpython-3.12.5-linux-x86_64-gnu": "3.12.5",
        "pyenv:3.8.18": "3.8.18",
        "poetry:digits-Ab1-py3.11": "3.11.1",
        "~/.virtualenvs/old": "3.7.1",
    }.items() <= versions.items()
    assert found[".venv"]["setting"] == ".venv/bin/python"
    assert found[".venv"]["packages"] == {"torch": "2.5.1"}
    assert found["conda:ml"]["setting"] == "conda:ml"
    assert found["pyenv:3.8.18"]["setting"] == "~/.pyenv/versions/3.8.18/bin/python"


def test_the_python3_of_a_login_shell_is_asked_itself(home: Path, root: Path) -> None:
    (home / "bin").mkdir()
    (home / "bin" / "python3").symlink_to(sys.executable)
    (home / ".profile").write_text("PATH=$HOME/bin:$PATH\n")
    row = survey(root)["python3"]
    assert (row["kind"], row["path"]) == ("login", f"{home}/bin/python3")
    assert row["version"] == ".".join(map(str, sys.version_info[:3]))


def test_what_cannot_run_says_why(home: Path, root: Path) -> None:
    (venv(root / ".venv") / "bin" / "python").unlink()
    (root / ".venv/bin/python").symlink_to("/laptops/own/python")
    broken = root / "broken"
    python(broken, "3.9.1")
    found = survey(root)
    assert "a link to /laptops/own/python" in found[".venv"]["problem"]
    assert "it is no Python" in found["broken"]["problem"]


def test_cuda_is_what_torch_or_jax_was_built_for(tmp_path: Path) -> None:
    site = tmp_path / "site"
    (site / "torch").mkdir(parents=True)
    version = site / "torch" / "version.py"
    for text, cuda in (
        ("__version__ = '2.5.1+cu124'\ncuda: Optional[str] = '12.4'\n", "12.4"),
        ("__version__ = '1.0'\ncuda = '9.0'\n", "9.0"),
        ("__version__ = '2.5.1+cpu'\ncuda: Optional[str] = None\n", ""),
    ):
        version.write_text(text)
        assert packages.contents([str(site)]).cuda == cuda
    (site / "jax_cuda12_plugin-0.4.35.dist-info").mkdir()
    (site / "jax-0.4.35.dist-info").mkdir()
    inside = packages.contents([str(site)])
    assert (inside.cuda, inside.packages) == ("12", {"jax": "0.4.35"})


def test_imports_are_found_as_folders_files_and_editable_installs(tmp_path: Path) -> None:
    for name in ("numpy", "google"):
        (tmp_path / name).mkdir()
    for name in ("six.py", "fast.cpython-311-x86_64-linux-gnu.so"):
        (tmp_path / name).write_text("")
    (tmp_path / "my_package-0.1.dist-info").mkdir()
    wanted = ["numpy", "google", "six", "fast", "my_package", "torch"]
    assert packages.contents([str(tmp_path)], wanted).lacks == ["torch"]


def test_a_venv_on_top_of_the_systems_packages_has_those_too(tmp_path: Path, home: Path) -> None:
    base = python(tmp_path / "base", "3.9.1", numpy="1.0")
    inner = venv(tmp_path / "inner", "3.9.1", torch="2.0")
    settings = inner / "pyvenv.cfg"
    settings.write_text(f"home = {base}/bin\ninclude-system-site-packages = true\n")
    folders = packages.folders(str(inner), "3.9.1")
    assert packages.contents(folders, ["numpy", "torch"]).lacks == []
    settings.write_text(f"home = {base}/bin\ninclude-system-site-packages = false\n")
    folders = packages.folders(str(inner), "3.9.1")
    assert packages.contents(folders, ["numpy", "torch"]).lacks == ["numpy"]


def test_a_list_does_not_wait_for_an_interpreter_that_hangs(home: Path, root: Path) -> None:
    python(root / "slow", "3.9.1")
    (root / "slow/bin/python").write_text("#!/bin/sh\nexec /bin/sleep 600\n")
    venv(root / ".venv", "3.11.2")
    rows = interpreters.survey(str(root), {"PATH": ""}, [], patience=4.0)
    by_name = {row["name"]: row for row in rows}
    assert by_name[".venv"]["version"] == "3.11.2"
    problem = by_name["slow"]["problem"]
    assert "not looked at in time" in problem or "did not answer" in problem


def test_an_environment_is_listed_once_whatever_leads_to_it(home: Path, root: Path) -> None:
    conda(home / "miniforge3/envs/ml")
    (home / ".conda").mkdir()
    (home / ".conda/environments.txt").write_text(f"{home}/miniforge3/envs/ml\n")
    (root / "link").symlink_to(home / "miniforge3/envs/ml")
    names = [row["name"] for row in survey(root).values() if "miniforge3" in row["path"]]
    paths = [
        row["path"]
        for row in survey(root).values()
        if os.path.realpath(row["path"]).startswith(str(home / "miniforge3"))
    ]
    assert len(paths) == 1, names
