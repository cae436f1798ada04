"""What is looked at when paths are said to have changed here."""

from __future__ import annotations

from pathlib import Path

from sidecar.core import tree
from sidecar.sync.content import nothing_known
from sidecar.sync.here import Here
from sidecar.sync.ignore import Rules


def widened(root: Path, *paths: str) -> set[str]:
    agreed = {"pkg": tree.FOLDER, "pkg/a.py": tree.file("x"), "main.py": tree.file("y")}
    here = Here(root, Rules.load(root, [], [], []), nothing_known, lambda digest, signature: None)
    return here.widened(paths, agreed, lambda path: True)


def test_a_folder_that_is_gone_is_looked_at_with_all_that_was_in_it(tmp_path: Path) -> None:
    assert widened(tmp_path, "pkg") == {"pkg", "pkg/a.py"}


def test_another_folder_of_the_same_name_is_not_taken_for_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "pkg").mkdir()
    assert widened(tmp_path, "pkg") == {"pkg", "pkg/a.py"}


def test_a_link_in_place_of_a_folder_hides_nothing_of_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other/a.py").touch()
    (tmp_path / "pkg").symlink_to("other")
    assert widened(tmp_path, "pkg") == {"pkg", "pkg/a.py"}


def test_what_is_still_in_a_known_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg/a.py").touch()
    assert widened(tmp_path, "pkg") == {"pkg"}


def test_a_new_folder_is_looked_at_with_all_that_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "new/deep").mkdir(parents=True)
    (tmp_path / "new/deep/b.py").touch()
    assert widened(tmp_path, "new/deep") == {"new", "new/deep", "new/deep/b.py"}
