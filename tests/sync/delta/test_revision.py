from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core import delta
from sidecar.core.delta import LEAF, Copy
from sidecar.sync.delta import revision
from sidecar.sync.delta.revision import Revision
from sidecar.sync.delta.signature import FileSignature
from sidecar.sync.disk import local_files
from sidecar.sync.disk.local_files import Changed, Source
from tests.sync.delta.test_matcher import Memory, signed

OLD = random.Random(1).randbytes(5 * LEAF + 5000)
NEW = random.Random(2).randbytes(LEAF)


class Open(Memory):
    """A content in memory as an open file; remembers how much was asked of it."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.asked: list[int] = []

    def read_at(self, offset: int, length: int) -> bytes:
        self.asked.append(length)
        return super().read_at(offset, length)

    def check_unchanged(self) -> None:
        pass


def read(content: bytes, known: FileSignature | None = None) -> Revision:
    made = revision.read(Open(content), known)
    assert made.digest == delta.content_digest(content)
    fresh = revision.read(Open(content)).signature
    signature = made.signature
    assert signature.leaves == fresh.leaves
    if signature.seed != fresh.seed:
        fresh = signed_like(signature, content)
    assert (signature.size, signature.block) == (fresh.size, fresh.block)
    assert signature.strong == fresh.strong
    assert signature.groups == fresh.groups
    assert signature.anchors == fresh.anchors
    assert FileSignature.from_bytes(signature.to_bytes()).leaves == signature.leaves
    return made


def signed_like(signature: FileSignature, content: bytes) -> FileSignature:
    from sidecar.sync.delta.signature import Signer

    signer = Signer(len(content), block=signature.block, seed=signature.seed)
    signer.update(content)
    return signer.finish()


BEFORE = read(OLD)


def applied(made: Revision, old: bytes, new: bytes) -> bytes:
    assert made.delta is not None
    assert made.delta.base == delta.content_digest(old)
    parts = [
        old[part.offset : part.offset + part.length]
        if isinstance(part, Copy)
        else new[part.offset : part.offset + part.length]
        for part in made.delta.operations
    ]
    return b"".join(parts)


EDITS = {
    "equal": OLD,
    "overwrite": OLD[: 2 * LEAF + 77] + NEW[:500] + OLD[2 * LEAF + 577 :],
    "overwrite at a leaf": OLD[: 4 * LEAF] + NEW + OLD[5 * LEAF :],
    "front": NEW[:100] + OLD,
    "append": OLD + NEW[:100],
    "append to a whole leaf": OLD + NEW,
    "cut": OLD[: 4 * LEAF + 9],
    "cut at a leaf": OLD[: 4 * LEAF],
    "front and back": NEW[:100] + OLD[100:-9],
    "swapped": OLD[3 * LEAF :] + OLD[: 3 * LEAF],
    "new": NEW,
    "shorter, and a whole number of leaves is the same": OLD[: 2 * LEAF] + OLD[3 * LEAF :],
    "longer": OLD * 3,
    "nothing": b"",
}


@pytest.mark.parametrize("edit", EDITS)
def test_what_is_taken_over_is_what_would_have_been_hashed(edit: str) -> None:
    new = EDITS[edit]
    made = read(new, BEFORE.signature)
    assert applied(made, OLD, new) == new
    again = read(OLD, made.signature)
    assert not new or applied(again, new, OLD) == OLD


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_the_same_holds_for_any_edits(data: st.DataObject) -> None:
    new, made = OLD, BEFORE
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(new)))
        gone = data.draw(st.sampled_from([0, 1, 3000, LEAF, 2 * LEAF]))
        more = data.draw(st.sampled_from([0, 1, 3000, LEAF]))
        old, new = new, new[:start] + NEW[:more] + new[start + gone :]
        made = read(new, made.signature)
        assert applied(made, old, new) == new


def test_an_overwrite_hashes_one_leaf() -> None:
    source = Open(EDITS["overwrite"])
    revision.read(source, BEFORE.signature)
    assert source.asked.count(LEAF) == 1


def test_a_signature_without_leaves_says_nothing_of_the_digest() -> None:
    known = signed(OLD)
    assert not known.leaves
    made = revision.read(Open(OLD), known)
    assert made.digest == BEFORE.digest
    assert made.delta is None


def test_a_file_that_changes_meanwhile_is_no_revision(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(OLD)

    class Meddled(Source):
        def read_at(self, offset: int, length: int) -> bytes:
            if offset == 3 * LEAF:
                path.write_bytes(OLD[:-1] + b"x")
            return super().read_at(offset, length)

    with local_files.open_source(tmp_path, "f") as source:
        source.__class__ = Meddled
        with pytest.raises(Changed):
            revision.read(source)
