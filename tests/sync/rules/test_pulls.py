"""Which paths come here by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from sidecar.core.reconcile import COMES, THEIRS
from sidecar.sync.rules.ignore import Rules
from sidecar.sync.rules.pulls import Pulls

BOTH = COMES | THEIRS


def pulls(root: Path, wanted: Sequence[str], ignored: Sequence[str] = ()) -> Pulls:
    return Pulls(wanted, Rules.load(root, ignored))


def test_without_patterns_nothing_comes(tmp_path: Path) -> None:
    none = pulls(tmp_path, [])
    assert not none
    assert none.of("runs/a") == 0
    assert not none.enters("")


@pytest.mark.parametrize(
    ("wanted", "path", "expected"),
    [
        (["runs/"], "runs/1/loss.png", BOTH),
        (["runs/"], "deep/runs/x", BOTH),
        (["/runs/"], "deep/runs/x", 0),
        (["runs/"], "other/x", 0),
        (["*.png"], "a/b/c.png", BOTH),
        (["*.png"], "a/b/c.py", 0),
        (["out/*.csv"], "out/a.csv", BOTH),
        (["runs/", "!*.ckpt"], "runs/a/b.ckpt", 0),
        (["runs/", "!big/"], "runs/big/x", 0),
        (["runs/"], "runs/__pycache__/x.pyc", 0),
        (["runs/"], "runs/.git/config", 0),
        (["runs/"], "runs/.envrc", 0),
        (["**"], "a.py", COMES),
        (["*"], "deep/a.py", COMES),
        (["**"], "data/x", 0),
        (["**", "data/"], "data/x", BOTH),
        (["**", "!secret/"], "secret/x", 0),
        (["**"], ".vscode/settings.json", 0),
        (["**"], ".git/hooks/post-checkout", 0),
        (["**"], "sidecar.toml", 0),
        (["**", ".envrc"], ".envrc", BOTH),
        (["**"], "sub/.ENVRC", 0),
        (["**"], "pkg/__pycache__/a.pyc", 0),
    ],
)
def test_what_comes(tmp_path: Path, wanted: list[str], path: str, expected: int) -> None:
    assert pulls(tmp_path, wanted, ["data/"]).of(path) == expected


@pytest.mark.parametrize(
    ("wanted", "folder", "expected"),
    [
        (["runs/"], "runs/1", True),
        (["runs/"], "pkg", True),  # there may be a runs/ in it
        (["/runs/"], "pkg", False),
        (["a/b/*.png"], "a", True),
        (["a/b/*.png"], "a/b", True),
        (["a/b/*.png"], "a/c", False),
        (["*.png"], "data", False),
        (["**"], "pkg", True),
        (["**"], "data", False),
        (["/data/mini/"], "data", True),
        (["runs/"], ".git", False),
        (["runs/"], "runs/__pycache__", False),
    ],
)
def test_which_folders_are_looked_into(
    tmp_path: Path, wanted: list[str], folder: str, expected: bool
) -> None:
    assert pulls(tmp_path, wanted, ["data/"]).enters(folder) is expected


def test_only_a_pattern_that_is_the_path_names_it(tmp_path: Path) -> None:
    some = pulls(tmp_path, ["bin/run.sh", "*.sh", "tools/"])
    assert some.is_named("bin/run.sh")
    assert not some.is_named("other.sh")
    assert not some.is_named("tools")
