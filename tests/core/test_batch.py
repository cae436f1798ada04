from __future__ import annotations

import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core import batch
from sidecar.core.batch import BatchError, File, Patch
from sidecar.core.identity import Identity
from sidecar.core.messages import Expect, MakeDirectory, MakeLink, Remove, SetMode

number = st.integers(-(1 << 63), (1 << 63) - 1)
text = st.text(st.characters(exclude_categories=[]), max_size=20)
identity = st.builds(
    Identity, st.sampled_from("fdlo"), *[number] * 4, st.integers(0, (1 << 64) - 1)
)
expect = st.builds(Expect, st.integers(0, 1 << 40), st.none() | identity, text)
change = st.one_of(
    st.builds(File, st.just(0), st.just(7), text, expect, number, st.booleans(), text, st.binary()),
    st.builds(
        Patch,
        *(st.just(0), st.just(7), text, expect, number, st.booleans(), text),
        *(st.integers(0, batch.LARGEST), st.binary()),
    ),
    st.builds(MakeDirectory, st.just(0), st.just(7), text),
    st.builds(MakeLink, st.just(0), st.just(7), text, expect, text),
    st.builds(SetMode, st.just(0), st.just(7), text, expect, number, st.booleans()),
    st.builds(Remove, st.just(0), st.just(7), text, expect),
)


@given(st.lists(change, max_size=8), st.integers(1, 1 << 40))
def test_what_is_decoded_is_what_was_encoded(changes: list[batch.Change], first: int) -> None:
    numbered = [change._replace(seq=first + at) for at, change in enumerate(changes)]
    assert batch.decode(batch.encode(numbered), 7, first, len(numbered)) == numbered


@given(st.lists(st.tuples(number, st.none() | identity)))
def test_answers_come_as_they_were_given(landed: list[batch.Landed]) -> None:
    assert batch.decode_landed(batch.encode_landed(landed)) == landed


@given(st.lists(change, min_size=1, max_size=4), st.data())
def test_a_stream_that_was_cut_or_lengthened_is_no_batch(
    changes: list[batch.Change], data: st.DataObject
) -> None:
    stream = batch.encode(changes)
    at = data.draw(st.integers(0, len(stream) - 1))
    for damaged in (stream[:at], stream + b"x"):
        with pytest.raises(BatchError):
            batch.decode(damaged, 7, 1, len(changes))


GOOD = ["f", "a", 0, 1, False, "", 0]
PATCH = ["p", "a", 0, 1, False, "", 0, 0]


@pytest.mark.parametrize(
    "row",
    [
        [], {}, None, "f", ["x", "a", 0], ["d"], ["d", 1], ["d", "a", 0], ["r", "a"],
        ["r", "a", 1], ["r", "a", False], ["r", "a", [0, None]], ["r", "a", ["0", None, ""]],
        ["r", "a", [0, ["f", 1, 2, 3, 4], ""]], ["r", "a", [0, ["x", 1, 2, 3, 4, 5], ""]],
        ["r", "a", [0, ["f", 1, 2, 3, 4, 1.5], ""]], ["l", "a", 0, 7], ["m", "a", 0, 1, 1],
        ["m", "a", 0, 1 << 63, True], GOOD[:-1], [*GOOD, 0], [*GOOD[:-1], -1], [*GOOD[:-1], 1],
        [*GOOD[:-1], True], [*GOOD[:-1], "0"], [*GOOD[:-1], 1 << 70],
        PATCH[:-1], [*PATCH, 0], [*PATCH[:-1], 1], [*PATCH[:-2], -1, 0],
        [*PATCH[:-2], batch.LARGEST + 1, 0], [*PATCH[:-2], "0", 0],
    ],
)  # fmt: skip
def test_a_malformed_row_is_said(row: object) -> None:
    table = json.dumps([row]).encode()
    with pytest.raises(BatchError):
        batch.decode(len(table).to_bytes(4, "big") + table, 7, 1, 1)


@pytest.mark.parametrize(
    "text",
    [
        "[",
        '{"a":1}',
        "[1]",
        "[[1]]",
        '[["1",null]]',
        "[[true,null]]",
        '[[1,["f"]]]',
        "[" * 9999,
    ],
)
def test_malformed_answers_are_said(text: str) -> None:
    with pytest.raises(BatchError):
        batch.decode_landed(zlib.compress(text.encode()))


@given(st.binary(max_size=3000), st.integers(0, 20))
def test_what_unfolds_to_the_limit_is_taken_and_no_byte_more(data: bytes, less: int) -> None:
    packed = zlib.compress(data)
    assert batch.unfold(packed, len(data)) == data
    if less and less <= len(data):
        with pytest.raises(BatchError):
            batch.unfold(packed, len(data) - less)
    with pytest.raises(BatchError):
        batch.unfold(packed[:-1], len(data))
    with pytest.raises(BatchError):
        batch.unfold(packed + b"x", len(data))
