from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.pathmap import PathMap

HERE = PathMap(["/home/me/proj"], ["/gpfs/me/proj", "/home/u/proj"])


@pytest.mark.parametrize(
    ("local", "remote"),
    [
        ("/home/me/proj", "/gpfs/me/proj"),
        ("/home/me/proj/", "/gpfs/me/proj"),
        ("/home/me/proj/a.py", "/gpfs/me/proj/a.py"),
        ("//home/me//proj/a.py", "/gpfs/me/proj/a.py"),
        ("/home/me/proj/pkg/../a.py", "/gpfs/me/proj/a.py"),
        ("/home/me/projects/a.py", None),
        ("/home/me/proj/../other/a.py", None),
        ("/home/me", None),
        ("a.py", None),
        ("", None),
        ("<string>", None),
    ],
)
def test_a_local_path_maps_only_where_it_is_in_the_root(local: str, remote: str | None) -> None:
    assert HERE.to_remote(local) == remote


@pytest.mark.parametrize("root", ["/gpfs/me/proj", "/home/u/proj"])
def test_every_spelling_of_the_remote_root_maps_back(root: str) -> None:
    assert HERE.to_local(root + "/pkg/a.py") == "/home/me/proj/pkg/a.py"
    assert HERE.to_local(root) == "/home/me/proj"
    assert HERE.to_local(root + "x/a.py") is None


def test_the_longest_spelling_wins() -> None:
    nested = PathMap(["/w", "/w/link"], ["/r"])
    assert nested.to_remote("/w/link/a.py") == "/r/a.py"
    assert nested.to_remote("/w/linked/a.py") == "/r/linked/a.py"


def test_answers_follow_the_spelling_that_the_editor_uses() -> None:
    both = PathMap(["/real/proj", "/home/me/link"], ["/r"])
    assert both.to_local("/r/a.py") == "/real/proj/a.py"
    assert both.spelled_like("/home/me/link/b.py").to_local("/r/a.py") == "/home/me/link/a.py"
    assert both.spelled_like("/elsewhere/b.py") is both
    assert both.spelled_like("/real/proj/b.py") is both


def test_a_root_of_everything_maps_without_doubled_slashes() -> None:
    assert PathMap(["/w"], ["/"]).to_remote("/w/a") == "/a"
    assert PathMap(["/w"], ["/"]).to_local("/a") == "/w/a"
    assert PathMap(["/w"], ["/"]).to_remote("/w") == "/"


def test_a_windows_laptop_is_compared_without_case_and_answered_with_its_own_separators() -> None:
    windows = PathMap(["C:\\Users\\me\\proj"], ["/r"])
    assert windows.to_remote("c:\\users\\ME\\proj\\Pkg\\a.py") == "/r/Pkg/a.py"
    assert windows.to_remote("C:/Users/me/proj/a.py") == "/r/a.py"
    assert windows.to_remote("C:\\Users\\me\\project\\a.py") is None
    assert windows.to_remote("/Users/me/proj/a.py") is None
    assert windows.to_local("/r/pkg/a.py") == "C:\\Users\\me\\proj\\pkg\\a.py"


@pytest.mark.parametrize(("local", "remote"), [([], ["/r"]), (["/w"], []), (["w"], ["/r"])])
def test_a_map_without_two_absolute_roots_is_an_error(local: list[str], remote: list[str]) -> None:
    with pytest.raises(ValueError, match="root"):
        PathMap(local, remote)


names = st.text(
    st.characters(blacklist_characters="/\0", blacklist_categories=("Cs",)), min_size=1
).filter(lambda name: name not in (".", ".."))


@given(st.lists(names, max_size=5))
def test_what_is_mapped_there_maps_back_to_itself(parts: list[str]) -> None:
    local = "/".join(["/home/me/proj", *parts])
    remote = HERE.to_remote(local)
    assert remote is not None
    assert HERE.to_local(remote) == local


@given(st.text())
def test_any_text_is_answered_with_a_path_below_the_root_or_nothing(text: str) -> None:
    for path in (text, "/home/me/proj/" + text):
        remote = HERE.to_remote(path)
        assert remote is None or (remote + "/").startswith("/gpfs/me/proj/")
