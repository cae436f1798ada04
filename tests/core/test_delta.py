from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core import delta
from sidecar.core.delta import (
    ContentDigest,
    Copy,
    DeltaError,
    Literal,
    Operation,
    OperationDecoder,
    Zeros,
)
from tests.core.feeding import every_way, in_pieces

numbers = st.integers(0, delta.MAX_NUMBER)
operations = st.lists(
    st.one_of(
        st.builds(Copy, numbers, numbers),
        st.builds(Zeros, numbers),
        st.builds(Literal, st.binary(min_size=1, max_size=50)),
    ),
    max_size=6,
)
cuts = st.lists(st.integers(0, 10_000), max_size=8)


def encoded(some: list[Operation]) -> bytes:
    def one(operation: Operation) -> bytes:
        if isinstance(operation, Copy):
            return delta.encode_copy(*operation)
        if isinstance(operation, Zeros):
            return delta.encode_zeros(operation.length)
        return delta.encode_literal(operation.data)

    return b"".join(map(one, some))


def joined(some: list[Operation]) -> list[Operation]:
    """Literals that stand beside each other as one: a long one comes in pieces."""
    result: list[Operation] = []
    for operation in some:
        if isinstance(operation, Literal) and result and isinstance(result[-1], Literal):
            result[-1] = Literal(result[-1].data + operation.data)
        else:
            result.append(operation)
    return result


def test_operations_have_the_bytes_that_were_agreed() -> None:
    assert delta.encode_literal(b"ab").hex() == "00026162"
    assert delta.encode_copy(300, 5).hex() == "01ac0205"
    assert delta.encode_zeros(300).hex() == "02ac02"
    assert delta.encode_copy(delta.MAX_NUMBER, 0).hex() == "0180808080808080804000"


@given(operations, cuts)
def test_operations_come_out_as_they_went_in(some: list[Operation], where: list[int]) -> None:
    for received in every_way(OperationDecoder, encoded(some), where):
        assert joined(received) == joined(some)


@given(operations)
def test_a_stream_that_ends_inside_an_operation_is_refused(some: list[Operation]) -> None:
    wire = encoded([*some, Literal(b"12345")])
    for missing in range(1, 7):
        decoder = OperationDecoder()
        decoder.feed(wire[:-missing])
        with pytest.raises(DeltaError, match="in the middle"):
            decoder.finish()
    decoder = OperationDecoder()
    decoder.feed(wire)
    decoder.finish()


@given(st.binary(max_size=100), cuts)
def test_garbage_gives_operations_or_our_error(garbage: bytes, where: list[int]) -> None:
    decoder = OperationDecoder()
    try:
        for piece in in_pieces(garbage, where):
            for operation in decoder.feed(piece):
                if isinstance(operation, Copy):
                    assert 0 <= operation.offset <= delta.MAX_NUMBER
                    assert 0 <= operation.length <= delta.MAX_NUMBER
        decoder.finish()
    except DeltaError:
        pass


@pytest.mark.parametrize("wire", ["03", "01" + "ff" * 10, "00" + "80" * 11 + "00"])
def test_unknown_kinds_and_endless_numbers_are_refused(wire: str) -> None:
    for _ in (0, 1):
        with pytest.raises(DeltaError):
            list(every_way(OperationDecoder, bytes.fromhex(wire)))


def test_a_long_literal_is_passed_on_as_it_arrives() -> None:
    decoder = OperationDecoder()
    wire = delta.encode_literal(bytes(1 << 20))
    assert sum(len(one.data) for one in decoder.feed(wire[: 1 << 10])) > 1000  # type: ignore[union-attr]
    assert not decoder._buffer


def test_content_digests_are_what_was_agreed() -> None:
    assert delta.content_digest(b"") == hashlib.blake2b(digest_size=20).hexdigest()
    leaf = hashlib.blake2b(b"abc", digest_size=20).digest()
    assert delta.content_digest(b"abc") == hashlib.blake2b(leaf, digest_size=20).hexdigest()
    assert delta.content_digest(b"abc") == "3318b6e0717bd9cf71f526b62096bcb1cc601125"


@pytest.mark.parametrize("size", [delta.LEAF - 1, delta.LEAF, delta.LEAF + 1, 2 * delta.LEAF])
def test_a_digest_is_the_same_however_the_content_is_fed(size: int) -> None:
    content = bytes(range(251)) * (size // 251 + 1)
    content = content[:size]
    leaves = [content[at : at + delta.LEAF] for at in range(0, size, delta.LEAF)]
    tree = hashlib.blake2b(digest_size=20)
    for leaf in leaves:
        tree.update(hashlib.blake2b(leaf, digest_size=20).digest())
    digest = ContentDigest()
    for piece in in_pieces(content, [1, 4096, delta.LEAF - 1, delta.LEAF, 70_001]):
        digest.update(piece)
    assert digest.hexdigest() == delta.content_digest(content) == tree.hexdigest()
    assert digest.hexdigest() == digest.hexdigest()
