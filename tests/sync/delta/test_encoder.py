from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.agent.changes.assembly import Assembly
from sidecar.core import delta
from sidecar.core.delta import LEAF, Copy
from sidecar.sync.delta import compression
from sidecar.sync.delta.encoder import PIECE, Encoder, behind
from sidecar.sync.delta.matcher import Span, spans
from tests.sync.delta.test_matcher import Memory, pairs, signed


def stream(new: bytes, parts: Sequence[Copy | Span], level: int, start: int, enough: int) -> bytes:
    made = Encoder(Memory(new), parts, level, start)  # type: ignore[arg-type]
    whole = b""
    while data := made.take(enough):
        whole += data
    assert made.done == len(new)
    return whole


def assembled(old: bytes | None, new: bytes, sent: bytes, codec: str, start: int) -> bytes:
    """What the agent makes of it."""
    with tempfile.TemporaryFile() as target, tempfile.TemporaryFile() as before:
        before.write(old or b"")
        before.flush()
        target.write(new[:start])
        target.flush()
        leaves = b"".join(delta.leaf_digest(new[at : at + LEAF]) for at in range(0, start, LEAF))
        source = -1 if old is None else before.fileno()
        made = Assembly(target.fileno(), source, len(old or b""), len(new), codec, start, leaves)
        for at in range(0, len(sent), 700):
            made.feed(sent[at : at + 700])
        made.finish(delta.content_digest(new))
        return os.pread(target.fileno(), len(new) + 1, 0)


@settings(max_examples=200)
@given(pairs(), st.sampled_from([16, 64, 200]), st.sampled_from([0, 1, 6]), st.data())
def test_what_the_agent_makes_of_a_stream_is_the_new_content(
    pair: tuple[bytes, bytes], block: int, level: int, data: st.DataObject
) -> None:
    old, new = pair
    parts = list(spans(signed(old, block), Memory(new)))
    start = data.draw(st.integers(0, len(new)))
    sent = stream(new, parts, level, start, data.draw(st.sampled_from([0, 100, 10**6])))
    assert assembled(old, new, sent, "zlib" if level else "", start) == new


HOLED = random.Random(1).randbytes(PIECE + 5) + bytes(24 * PIECE) + b"x" + bytes(LEAF) + b"y"


@pytest.mark.parametrize("start", [0, LEAF, 2 * LEAF])
@pytest.mark.parametrize("content", [HOLED, HOLED[:-1], bytes(3 * LEAF), bytes(2 * LEAF + 1)])
@pytest.mark.parametrize("level", [0, 1])
def test_holes_take_no_room_on_the_wire(content: bytes, start: int, level: int) -> None:
    sent = stream(content, [Span(0, len(content))], level, start, 10**6)
    assert len(sent) < 4 * PIECE + 1000
    assert assembled(None, content, sent, "zlib" if level else "", start) == content


@given(
    st.lists(st.builds(Span, st.integers(0, 50), st.integers(1, 50)), max_size=8),
    st.integers(0, 500),
)
def test_what_is_behind_a_place_is_what_comes_after_it(parts: list[Span], start: int) -> None:
    def places(some: Sequence[Copy | Span]) -> list[int]:
        return [part.offset + number for part in some for number in range(part.length)]

    assert places(list(behind(parts, start))) == places(parts)[start:]


# --- compression -----------------------------------------------------------------------------

TEXT = b"".join(
    b"def function_%d(argument): return argument + %d\n" % (n, n * n) for n in range(400)
)
NOISE = random.Random(1).randbytes(16384)


@pytest.mark.parametrize(
    ("content", "rate", "level"),
    [
        (TEXT, 0, 1),
        (TEXT, 1e6, 6),
        (TEXT, 1e9, 0),
        (NOISE, 0, 0),
        (NOISE, 1e5, 0),
        (b"", 1e6, 0),
    ],
)
def test_the_level_is_the_one_with_which_it_arrives_soonest(
    content: bytes, rate: float, level: int
) -> None:
    assert compression.level([content] if content else [], rate) == level


def test_the_sample_is_from_all_over_what_is_new() -> None:
    content = b"".join(bytes([number]) * 1000 for number in range(200))
    some = compression.sample([Span(0, len(content))], Memory(content))  # type: ignore[arg-type]
    assert [piece[0] for piece in some] == [0, 61, 122, 183]
    parts: list[Copy | Span] = [Copy(0, 5), Span(5000, 3), Copy(9, 1), Span(7000, 10)]
    some = compression.sample(parts, Memory(content))  # type: ignore[arg-type]
    assert some == [content[5000:5003], content[7000:7010], content[7000:7010]][:2]
    assert compression.sample([Copy(0, 5)], Memory(content)) == []  # type: ignore[arg-type]
