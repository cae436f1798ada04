"""Base is what both sides agreed on: kept over restarts, cut where a crash tore it, and set aside
where it cannot be trusted."""

from __future__ import annotations

import errno
import io
import json
import os
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core import tree
from sidecar.core.identity import Identity
from sidecar.core.identity import digest as identity_digest
from sidecar.core.tree import FOLDER, Node
from sidecar.sync.trees import agreed
from sidecar.sync.trees import base as base_module
from sidecar.sync.trees.base import Agreed, Base

HERE = Identity("f", 0o644, 3, 1_000, 2_000, 7)
THERE = Identity("f", 0o640, 3, 1_000, 3_000, 8)
AGREED = Agreed(Node("f", False, "aa"), HERE, THERE)


def reopened(base: Base, path: Path) -> Base:
    base.close()
    return Base(path)


def test_a_closed_base_opens_nothing_again(tmp_path: Path) -> None:
    base = Base(tmp_path / "journal")
    base.close()
    with pytest.raises(ValueError, match="closed"):
        base.reset("marker", "folder")
    with pytest.raises(ValueError, match="closed"):
        base.agree("a", AGREED)


def test_what_was_agreed_is_there_after_a_restart(tmp_path: Path) -> None:
    base = Base(tmp_path / "journal")
    base.reset("marker", "~/project")
    base.agree("a.py", AGREED)
    base.agree("weird\udcff name\n", AGREED._replace(local=None))
    base.agree("gone.py", AGREED)
    base.drop("gone.py")
    again = reopened(base, tmp_path / "journal")
    assert dict(again.entries) == {
        "a.py": AGREED,
        "weird\udcff name\n": AGREED._replace(local=None),
    }
    assert (again.marker, again.folder) == ("marker", "~/project")
    assert not again.problem
    again.close()


def test_an_intent_lasts_until_the_path_is_agreed_on(tmp_path: Path) -> None:
    base = Base(tmp_path / "journal")
    base.intend("a.py", "one")
    base.intend("a.py", "two")
    base = reopened(base, tmp_path / "journal")
    assert base.intended("a.py") == {"one", "two"}
    base.agree("a.py", AGREED)
    assert base.intended("a.py") == frozenset()
    base.close()


def test_a_record_is_on_its_way_to_the_disk_when_the_call_returns(tmp_path: Path) -> None:
    base = Base(tmp_path / "journal")
    base.intend("a.py", "one")
    assert b'"intend","a.py","one"' in (tmp_path / "journal").read_bytes()
    base.close()


@given(cut=st.integers(min_value=1, max_value=200))
def test_a_torn_last_record_is_cut_off_and_all_before_it_kept(
    cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("torn") / "journal"
    base = Base(path)
    base.reset("m", "")
    base.agree("first", AGREED)
    size = path.stat().st_size
    base.agree("second", AGREED)
    base.close()
    data = path.read_bytes()
    path.write_bytes(data[: max(size, len(data) - cut)])
    again = Base(path)
    assert again.entries["first"] == AGREED
    assert not again.problem
    again.agree("third", AGREED)
    again = reopened(again, path)
    assert {"first", "third"} <= set(again.entries)
    again.close()


def line(record: object) -> bytes:
    text = json.dumps(record, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "header"),
        (b"garbage\n", "damaged"),
        (line(["base", 3, "m"]), "version 3"),
        (line(["something"]), "header"),
        (line(["base", 1, "m", "f"]) + b"00000000 []\n" + line(["drop", "a"]), "damaged"),
        (line(["base", 1, "m", "f"]) + line(["dance"]), "unknown"),
        (line(["base", 1, "m", "f"]) + line(["agree", "a", [], [], []]), "malformed"),
    ],
)
def test_what_cannot_be_read_is_set_aside_and_the_base_is_empty(
    tmp_path: Path, data: bytes, word: str
) -> None:
    path = tmp_path / "journal"
    path.write_bytes(data)
    base = Base(path)
    assert word in base.problem
    assert not base.entries
    assert base.marker == ""
    assert (tmp_path / "journal.set-aside").read_bytes() == data
    base.close()


def test_history_is_dropped_when_it_outweighs_the_entries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base_module, "COMPACT_ABOVE", 50)
    base = Base(tmp_path / "journal")
    base.reset("m", "")
    base.intend("kept", "digest")
    for _ in range(500):
        base.agree("a.py", AGREED)
        if base._anew is not None:
            base._anew._thread.join()
    assert (tmp_path / "journal").read_bytes().count(b"\n") < 100
    base = reopened(base, tmp_path / "journal")
    assert base.entries["a.py"] == AGREED
    assert base.intended("kept") == {"digest"}
    base.close()


def full(path: Path) -> Base:
    """A base whose entries are all in the snapshot."""
    base = Base(path)
    base.reset("m", "~/project")
    base.agree_many((f"pkg{n % 3}/{n}\udcff", AGREED) for n in range(30))
    base.agree_many([("top", AGREED), ("pkg1", AGREED._replace(node=FOLDER, local=None))])
    fresh = base._written_anew()
    base._file.close()
    base._file = fresh
    return base


