from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.agent.changes import trash as trash_module
from sidecar.agent.changes.trash import Trash
from sidecar.agent.failure import Refusal
from sidecar.agent.roots.root import Root
from sidecar.core import identity
from tests.agent.laptop import Laptop, after, seen


@pytest.fixture
def laptop(tmp_path: Path) -> Iterator[Laptop]:
    laptop = Laptop(tmp_path / "code")
    yield laptop
    laptop.files.close()


def test_what_is_overwritten_or_removed_is_kept_under_its_path(laptop: Laptop) -> None:
    laptop.put("pkg/a.py", b"one")
    laptop.put("pkg/a.py", b"two", after(1))
    laptop.put("pkg/a.py", b"three", after(2))
    laptop.remove("pkg/a.py", after(3))
    assert sorted(laptop.trashed("pkg/a.py")) == [b"one", b"three", b"two"]


def test_a_link_is_kept_as_a_link(laptop: Laptop) -> None:
    laptop.link("l", "a")
    laptop.link("l", "b", after(1))
    laptop.remove("l", after(2))
    kept = [os.readlink(one) for one in (laptop.folder / ".sidecar/trash").glob("*/l~*")]
    assert sorted(kept) == ["a", "b"]


def test_a_copy_costs_no_space(laptop: Laptop) -> None:
    first = laptop.put("a", b"x" * 100)
    laptop.put("a", b"y", after(1))
    [kept] = (laptop.folder / ".sidecar/trash").glob("*/a~*")
    assert kept.stat().st_ino == first.identity.inode


def test_a_file_and_then_a_folder_of_one_name_are_both_kept(laptop: Laptop) -> None:
    laptop.put("a", b"file")
    laptop.remove("a", after(1))
    laptop.put("a/b", b"below")
    laptop.remove("a/b", after(3))
    assert laptop.trashed("a") == [b"file"]
    assert laptop.trashed("a/b") == [b"below"]


def test_a_large_file_of_ours_is_not_kept(laptop: Laptop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trash_module, "OURS_LIMIT", 10)
    laptop.put("a", b"x" * 11)
    laptop.put("a", b"y", after(1))
    assert laptop.trashed("a") == []


def test_a_large_file_of_somebody_else_is_kept(
    laptop: Laptop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trash_module, "OURS_LIMIT", 10)
    (laptop.folder / "a").write_bytes(b"theirs" * 10)
    there = identity.from_stat((laptop.folder / "a").lstat())
    laptop.put("a", b"mine", seen(there))
    assert laptop.trashed("a") == [b"theirs" * 10]


def test_where_somebody_elses_file_cannot_be_kept_it_is_not_overwritten(
    laptop: Laptop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trash_module, "MOST_BYTES", 10)
    (laptop.folder / "a").write_bytes(b"theirs" * 10)
    there = identity.from_stat((laptop.folder / "a").lstat())
    refused = laptop.put("a", b"mine", seen(there))
    assert (refused.code, "too large" in refused.why) == ("large", True)
    assert laptop.read("a") == b"theirs" * 10
    assert laptop.leftovers() == []


@pytest.fixture
def root(laptop: Laptop) -> Root:
    root = Root(9, str(laptop.folder).encode())
    root.open(1)
    return root


def kept(root: Root, when: str, path: str, content: bytes) -> Path:
    place = Path(root.name) / ".sidecar/trash" / when / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
    return place


def stamp(seconds: float) -> str:
    return time.strftime("%Y%m%d-%H%M%S", time.gmtime(seconds))


def test_what_is_old_goes(root: Root) -> None:
    now = time.time()
    old = kept(root, stamp(now - 15 * 24 * 3600), "pkg/a", b"x")
    young = kept(root, stamp(now - 13 * 24 * 3600), "pkg/a", b"x")
    kept(root, stamp(now), "pkg/a", b"x")
    Trash(root).prune(now)
    assert (old.exists(), old.parent.parent.exists(), young.exists()) == (False, False, True)


def test_the_oldest_goes_first_where_there_is_too_much(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trash_module, "MOST_BYTES", 250)
    now = time.time()
    places = [kept(root, stamp(now - 100 + i), "a", b"x" * 100) for i in range(4)]
    Trash(root).prune(now)
    assert [one.exists() for one in places] == [False, False, True, True]


def test_the_newest_is_kept_whatever_its_size(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trash_module, "MOST_FILES", 0)
    now = time.time()
    places = [kept(root, stamp(now - 100 + i), "a", b"x") for i in range(3)]
    Trash(root).prune(now)
    assert [one.exists() for one in places] == [False, False, True]


def test_pruning_does_not_follow_links(root: Root, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/f").write_text("x")
    now = time.time()
    place = kept(root, stamp(now - 30 * 24 * 3600), "a", b"x")
    (place.parent / "folder-link").symlink_to(tmp_path / "outside")
    (place.parent / "file-link").symlink_to(tmp_path / "outside/f")
    kept(root, stamp(now), "a", b"x")
    Trash(root).prune(now)
    assert not place.parent.exists()
    assert (tmp_path / "outside/f").exists()


def test_a_change_that_fails_leaves_no_copy(root: Root) -> None:
    (Path(root.name) / "a").write_bytes(b"x")
    trash = Trash(root)
    status = root.lstat(["a"])
    during: list[Path] = []

    def fail() -> None:
        with trash.copy_kept(root.top, ["a"], status, False):
            during.extend((Path(root.name) / ".sidecar/trash").glob("*/a~*"))
            raise Refusal("differs", "somebody was quicker")

    with pytest.raises(Refusal):
        fail()
    assert len(during) == 1
    assert not list((Path(root.name) / ".sidecar/trash").glob("*/a~*"))


def test_where_links_are_not_possible_a_copy_is_made(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    (Path(root.name) / "a").write_bytes(b"content")
    (Path(root.name) / "l").symlink_to("a")
    monkeypatch.setattr(os, "link", refuse)
    trash = Trash(root)
    for name in ("a", "l"):
        status = root.lstat([name])
        assert status
        assert trash.keep(root.top, name.encode(), [name], status, True)
    [copy] = (Path(root.name) / ".sidecar/trash").glob("*/a~*")
    assert copy.read_bytes() == b"content"
    [link] = (Path(root.name) / ".sidecar/trash").glob("*/l~*")
    assert os.readlink(link) == "a"
