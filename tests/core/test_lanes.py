"""Flows of one lane: each keeps its order, and none waits behind all of another's."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sidecar.core import frames
from sidecar.core import messages as m
from sidecar.core.credit import Credit
from sidecar.core.lanes import QUEUE, SHARE, Lanes, flow_of

CHUNK = b"x" * 1024


def test_a_short_flow_goes_between_the_frames_of_a_long_one() -> None:
    lanes = Lanes(Credit())
    for number in range(20):
        lanes.put(frames.STREAMS, b"long %d," % number, "flood")
    lanes.put(frames.STREAMS, b"key,", "shell")
    sent = lanes.take(0.0).split(b",")
    assert sent.index(b"key") == 1
    assert [one for one in sent if one.startswith(b"long")] == [b"long %d" % n for n in range(20)]


def test_who_fills_a_lane_waits_and_another_flow_does_not() -> None:
    lanes = Lanes(Credit())
    while not lanes.full(frames.STREAMS, "flood"):
        lanes.put(frames.STREAMS, CHUNK, "flood")
    assert not lanes.full(frames.STREAMS, "shell")
    for _ in range(SHARE // len(CHUNK)):
        lanes.put(frames.STREAMS, CHUNK, "shell")
    assert lanes.full(frames.STREAMS, "shell")


def test_one_flow_alone_may_have_the_whole_queue() -> None:
    lanes = Lanes(Credit())
    count = 0
    while not lanes.full(frames.STREAMS, "flood"):
        lanes.put(frames.STREAMS, CHUNK, "flood")
        count += len(CHUNK)
    assert count == QUEUE


def test_output_and_end_of_a_job_are_one_flow_and_uploads_keep_one_order() -> None:
    output = m.Output("job-1", 0, 5, 1, b"x")
    assert flow_of(output, frames.STREAMS) == flow_of(m.Exited("job-1", 0, "", 5), frames.STREAMS)
    assert flow_of(output, frames.STREAMS) != flow_of(
        m.Output("job-2", 0, 5, 1, b"x"), frames.STREAMS
    )
    assert flow_of(m.PutPart(1, 1, False, False, b""), frames.BULK) == flow_of(
        m.PutPart(2, 1, False, False, b""), frames.BULK
    )


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 40)), max_size=60))
def test_every_flow_keeps_its_order_and_nothing_is_lost(given: list[tuple[str, int]]) -> None:
    lanes = Lanes(Credit())
    for number, (flow, length) in enumerate(given):
        lanes.put(frames.SAVES, b"%s%d%s;" % (flow.encode(), number, b"." * length), flow)
    sent = b""
    while data := lanes.take(0.0):
        sent += data
    assert lanes.empty()
    pieces = sent.split(b";")[:-1]
    assert len(pieces) == len(given)
    for flow in "abc":
        mine = [int(one[1:].rstrip(b".")) for one in pieces if one[:1] == flow.encode()]
        assert mine == sorted(mine)