def test_a_snapshot_holds_what_base_did(tmp_path: Path) -> None:
    base = full(tmp_path / "journal")
    before, digest = dict(base.entries), base.remote_digest()
    assert len(before) == len(base.entries) == 32
    again = reopened(base, tmp_path / "journal")
    assert dict(again.entries) == before
    assert again._total is not None
    assert again.remote_digest() == digest == identity_digest(again.remote_entries())
    again.drop("top")
    again = reopened(again, tmp_path / "journal")
    assert again.entries.keys() == before.keys() - {"top"}
    again.close()


@given(
    at=st.integers(0, 5000),
    how=st.none() | st.integers(1, 255),
)
def test_a_snapshot_that_is_damaged_or_cut_off_is_never_half_believed(
    at: int, how: int | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("base") / "journal"
    base = full(path)
    before = dict(base.entries)
    base.close()
    data = bytearray(path.read_bytes())
    at %= len(data)
    if how is None:
        del data[at:]
    else:
        data[at] ^= how
    path.write_bytes(data)
    base = Base(path)
    assert dict(base.entries) == ({} if base.problem else before)
    assert base.remote_digest() == identity_digest(base.remote_entries())
    base.close()


def test_a_file_of_version_1_is_read(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_bytes(
        line(["base", 1, "m", "f"])
        + line(["intend", "b", "11"])
        + line(["agree", "a/b", *AGREED])
        + line(["agree", "c", *AGREED])
        + line(["drop", "c"])
    )
    for _ in range(2):  # as it was, and as it was written since
        base = Base(path)
        assert not base.problem
        assert (base.marker, base.folder) == ("m", "f")
        assert dict(base.entries) == {"a/b": AGREED}
        assert base.unanswered() == ["b"]
        assert base.remote_digest() == identity_digest([("a/b", THERE)])
        base.close()
    assert path.read_bytes().split()[1].startswith(b'["base",2')


@pytest.mark.parametrize("local", [HERE, None])
@pytest.mark.parametrize(
    "node",
    [
        Node("f", True, "ab" * 20),
        Node("f", False, ""),
        Node("l", False, "odd"),
        Node("f", False, "AB"),
        Node("d", False, ""),
        Node("o", False, ""),
    ],
)
def test_any_entry_can_be_held(node: Node, local: Identity | None) -> None:
    entry = Agreed(node, local, THERE)
    assert agreed.unpack(agreed.pack(entry)) == entry
    assert agreed.node_of(agreed.pack(entry)) == node


@pytest.mark.parametrize("packed", [b"", b"\0", b"\0" * 20, b"\0" * 71, b"x" * 100])
def test_what_is_no_entry_is_not_taken_for_one(packed: bytes) -> None:
    with pytest.raises(ValueError):
        agreed.unpack(packed)


def test_the_tree_and_the_old_one_are_alike(tmp_path: Path) -> None:
    base = full(tmp_path / "journal")
    tree = base.entries
    assert "pkg1" in tree
    assert "pkg1/x" not in tree
    assert 1 not in tree
    assert tree.get("pkg9/x") is None
    with pytest.raises(KeyError):
        tree["pkg9/x"]
    nodes = base.nodes()
    assert nodes["pkg1"] is FOLDER
    assert (len(nodes), set(nodes)) == (32, set(tree))
    assert nodes.get("nowhere") is None
    base.reset("other", "")
    assert (len(tree), list(tree)) == (0, [])
    base.close()


def test_the_journal_is_for_its_owner_only(tmp_path: Path) -> None:
    Base(tmp_path / "journal").close()
    assert (tmp_path / "journal").stat().st_mode & 0o777 == 0o600


paths = st.sampled_from(["a", "b", "c/d"])
operations = st.lists(
    st.one_of(
        st.tuples(st.just("agree"), paths),
        st.tuples(st.just("drop"), paths),
        st.tuples(st.just("intend"), paths),
        st.tuples(st.just("reopen"), paths),
        st.tuples(st.just("anew"), paths),
    ),
    max_size=30,
)


@given(operations, st.sampled_from([0, 3, 1000]))
def test_restarts_and_new_files_change_nothing_whatever_came_before(
    tmp_path_factory: pytest.TempPathFactory, script: list[tuple[str, str]], above: int
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(base_module, "COMPACT_ABOVE", above)
        follow(tmp_path_factory.mktemp("base") / "journal", script)


def follow(path: Path, script: list[tuple[str, str]]) -> None:
    base, entries, intents = Base(path), {}, {}
    for number, (what, name) in enumerate(script):
        if what == "agree":
            entries[name] = AGREED._replace(node=Node("f", False, str(number)))
            intents.pop(name, None)
            base.agree(name, entries[name])
        elif what == "drop":
            entries.pop(name, None)
            intents.pop(name, None)
            base.drop(name)
        elif what == "intend":
            intents.setdefault(name, set()).add(str(number))
            base.intend(name, str(number))
        elif what == "anew":  # so that the next record goes into the new file
            if base._anew is not None:
                base._anew._thread.join()
        else:
            base = reopened(base, path)
        assert dict(base.entries) == entries
        assert {p: base.intended(p) for p in intents} == intents
    base.close()
    assert os.listdir(path.parent) == [path.name]


def test_a_group_is_written_at_once_and_read_like_single_records(tmp_path: Path) -> None:
    base = Base(tmp_path / "journal")
    base.intend_many([("a", "11"), ("b", "22")])
    base.agree_many([("a", AGREED), ("c", AGREED), ("d", AGREED)])
    base.drop_many(["c", "unknown"])
    base.agree_many([])
    base = reopened(base, tmp_path / "journal")
    assert dict(base.entries) == {"a": AGREED, "d": AGREED}
    assert base.unanswered() == ["b"]
    base.close()


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "d/c", "d/e"]),
            st.none() | st.integers(min_value=0, max_value=3),
        )
    ),
    asked=st.integers(min_value=0, max_value=5),
)
def test_the_digest_follows_every_change(
    steps: list[tuple[str, int | None]], asked: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    base = Base(tmp_path_factory.mktemp("digest") / "journal")
    for number, (path, inode) in enumerate(steps):
        if number == asked:  # from here on they are kept
            base.remote_digest()
            base.content.hexdigest({})
        if inode is None:
            base.drop(path)
        else:
            node = tree.file(f"{inode:02x}")
            base.agree(path, AGREED._replace(node=node, remote=THERE._replace(inode=inode)))
            base.leave(path, inode == 3)
    managed = {path: node for path, node in base.nodes().items() if not base.is_theirs(path)}
    assert base.remote_digest() == identity_digest(base.remote_entries())
    assert base.content.hexdigest({}) == tree.digest(managed)
    coming = {"a": tree.file("aa"), "d/e": tree.file("ff"), "b": None}
    coming = {path: node for path, node in coming.items() if not base.is_theirs(path)}
    then = {path: node for path, node in {**managed, **coming}.items() if node is not None}
    assert base.content.hexdigest(coming) == tree.digest(then)
    base.reset("other", "folder")
    assert base.remote_digest() == identity_digest([])
    assert base.content.hexdigest({}) == tree.digest({})
    base.close()


class DiskThatIsFull(io.FileIO):
    """Takes a few more bytes, then none."""

    room = 10

    def write(self, data: Any) -> int:
        if self.room <= 0:
            raise OSError(errno.ENOSPC, "no space left")
        written = super().write(bytes(data)[: self.room])
        self.room -= written
        return written


def test_what_a_full_disk_took_of_a_record_is_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    base = Base(path)
    base.agree("a", AGREED)
    base._file.close()
    base._file = DiskThatIsFull(path, "ab")
    with pytest.raises(OSError, match="no space left"):
        base.agree("b", AGREED)
    base._file.room = 1000
    base.agree("c", AGREED)
    base = reopened(base, path)
    assert not base.problem
    assert set(base.entries) == {"a", "c"}
    base.close()


def test_an_entry_takes_little_memory(tmp_path: Path) -> None:
    """214 bytes, measured; 200,000 of them must leave room for the rest of the hub."""
    base = Base(tmp_path / "journal")
    base.reset("m", "")
    numbers = range(4000)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        base.agree_many(
            (
                f"package_{n // 40}/module_number{n % 40}.py",
                Agreed(
                    Node("f", False, f"{n:040x}"),
                    HERE._replace(size=1000 + n, mtime_ns=10**18 + n),
                    THERE._replace(inode=10**6 + n),
                ),
            )
            for n in numbers
        )
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    base.close()
    assert taken / len(numbers) < 260


def test_what_is_the_remotes_is_no_part_of_the_managed_set(tmp_path: Path) -> None:
    base = Base(tmp_path / "journal")
    base.agree("a.py", AGREED)
    base.agree("runs/log", AGREED)
    ours = [("a.py", THERE)]
    assert base.remote_digest() == identity_digest([*ours, ("runs/log", THERE)])
    base.leave("runs/log", True)
    base.agree("runs/log", AGREED._replace(local=None))  # it stays theirs when it changes
    for _ in range(2):
        assert base.theirs == {"runs/log"}
        assert list(base.remote_entries()) == ours
        assert base.remote_digest() == identity_digest(ours)
        base = reopened(base, tmp_path / "journal")
    base.leave("runs/log", False)
    assert base.remote_digest() == identity_digest([*ours, ("runs/log", THERE)])
    base.leave("runs/log", True)
    base.drop("runs/log")
    base = reopened(base, tmp_path / "journal")
    assert base.theirs == set()
    assert base.remote_digest() == identity_digest(ours)
    base.close()
