import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from sidecar.sync.delta.signature import FileSignature, Signer, block_size, remote_signature


def signed(content: bytes, block: int = 0) -> FileSignature:
    signer = Signer(len(content), block=block)
    signer.update(content)
    return signer.finish()


@pytest.mark.parametrize(
    ("size", "block"),
    [(0, 1024), (1 << 20, 1024), (3 << 20, 2048), (256 << 20, 16384), (1 << 40, 65536)],
)
def test_blocks_grow_with_the_root_of_the_size(size: int, block: int) -> None:
    assert block_size(size) == block


@given(st.binary(max_size=1000), st.integers(16, 60), st.lists(st.integers(0, 300)))
def test_it_does_not_matter_in_which_pieces_a_content_is_signed(
    content: bytes, block: int, cuts: list[int]
) -> None:
    whole = signed(content, block)
    signer = Signer(len(content), block=block)
    signer._seed, signer._checksum = whole.seed, whole.checksum
    signer._group = xxhash.xxh3_128(seed=whole.seed)
    at = 0
    for cut in sorted({min(cut, len(content)) for cut in cuts} | {len(content)}):
        signer.update(content[at:cut])
        at = cut
    assert signer.finish().to_bytes() == whole.to_bytes()


@given(st.binary(max_size=3000), st.integers(16, 60))
def test_a_signature_survives_being_kept(content: bytes, block: int) -> None:
    one = signed(content, block)
    other = FileSignature.from_bytes(one.to_bytes())
    assert vars(other) | {"checksum": None} == vars(one) | {"checksum": None}
    assert other.checksum(b"x") == one.checksum(b"x")


@given(st.binary(max_size=200), st.integers(0, 10_000), st.integers(1, 255))
def test_a_damaged_signature_is_an_error_and_nothing_else(
    content: bytes, place: int, change: int
) -> None:
    data = bytearray(signed(content, 17).to_bytes())
    data[place % len(data)] ^= change
    with pytest.raises(ValueError):
        FileSignature.from_bytes(bytes(data))
    with pytest.raises(ValueError):
        FileSignature.from_bytes(bytes(data[: place % len(data)]))


def test_two_signatures_of_one_content_have_different_seeds() -> None:
    assert signed(b"x" * 5000).strong != signed(b"x" * 5000).strong


def test_what_was_announced_has_to_be_fed() -> None:
    with pytest.raises(ValueError):
        Signer(10).finish()


def test_a_block_must_hold_an_anchor() -> None:
    with pytest.raises(ValueError):
        Signer(100, block=15)


def test_the_remotes_signature_must_fit_the_files_size() -> None:
    with pytest.raises(ValueError):
        remote_signature(100, 10, b"x" * 16 * 11)
