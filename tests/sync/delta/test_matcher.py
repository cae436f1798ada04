import hashlib
import random
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.delta import Copy
from sidecar.sync.delta import matcher
from sidecar.sync.delta.matcher import Limits, Span, spans
from sidecar.sync.delta.signature import ANCHOR, FileSignature, Signer, block_size, remote_signature


class Memory:
    """A content in memory, which remembers how much was asked of it at once."""

    def __init__(self, content: bytes) -> None:
        self.content, self.size, self.most = content, len(content), 0

    def read_at(self, offset: int, length: int) -> bytes:
        assert 0 <= offset <= self.size
        assert length >= 0
        self.most = max(self.most, length)
        return self.content[offset : offset + length]


def signed(content: bytes, block: int = 0) -> FileSignature:
    signer = Signer(len(content), block=block)
    signer.update(content)
    return signer.finish()


def told_by_the_agent(content: bytes, block: int, *, anchors: bool = False) -> FileSignature:
    told = b""
    for at in range(0, len(content), block):
        data = content[at : at + block]
        told += hashlib.blake2b(data, digest_size=16).digest()
        told += data[:ANCHOR] if anchors and len(data) == block else b""
    return remote_signature(len(content), block, told, anchors=anchors)


def literal(parts: list[Copy | Span]) -> int:
    return sum(part.length for part in parts if isinstance(part, Span))


def check(
    old: bytes, new: bytes, signature: FileSignature, limits: Limits = matcher.LIMITS
) -> list[Copy | Span]:
    parts = list(spans(signature, Memory(new), limits))
    at = 0
    for part in parts:
        assert part.length > 0
        if isinstance(part, Copy):
            assert part.offset + part.length <= len(old)
            end = part.offset + part.length
            assert old[part.offset : end] == new[at : at + part.length]
        else:
            assert part.offset == at
        at += part.length
    assert at == len(new)
    return parts


# --- every pair -------------------------------------------------------------------------------

CONTENT = st.one_of(
    st.binary(max_size=600),
    st.builds(
        lambda size, seed: random.Random(seed).randbytes(size), st.integers(0, 6000), st.integers()
    ),
    st.builds(
        lambda part, times: part * times, st.binary(min_size=1, max_size=40), st.integers(0, 90)
    ),
)


@st.composite
def edited(draw: st.DrawFn, content: bytes) -> bytes:
    for _ in range(draw(st.integers(0, 5))):
        size = len(content)
        start, end = sorted((draw(st.integers(0, size)), draw(st.integers(0, size))))
        part = content[start:end]
        other = draw(st.binary(max_size=60))
        match draw(st.sampled_from(["insert", "delete", "overwrite", "move", "repeat", "swap"])):
            case "insert":
                content = content[:start] + other + content[start:]
            case "delete":
                content = content[:start] + content[end:]
            case "overwrite":
                content = content[:start] + other + content[start + len(other) :]
            case "move":
                rest = content[:start] + content[end:]
                place = draw(st.integers(0, len(rest)))
                content = rest[:place] + part + rest[place:]
            case "repeat":
                content = content[:end] + part + content[end:]
            case "swap":
                content = content[end:] + part + content[:start]
    return content[:20_000]


@st.composite
def pairs(draw: st.DrawFn) -> tuple[bytes, bytes]:
    old = draw(CONTENT)
    return old, draw(st.one_of(edited(old), CONTENT))


@given(pairs(), st.sampled_from([16, 17, 20, 64, 200]))
@settings(max_examples=500)
def test_operations_make_the_new_content_from_the_old_one(
    pair: tuple[bytes, bytes], block: int
) -> None:
    old, new = pair
    check(old, new, signed(old, block))
    check(old, new, FileSignature.from_bytes(signed(old, block).to_bytes()))
    check(old, new, told_by_the_agent(old, block))
    check(old, new, told_by_the_agent(old, block, anchors=True))
    check(old, new, told_by_the_agent(old, block - 15))


NARROW = Limits(
    step=64, window=100, short=100, searched=900, close=100, all_close=150, inserted=100
)


@given(pairs(), st.sampled_from([16, 17, 20, 64]), st.booleans())
@settings(max_examples=800)
def test_the_same_holds_at_every_bound(pair: tuple[bytes, bytes], block: int, numpy: bool) -> None:
    old, new = pair
    limits = NARROW._replace(numpy=numpy)
    check(old, new, signed(old, block), limits)
    check(old, new, told_by_the_agent(old, block), limits)


# --- how much is sent -------------------------------------------------------------------------

SIZE = 3 << 20
OLD = random.Random(1).randbytes(SIZE)
BLOCK = block_size(SIZE)
SIGNATURE = signed(OLD)
NEW = random.Random(2).randbytes(1 << 20)


def test_without_a_signature_all_is_literal() -> None:
    assert list(spans(None, Memory(NEW))) == [Span(0, len(NEW))]
    assert list(spans(signed(b""), Memory(NEW))) == [Span(0, len(NEW))]


