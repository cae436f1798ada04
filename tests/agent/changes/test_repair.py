"""The trash's way back, and whose files are there."""

from __future__ import annotations

import errno
import os
import pwd
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.agent.changes import trash as trash_module
from sidecar.agent.changes.repair import Repair
from sidecar.core import identity, trashed
from sidecar.core import messages as m
from tests.agent.laptop import ROOT, Laptop, after, seen


class Repairing(Laptop):
    """A laptop that also asks what Repair answers."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.repair = Repair(self.heard.send, self.files)

    def request(self, build: Any) -> Any:
        self._id += 1
        id = self._id
        self.repair.handle(build(id))
        return self.heard.first(
            lambda one: getattr(one, "id", 0) == id and getattr(one, "last", True)
        )

    def listed(self, path: str = "", limit: int = 100) -> list[tuple[str, str]]:
        """(path, place), newest first."""
        answer = self.request(lambda id: m.Trash(id, ROOT, path, limit))
        assert isinstance(answer, m.Listed), answer
        return [(trashed.parse(place).path, place) for place, _ in identity.unpack(answer.body)]

    def restore(self, place: str, what: identity.Identity | None = None) -> Any:
        return self.request(lambda id: m.Restore(id, ROOT, place, what))


@pytest.fixture
def laptop(tmp_path: Path) -> Iterator[Repairing]:
    laptop = Repairing(tmp_path / "code")
    yield laptop
    laptop.files.close()


def theirs(laptop: Laptop, path: str, content: bytes) -> identity.Identity:
    target = laptop.folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return identity.from_stat(target.lstat())


def test_what_was_overwritten_comes_back_and_what_it_replaces_is_kept(laptop: Repairing) -> None:
    there = theirs(laptop, "pkg/a.py", b"theirs")
    laptop.put("pkg/a.py", b"mine", seen(there))
    [(path, place)] = laptop.listed()
    restored = laptop.restore(place)
    assert (restored.path, path) == ("pkg/a.py", "pkg/a.py")
    assert laptop.read("pkg/a.py") == b"theirs"
    assert restored.identity == identity.from_stat((laptop.folder / "pkg/a.py").lstat())
    assert restored.identity.mtime_ns == there.mtime_ns
    [(_, again)] = laptop.listed()  # what was brought back is not in the trash any more
    laptop.restore(again)
    assert laptop.read("pkg/a.py") == b"mine"


def test_another_copy_that_lies_at_the_place_by_now_does_not_come_back(laptop: Repairing) -> None:
    there = theirs(laptop, "a.py", b"theirs")
    laptop.put("a.py", b"mine", seen(there))
    [(_, place)] = laptop.listed()
    assert laptop.restore(place, there._replace(size=1)).code == "missing"
    assert laptop.read("a.py") == b"mine"
    restored = laptop.restore(place, there)
    assert isinstance(restored, m.Restored), restored
    assert laptop.read("a.py") == b"theirs"


def test_what_was_brought_back_is_found_to_differ_from_what_was_agreed(laptop: Repairing) -> None:
    there = theirs(laptop, "a", b"theirs")
    mine = laptop.put("a", b"mine", seen(there)).identity
    [(_, place)] = laptop.listed()
    restored = laptop.restore(place)
    assert laptop.sweep() == [("a", restored.identity)]
    refused = laptop.put("a", b"newer", seen(mine))
    assert (refused.code, laptop.read("a")) == ("differs", b"theirs")


def test_what_was_removed_comes_back_with_its_folders(laptop: Repairing) -> None:
    laptop.directory("pkg")
    laptop.put("pkg/a", b"one")
    laptop.remove("pkg/a", after(2))
    laptop.remove("pkg", after(1))
    (laptop.folder / "pkg").exists() and (laptop.folder / "pkg").rmdir()
    [(_, place)] = laptop.listed("pkg")
    laptop.restore(place)
    assert laptop.read("pkg/a") == b"one"


def test_the_listing_is_of_a_path_and_what_is_below_it(laptop: Repairing) -> None:
    for path in ("a", "pkg/a", "pkg/b", "pkgs/a"):
        laptop.put(path, b"one")
        laptop.remove(path, after(laptop.seq))
    assert sorted(path for path, _ in laptop.listed("pkg")) == ["pkg/a", "pkg/b"]
    assert [path for path, _ in laptop.listed("a")] == ["a"]
    assert len(laptop.listed()) == 4
    assert len(laptop.listed(limit=3)) == 3


def test_a_listing_that_is_cut_off_says_so(laptop: Repairing) -> None:
    for path in ("a", "b"):
        laptop.put(path, b"one")
        laptop.remove(path, after(laptop.seq))
    assert laptop.request(lambda id: m.Trash(id, ROOT, "", 1)).truncated
    assert not laptop.request(lambda id: m.Trash(id, ROOT, "", 2)).truncated


def test_a_link_comes_back_as_a_link(laptop: Repairing) -> None:
    laptop.link("l", "a")
    laptop.link("l", "b", after(1))
    [(_, place)] = laptop.listed()
    laptop.restore(place)
    assert os.readlink(laptop.folder / "l") == "a"


def test_a_name_of_255_bytes_comes_back(laptop: Repairing) -> None:
    name = "n" * 255
    laptop.put(f"pkg/{name}", b"one")
    laptop.put(f"pkg/{name}", b"two", after(1))
    laptop.put(f"pkg/{name}", b"three", after(2))
    kept = laptop.listed(f"pkg/{name}")
    assert [path for path, _ in kept] == [f"pkg/{name}"] * 2
    contents = set()
    for _, place in kept:
        laptop.restore(place)
        contents.add(laptop.read(f"pkg/{name}"))
    assert contents == {b"one", b"two"}


def test_bytecode_of_what_was_there_is_not_taken_for_what_came_back(laptop: Repairing) -> None:
    laptop.put("a.py", b"x = 1")
    laptop.put("a.py", b"x = 2", after(1))
    cache = laptop.folder / "__pycache__"
    cache.mkdir()
    times = (1_700_000_000).to_bytes(4, "little") + (5).to_bytes(4, "little")
    bytecode = cache / "a.cpython-311.pyc"
    bytecode.write_bytes(b"\xa7\r\r\n" + bytes(4) + times + b"code")
    [(_, place)] = laptop.listed()
    laptop.restore(place)
    assert laptop.read("a.py") == b"x = 1"
    assert not bytecode.exists()


def test_nothing_comes_back_over_a_folder(laptop: Repairing) -> None:
    laptop.put("a", b"file")
    laptop.remove("a", after(1))
    laptop.put("a/b", b"below")
    [(_, place)] = laptop.listed()
    failed = laptop.restore(place)
    assert isinstance(failed, m.Fail)
    assert "folder" in failed.what
    assert laptop.read("a/b") == b"below"
    assert laptop.listed() == [("a", place)]


@pytest.mark.parametrize(
    "place",
    [
        "20261123-1200/a~05",
        "20261123-1200/../../../../etc/passwd~05",
        "20261123-1200/.sidecar/../a~05",
        "../tmp/a~05",
        "/etc/passwd~05",
        "",
    ],
)
def test_a_place_that_holds_nothing_or_leads_elsewhere_fails(laptop: Repairing, place: str) -> None:
    assert isinstance(laptop.restore(place), m.Fail)


def test_nothing_comes_back_through_a_link(laptop: Repairing, tmp_path: Path) -> None:
    laptop.put("pkg/a", b"one")
    laptop.put("pkg/a", b"two", after(1))
    [(_, place)] = laptop.listed()
    (laptop.folder / "pkg/a").unlink()
    (laptop.folder / "pkg").rmdir()
    (tmp_path / "outside").mkdir()
    (laptop.folder / "pkg").symlink_to(tmp_path / "outside")
    assert isinstance(laptop.restore(place), m.Fail)
    assert list((tmp_path / "outside").iterdir()) == []


def test_on_another_file_system_it_comes_back_as_a_copy(
    laptop: Repairing, monkeypatch: pytest.MonkeyPatch
) -> None:
    (laptop.folder / "run.sh").write_bytes(b"theirs")
    (laptop.folder / "run.sh").chmod(0o755)
    there = identity.from_stat((laptop.folder / "run.sh").lstat())
    laptop.put("run.sh", b"mine", seen(there))
    [(_, place)] = laptop.listed()
    rename = os.rename

    def elsewhere(source: Any, target: Any, **fds: int) -> None:
        if b"~" in bytes(source):
            raise OSError(errno.EXDEV, "another file system")
        rename(source, target, **fds)

    monkeypatch.setattr(os, "rename", elsewhere)
    restored = laptop.restore(place)
    assert laptop.read("run.sh") == b"theirs"
    assert restored.identity.executable
    assert restored.identity.mtime_ns == there.mtime_ns
    assert place not in [one for _, one in laptop.listed()]
    assert laptop.leftovers() == []


def test_what_is_too_large_for_the_trash_goes_when_the_person_said_so(
    laptop: Repairing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trash_module, "MOST_BYTES", 10)
    there = theirs(laptop, "a", b"theirs" * 10)
    assert laptop.put("a", b"mine", seen(there)).code == "large"
    assert isinstance(laptop.request(lambda id: m.Discard(id, ROOT, "a", there)), m.Done)
    assert isinstance(laptop.put("a", b"mine", seen(there)), m.Applied)
    there = theirs(laptop, "a", b"others" * 10)  # once is once
    assert laptop.put("a", b"mine", seen(there)).code == "large"


def test_what_the_person_said_is_of_what_they_saw(
    laptop: Repairing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trash_module, "MOST_BYTES", 10)
    there = theirs(laptop, "a", b"theirs" * 10)
    laptop.request(lambda id: m.Discard(id, ROOT, "a", there))
    newer = theirs(laptop, "a", b"others!" * 10)
    assert laptop.put("a", b"mine", seen(newer)).code == "large"
    assert laptop.read("a") == b"others!" * 10


def test_files_have_an_owner_and_what_is_not_there_has_none(laptop: Repairing) -> None:
    theirs(laptop, "pkg/a", b"x")
    answer = laptop.request(lambda id: m.Describe(id, ROOT, ["pkg/a", "pkg/b", "no/a"]))
    assert answer.owners == [pwd.getpwuid(os.getuid()).pw_name, "", ""]


def test_a_folder_that_was_not_opened_is_answered(laptop: Repairing) -> None:
    assert isinstance(laptop.request(lambda id: m.Trash(id, 77, "", 1)), m.Fail)
