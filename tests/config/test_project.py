"""Which folder is whose."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.config.project import find_project


def configured(folder: Path, name: str = "sidecar.toml", text: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("name", "text", "counts"),
    [
        ("sidecar.toml", "", True),
        ("sidecar.local.toml", "", True),
        ("pyproject.toml", "[tool.sidecar]\n", True),
        ("pyproject.toml", "tool = { sidecar = {} }\n", True),
        ("pyproject.toml", "[tool.sidecar.sync]\nmode = ", True),
        ("pyproject.toml", '[project]\ndependencies = ["sidecar"]\n', False),
        ("pyproject.toml", '[project]\ndependencies = ["sidecar"\n', False),
        ("pyproject.toml", "[tool.ruff]\n", False),
        ("setup.cfg", "[tool.sidecar]\n", False),
    ],
)
def test_a_folder_is_a_project_by_its_configuration(
    tmp_path: Path, name: str, text: str, counts: bool
) -> None:
    configured(tmp_path, name, text)
    assert (find_project(tmp_path / "src" / "new.py") is not None) is counts


def test_a_folder_called_like_the_file_is_no_configuration(tmp_path: Path) -> None:
    (tmp_path / "sidecar.toml").mkdir()
    assert find_project(tmp_path) is None


def test_the_nearest_configuration_upward_owns_a_file(tmp_path: Path) -> None:
    configured(tmp_path)
    inner = configured(tmp_path / "a" / "b", "sidecar.local.toml")
    found = find_project(inner / "c" / "d.py")
    assert found is not None
    assert found.root == inner
    outer = find_project(tmp_path / "a" / "x.py")
    assert outer is not None
    assert outer.root == tmp_path


def test_both_spellings_of_a_root_are_kept(tmp_path: Path) -> None:
    real = configured(tmp_path / "real")
    link = tmp_path / "link"
    link.symlink_to(real)
    found = find_project(link / "src" / "x.py")
    assert found == (real, link)
    assert found is not None
    assert found.folder == "link"


def test_a_link_into_a_project_finds_it(tmp_path: Path) -> None:
    real = configured(tmp_path / "real")
    (real / "src").mkdir()
    link = tmp_path / "elsewhere"
    link.symlink_to(real / "src")
    assert find_project(link / "x.py") == (real, real)


def test_a_configuration_in_everybodys_folder_is_nobodys(tmp_path: Path) -> None:
    shared = tmp_path / "tmp"
    configured(shared)
    mine = shared / "mine"
    mine.mkdir()
    assert find_project(mine / "main.py") is not None
    shared.chmod(0o1777)
    assert find_project(mine / "main.py") is None
    configured(mine)
    assert find_project(mine / "main.py") is not None