def test_equal_contents_are_one_copy() -> None:
    assert list(spans(SIGNATURE, Memory(OLD))) == [Copy(0, SIZE)]


def test_an_empty_new_content_is_nothing() -> None:
    assert list(spans(SIGNATURE, Memory(b""))) == []


def test_an_overwrite_costs_the_blocks_it_touches() -> None:
    new = OLD[:1_000_000] + NEW[:1024] + OLD[1_001_024:]
    assert literal(check(OLD, new, SIGNATURE)) <= 1024 + 2 * BLOCK
    assert literal(check(OLD, new, told_by_the_agent(OLD, BLOCK))) <= 1024 + 2 * BLOCK


def test_an_insertion_at_the_front_costs_itself() -> None:
    new = NEW[:100] + OLD
    assert list(spans(SIGNATURE, Memory(new))) == [Span(0, 100), Copy(0, SIZE)]
    assert literal(check(OLD, new, told_by_the_agent(OLD, BLOCK))) == 100


def test_an_append_costs_itself() -> None:
    for new in (OLD + NEW, OLD[:-5] + NEW[:5] + NEW):
        assert literal(check(OLD, new, SIGNATURE)) <= len(NEW) + BLOCK


def test_a_truncation_costs_the_last_block() -> None:
    assert literal(check(OLD, OLD[:1_234_567], SIGNATURE)) < BLOCK


@pytest.mark.parametrize("size", [1, 100, 5000, 400_000])
def test_an_insertion_in_the_middle_costs_itself_and_a_block(size: int) -> None:
    new = OLD[:1_000_001] + NEW[:size] + OLD[1_000_001:]
    assert literal(check(OLD, new, SIGNATURE)) <= size + BLOCK


@pytest.mark.parametrize("size", [1, 100, 5000, 400_000])
def test_a_deletion_in_the_middle_costs_two_blocks(size: int) -> None:
    new = OLD[:1_000_001] + OLD[1_000_001 + size :]
    assert literal(check(OLD, new, SIGNATURE)) <= 2 * BLOCK


def test_scattered_insertions_and_deletions_cost_a_block_or_two_each() -> None:
    rng = random.Random(3)
    parts, at = [], 0
    for place in sorted(rng.sample(range(SIZE), 100)):
        parts += [OLD[at:place], NEW[: rng.choice([0, 1, 50, 3000])]]
        at = max(place, min(SIZE, place + rng.choice([0, 1, 50, 9000])))
    new = b"".join([*parts, OLD[at:]])
    assert literal(check(OLD, new, SIGNATURE)) <= 100 * (3000 + 3 * BLOCK)


def test_blocks_that_moved_are_found() -> None:
    pytest.importorskip("numpy")
    new = OLD[:100_001] + OLD[2_000_000:2_500_000] + OLD[100_001:2_000_000] + OLD[2_500_000:]
    assert literal(check(OLD, new, SIGNATURE)) <= 6 * BLOCK


def test_what_follows_a_large_new_part_is_found() -> None:
    new = b"x" + OLD[:1_000_000] + NEW + OLD[1_000_000 : SIZE - 9000] + b"y" + OLD[SIZE - 9000 :]
    assert literal(check(OLD, new, SIGNATURE)) <= len(NEW) + 6 * BLOCK
    operations = check(OLD, new, SIGNATURE, Limits(numpy=False))
    assert literal(operations) <= len(NEW) + 6 * BLOCK


def test_content_that_repeats_itself_ends_in_time() -> None:
    old = b"\0" * SIZE
    new = b"\0" * 1_000_000 + NEW[:10] + b"\0" * 1_500_000 + NEW[:10] + b"\0" * 999
    assert literal(check(old, new, signed(old))) <= 6 * BLOCK
    old = (b"0123456789abcdefXYZ" * (SIZE // 19))[:SIZE]
    check(old, NEW[:5] + old[7:], signed(old))
    check(old, b"".join(b"0123456789abcdefXY" for _ in range(SIZE // 19)), signed(old))


def test_the_new_content_is_read_in_windows() -> None:
    source = Memory(NEW * 20)
    for _ in spans(SIGNATURE, source):
        pass
    assert source.most <= matcher.LIMITS.window


def test_numpy_is_not_imported_for_an_edit() -> None:
    code = (
        "import os, sys\n"
        "from tests.sync.delta.test_matcher import *\n"
        "sys.modules.pop('numpy', None)\n"
        "check(OLD, NEW[:9] + OLD[:500000] + b'x' + OLD[500100:], SIGNATURE)\n"
        "assert 'numpy' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=50)


def test_what_the_source_raises_comes_through() -> None:
    class FileThatShrank(Memory):
        def read_at(self, offset: int, length: int) -> bytes:
            if offset > 1_000_000:
                raise ConnectionError("gone")
            return super().read_at(offset, length)

    with pytest.raises(ConnectionError):
        list(spans(SIGNATURE, FileThatShrank(OLD)))
