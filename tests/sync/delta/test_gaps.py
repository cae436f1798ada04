from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.sync.delta.gaps import Gap, Have, missing
from sidecar.sync.delta.matcher import LIMITS, Limits
from sidecar.sync.delta.signature import FileSignature
from tests.sync.delta.test_matcher import NARROW, Memory, pairs, signed, told_by_the_agent

SIZE = 1 << 20
OLD = random.Random(1).randbytes(SIZE)
NEW = random.Random(2).randbytes(9000)
BLOCK = 1024


def fetched(old: bytes, new: bytes, signature: FileSignature, limits: Limits = LIMITS) -> int:
    """How many bytes of the new content must be fetched; what is said to be here is compared."""
    at = gaps = 0
    before: Have | Gap | None = None
    for part in missing(signature, Memory(old), limits):
        assert part.offset == at
        assert part.length > 0
        if isinstance(part, Have):
            assert old[part.place : part.place + part.length] == new[at : at + part.length]
        else:
            assert not isinstance(before, Gap)
            gaps += part.length
        at, before = at + part.length, part
    assert at == len(new)
    return gaps


def with_anchors(new: bytes) -> FileSignature:
    return told_by_the_agent(new, BLOCK, anchors=True)


@given(pairs(), st.sampled_from([16, 17, 64, 200]), st.booleans())
@settings(max_examples=300)
def test_parts_are_the_new_content(pair: tuple[bytes, bytes], block: int, narrow: bool) -> None:
    old, new = pair
    limits = NARROW if narrow else LIMITS
    fetched(old, new, told_by_the_agent(new, block), limits)
    fetched(old, new, told_by_the_agent(new, block, anchors=True), limits)
    fetched(old, new, signed(new, block), limits)


def test_with_nothing_here_all_is_fetched() -> None:
    assert missing(with_anchors(NEW), None) == [Gap(0, len(NEW))]
    assert missing(with_anchors(NEW), Memory(b"")) == [Gap(0, len(NEW))]
    assert missing(with_anchors(b""), Memory(OLD)) == []


def test_equal_contents_need_nothing() -> None:
    assert missing(with_anchors(OLD), Memory(OLD)) == [Have(0, SIZE, 0)]


def test_what_was_appended_is_fetched() -> None:
    assert fetched(OLD, OLD + NEW, with_anchors(OLD + NEW)) <= len(NEW)
    log = OLD[:100_001]
    assert fetched(log, log + NEW, with_anchors(log + NEW)) <= len(NEW) + BLOCK


@pytest.mark.parametrize("place", [0, 1, 5000, 500_001, SIZE])
@pytest.mark.parametrize("size", [1, 100, 5000])
def test_an_insertion_costs_itself_and_two_blocks(place: int, size: int) -> None:
    new = OLD[:place] + NEW[:size] + OLD[place:]
    assert fetched(OLD, new, with_anchors(new)) <= size + 2 * BLOCK


def test_a_deletion_costs_two_blocks() -> None:
    new = OLD[:300_001] + OLD[333_333:]
    assert fetched(OLD, new, with_anchors(new)) <= 2 * BLOCK


def test_several_insertions_are_survived_with_anchors() -> None:
    new = b"x" + OLD[:300_000] + b"y" + OLD[300_000:700_000] + b"z" + OLD[700_000:] + b"w"
    assert fetched(OLD, new, with_anchors(new)) <= 8 * BLOCK


def test_a_block_that_comes_several_times_is_used_for_all() -> None:
    old = NEW[:BLOCK] + bytes(BLOCK)
    assert fetched(old, old * 20, with_anchors(old * 20)) == 0
