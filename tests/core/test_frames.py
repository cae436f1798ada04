from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core import frames
from sidecar.core.frames import Frame, FrameDecoder, FrameError
from tests.core.feeding import every_way, in_pieces

some_frames = st.builds(
    Frame, st.sampled_from(frames.LANES), st.binary(max_size=60), st.binary(max_size=200)
)
cuts = st.lists(st.integers(0, 10_000), max_size=8)

GOLDEN = [
    (Frame(0, b"", b""), "000000050000000000"),
    (Frame(0, b'["Ping",1]', b""), "0000000f000000000a5b2250696e67222c315d"),
    (Frame(3, b"{}", b"\x00\xff"), "0000000903000000027b7d00ff"),
]
"""Bytes that every version of ours must write and read."""


@pytest.mark.parametrize(("frame", "wire"), GOLDEN)
def test_frames_have_the_bytes_that_were_agreed(frame: Frame, wire: str) -> None:
    assert frames.encode(frame).hex() == wire
    assert FrameDecoder().feed(bytes.fromhex(wire)) == [frame]


@given(st.lists(some_frames, max_size=6), cuts)
def test_frames_come_out_as_they_went_in_however_they_are_cut(
    sent: list[Frame], where: list[int]
) -> None:
    wire = b"".join(map(frames.encode, sent))
    for received in every_way(FrameDecoder, wire, where):
        assert received == sent


@given(some_frames, st.binary(min_size=1, max_size=8))
def test_bytes_behind_a_frame_wait_for_the_rest_of_theirs(frame: Frame, behind: bytes) -> None:
    behind = b"\0" + behind[:7]
    decoder = FrameDecoder()
    assert decoder.feed(frames.encode(frame) + behind) == [frame]
    assert decoder.pending == len(behind)


@given(some_frames)
def test_a_frame_knows_its_size_on_the_wire(frame: Frame) -> None:
    assert frame.size == len(frames.encode(frame))


@given(st.binary(max_size=400), cuts)
def test_garbage_gives_frames_or_our_error_and_never_holds_more_than_a_frame(
    garbage: bytes, where: list[int]
) -> None:
    decoder = FrameDecoder()
    try:
        for piece in in_pieces(garbage, where):
            for frame in decoder.feed(piece):
                assert frame.lane in frames.LANES
            assert decoder.pending <= frames.MAX_FRAME + frames.PREFIX_SIZE
    except FrameError:
        with pytest.raises(FrameError):
            decoder.feed(b"")


@pytest.mark.parametrize(
    ("wire", "words"),
    [
        ("7fffffff0000000000", "claims 2147483647 bytes"),
        ("000000090000000005", "longer than the frame"),
        ("000000050400000000", "names lane 4"),
        ("000000000000000000", "longer than the frame"),
    ],
)
def test_a_wrong_prefix_is_refused_before_the_rest_is_waited_for(wire: str, words: str) -> None:
    decoder = FrameDecoder()
    with pytest.raises(FrameError, match=words):
        decoder.feed(bytes.fromhex(wire))
    with pytest.raises(FrameError, match=words):
        decoder.feed(frames.encode(Frame(0, b"", b"")))


def test_a_frame_over_the_limit_is_not_written() -> None:
    most = frames.MAX_FRAME - (frames.PREFIX_SIZE - 4)
    frames.encode(Frame(0, b"", bytes(most)))
    with pytest.raises(FrameError, match="over the limit"):
        frames.encode(Frame(0, b"", bytes(most + 1)))


def test_whole_frames_before_a_wrong_one_are_lost_with_it() -> None:
    """The link ends there: what was right in the same chunk is asked for again on the next."""
    with pytest.raises(FrameError):
        FrameDecoder().feed(frames.encode(Frame(0, b"", b"")) + b"\xff" * frames.PREFIX_SIZE)
