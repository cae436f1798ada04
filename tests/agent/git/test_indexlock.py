"""The lock of git's index: held by one, and gone with whoever held it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.agent.failure import Failure
from sidecar.agent.git import indexlock
from sidecar.agent.git.indexlock import IndexLock
from sidecar.agent.roots.root import Root
from tests.agent.laptop import Laptop


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    laptop = Laptop(tmp_path / "code")
    (laptop.folder / ".git").mkdir()
    (laptop.folder / ".git/index").write_bytes(b"old")
    root = Root(7, os.fsencode(laptop.folder))
    root.open(1)
    yield root
    laptop.files.close()


def folder(root: Root) -> Path:
    return Path(os.fsdecode(root.path)) / ".git"


@pytest.mark.parametrize("links", [True, False])
def test_the_prepared_content_becomes_the_index(
    root: Root, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "no hard links")

    if not links:
        monkeypatch.setattr(os, "link", none)
    with IndexLock(root, os.fsencode(folder(root))) as lock:
        lock.prepare(b"new")
        lock.take()
        assert (folder(root) / "index.lock").read_bytes() == b"new"
        assert (folder(root) / "index").read_bytes() == b"old"
        lock.commit()
    assert sorted(os.listdir(folder(root))) == ["index"]
    assert (folder(root) / "index").read_bytes() == b"new"


def test_what_fails_in_between_leaves_the_old_index_and_no_lock(root: Root) -> None:
    lock = IndexLock(root, os.fsencode(folder(root)))
    lock.prepare(b"new")
    lock.take()
    lock.close()
    assert os.listdir(folder(root)) == ["index"]
    assert (folder(root) / "index").read_bytes() == b"old"


def test_a_lock_that_is_somebody_elses_is_neither_taken_nor_removed(root: Root) -> None:
    (folder(root) / "index.lock").write_bytes(b"theirs")
    lock = IndexLock(root, os.fsencode(folder(root)))
    lock.prepare(b"new")
    with pytest.raises(Failure) as caught:
        lock.take()
    lock.close()
    assert caught.value.code == "git-busy"
    indexlock.clear(root, os.fsencode(folder(root)))
    assert (folder(root) / "index.lock").read_bytes() == b"theirs"


def test_a_lock_whose_holder_lives_is_not_removed(root: Root) -> None:
    with IndexLock(root, os.fsencode(folder(root))) as lock:
        lock.prepare(b"new")
        lock.take()
        indexlock.clear(root, os.fsencode(folder(root)))
        assert (folder(root) / "index.lock").exists()
