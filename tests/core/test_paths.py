from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core import paths
from sidecar.core.paths import PathError

pieces = st.sampled_from(["a", "b", "..", ".", "", "/", "\0", "~", " ", ".sidecar", "é", "\udcff"])
nasty = st.lists(pieces, max_size=6).map("/".join)


@pytest.mark.parametrize(
    "path", ["a", "a/b", ".git/config", "..a/b..", "a b", "~", "\udcff/é", "x/.sidecar", "a\nb"]
)
def test_a_path_within_the_root_is_taken_apart(path: str) -> None:
    assert "/".join(paths.check(path)) == path


@pytest.mark.parametrize(
    "path",
    [
        "", "/", "/etc/passwd", "..", "../a", "a/..", "a/../b", ".", "./a", "a/.", "a//b", "a/",
        "a\0b", ".sidecar", ".sidecar/marker.json", "\ud800", "x" * 256, "a/" * 2048 + "a",
    ],
)  # fmt: skip
def test_a_path_that_may_not_be_used_is_refused(path: str) -> None:
    with pytest.raises(PathError):
        paths.check(path)


@given(nasty | st.text(max_size=20))
def test_whatever_is_accepted_stays_below_the_root(path: str) -> None:
    try:
        parts = paths.check(path)
    except PathError:
        return
    whole = os.path.normpath(os.path.join("/base", path))
    assert whole == "/base/" + path
    assert whole.startswith("/base/")
    assert parts[0] != paths.OURS


@given(nasty, nasty)
def test_a_link_that_stays_inside_leads_nowhere_else(path: str, target: str) -> None:
    try:
        paths.check(path)
    except PathError:
        return
    if paths.link_stays_inside(path, target):
        place = os.path.normpath(os.path.join("/base", os.path.dirname(path), target))
        assert place == "/base" or place.startswith("/base/")


@pytest.mark.parametrize(
    ("path", "target", "inside"),
    [
        ("a", "b", True),
        ("a/b", "../c", True),
        ("a/b", "..", True),
        ("a", "..", False),
        ("a/b", "../../c", False),
        ("a/b", "c/../../../d/a", False),
        ("a", "/base/a", False),
        ("a", "", False),
        ("a", "b\0", False),
        ("a", "./b//c", True),
    ],
)
def test_links_are_judged_by_their_text(path: str, target: str, inside: bool) -> None:
    assert paths.link_stays_inside(path, target) is inside


def test_the_parent_of_a_top_level_path_is_the_root() -> None:
    assert paths.parent("a") == ""
    assert paths.parent("a/b/c") == "a/b"
