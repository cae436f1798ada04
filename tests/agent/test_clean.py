"""What is removed is what was listed, and nothing through a link."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sidecar.agent.clean import Cleaning, Question
from sidecar.agent.roots.root import Root

OWNER = "ada@laptop:/model"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    root = Root(1, os.fsencode(folder))
    root.claim("marker", OWNER)
    kept = folder / ".sidecar/trash/20260101-0000"
    kept.mkdir()
    (kept / "main.py~00").write_text("old\n")
    return folder


def ask(root: Path, *remove: list[str], all: bool = False) -> dict[str, dict[str, Any]]:
    question = Question(str(root.parent / "state"), str(root), "laptop", [OWNER], all, list(remove))
    return {one["kind"]: one for one in Cleaning(question).answer()["items"]}


def named(item: dict[str, Any]) -> list[str]:
    return [item["kind"], item["name"], item["seal"]]


def test_what_changed_since_it_was_listed_stays(root: Path) -> None:
    listed = ask(root)["trash"]
    assert (listed["files"], listed["only"]) == (1, True)
    (root / ".sidecar/trash/20260101-0000/other.py~00").write_text("somebody's\n")
    left = ask(root, named(listed))
    assert left["trash"]["stays"] == "it changed meanwhile"
    assert ask(root)["trash"]["files"] == 2


def test_a_link_in_our_folder_goes_and_what_it_leads_to_stays(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("1\n")
    (root / ".sidecar/trash/20260101-0000/link~00").symlink_to(outside)
    (root / ".sidecar/tmp/link").symlink_to(outside)
    found = ask(root)
    assert ask(root, *map(named, found.values())) == {}
    assert not (root / ".sidecar").exists()
    assert (outside / "precious").exists()


def test_a_folder_of_ours_that_is_a_link_is_not_looked_into(root: Path, tmp_path: Path) -> None:
    (root / ".sidecar").rename(tmp_path / "elsewhere")
    (root / ".sidecar").symlink_to(tmp_path / "elsewhere")
    assert ask(root, all=True) == {}
    assert ask(root, ["trash", "trash", ""], all=True) == {}
    assert (tmp_path / "elsewhere/trash/20260101-0000/main.py~00").exists()


def test_the_refs_that_keep_commits_are_named_and_go(root: Path) -> None:
    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(root), "-c", "user.name=a", "-c", "user.email=a@b", *words],
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    git("init", "-q", "-b", "main")
    git("commit", "-q", "--allow-empty", "-m", "one")
    git("update-ref", "refs/sidecar/before/main", "HEAD")
    listed = ask(root)["refs"]
    assert "refs/sidecar/before/main" in listed["text"]
    assert listed["only"]
    assert ask(root, named(listed)) == {}
    assert git("for-each-ref", "--format=%(refname)") == "refs/heads/main\n"


def test_a_copy_that_a_program_wrote_into_is_named_as_such(root: Path) -> None:
    copy = root / ".sidecar/frozen/abc"
    copy.mkdir(parents=True)
    (copy / "result.txt").write_text("42\n")
    (root / ".sidecar/frozen/abc.entries").write_bytes(b"")
    item = ask(root)["frozen"]
    assert item["only"]
    assert ask(root, named(item)) == {}
    assert not copy.parent.exists()
