"""The estimate is tried on a simulated line: a queue that empties at a fixed rate, and a delay."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core import frames
from sidecar.core.credit import FLOOR, START, TURNS, Credit, CreditError
from sidecar.core.frames import BULK, CHUNK, CONTROL, SAVES, STREAMS
from sidecar.core.lanes import ACK_EVERY, BATCH, Lanes, Processed

FAR = (6.25e6, 0.080)
METRO = (12.5e6, 0.020)
LAN = (100e6, 0.0003)
SLOW = (0.25e6, 0.150)

ROUTER = 256 * 1024
"""Bytes that one holds: 40 ms on the far line."""


class Line:
    """A sender that always has bulk to send, over a line of `rate` bytes a second whose round
    trip is `trip` seconds while it is empty.

    Args:
        bunch: seconds between two moments at which acknowledgements come.
    """

    def __init__(
        self, rate: float, trip: float, credit: Credit | None = None, bunch: float = 0.0
    ) -> None:
        self.rate, self.trip, self._bunch = rate, trip, bunch
        self.credit = credit or Credit()
        self.now = 0.0
        self.free_at = 0.0
        self.processed = 0
        self.worst_queue = 0.0
        self._acks: list[tuple[float, int]] = []
        self._sent = 0

    def queue(self) -> float:
        """Seconds that a save sent now would wait behind what is queued."""
        return max(0.0, self.free_at - self.now)

    def run(self, until: float, more: Callable[[], bool] = lambda: True) -> None:
        while self.now < until:
            while self.credit.room(BULK) > 0 and more():
                self.free_at = max(self.free_at, self.now) + CHUNK / self.rate
                self._sent += CHUNK
                arrives = self.free_at + self.trip
                if self._bunch:
                    arrives = math.ceil(arrives / self._bunch) * self._bunch
                heapq.heappush(self._acks, (arrives, self._sent))
                self.credit.sent(BULK, CHUNK, self.now, last=not more())
            self.worst_queue = max(self.worst_queue, self.queue())
            if not self._acks:
                self.now = until
                return
            at, processed = heapq.heappop(self._acks)
            self.now = max(self.now, at)
            self.processed = processed
            self.credit.acknowledged(BULK, processed, self.now)


@pytest.mark.parametrize("link", [FAR, METRO, LAN, SLOW], ids=["far", "metro", "lan", "slow"])
def test_the_line_is_full_and_its_queue_short(link: tuple[float, float]) -> None:
    rate, trip = link
    line = Line(rate, trip)
    line.run(20 * trip + 1)  # up to speed
    began, processed = line.now, line.processed
    line.worst_queue = 0.0
    line.run(began + 30)
    assert line.processed - processed >= 0.95 * rate * (line.now - began)
    # A save waits a third of an idle round trip at most, and what the ends' turns take.
    assert line.worst_queue <= 0.3 * trip + 2 * TURNS + 3.5 * CHUNK / rate


def test_it_is_up_to_speed_within_ten_round_trips() -> None:
    rate, trip = FAR
    line = Line(rate, trip)
    line.run(10 * trip)
    processed = line.processed
    line.run(20 * trip)
    assert line.processed - processed >= 0.9 * rate * 10 * trip


@pytest.mark.parametrize("link", [FAR, METRO], ids=["far", "metro"])
def test_on_the_way_up_no_more_is_queued_than_a_router_holds(link: tuple[float, float]) -> None:
    """What comes above it is lost, and TCP slow for long."""
    rate, trip = link
    line = Line(rate, trip)
    line.run(3)
    assert line.worst_queue * rate <= ROUTER


@pytest.mark.parametrize("bunch", [0.003, 0.008])
def test_acknowledgements_that_come_in_bunches_make_no_line_much_faster(bunch: float) -> None:
    rate, trip = FAR
    line = Line(rate, trip, bunch=bunch)
    line.run(3)
    assert line.worst_queue * rate <= 1.5 * ROUTER


def test_a_line_that_gets_faster_is_noticed() -> None:
    line = Line(1e6, 0.05)
    line.run(10)
    line.rate = 8e6
    line.run(20)
    processed = line.processed
    line.run(25)
    assert line.processed - processed >= 0.9 * 8e6 * 5


def test_a_line_that_gets_slower_has_a_short_queue_again_soon() -> None:
    line = Line(8e6, 0.05)
    line.run(10)
    line.rate = 1e6
    line.run(30)
    line.worst_queue = 0.0
    line.run(40)
    assert line.worst_queue <= 3 * CHUNK / 1e6


def test_a_longer_way_is_noticed_although_it_is_never_idle() -> None:
    """Else the credit would stay at the old, short round trip's and starve the new one."""
    line = Line(6.25e6, 0.02)
    line.run(10)
    line.trip = 0.16
    line.run(60)
    processed = line.processed
    line.run(65)
    assert line.processed - processed >= 0.85 * 6.25e6 * 5


def test_a_pause_does_not_forget_the_line() -> None:
    rate, trip = FAR
    line = Line(rate, trip)
    line.run(5)
    before = line.credit.limit
    line.run(3600, more=lambda: False)
    line.credit.round_trip(trip, line.now)
    assert line.credit.limit >= 0.5 * before


def test_small_messages_now_and_then_do_not_lower_the_rate() -> None:
    rate, trip = FAR
    line = Line(rate, trip)
    line.run(5)
    credit, before = line.credit, line.credit.limit
    line.run(line.now + 1, more=lambda: False)  # what is on its way arrives
    sent = line.processed
    for _ in range(200):
        credit.sent(BULK, 100, line.now, last=True)
        sent += 100
        line.now += trip
        credit.acknowledged(BULK, sent, line.now)
    assert credit.limit >= 0.9 * before


def test_pings_on_an_idle_link_renew_the_round_trip() -> None:
    credit = Credit()
    for number in range(4):
        credit.sent(BULK, CHUNK, 0.0, last=False)
        credit.acknowledged(BULK, (number + 1) * CHUNK, 0.1 + number / 100)
    before = credit.limit
    for second in range(1, 30):
        credit.round_trip(0.4, float(second))
    assert credit.limit > before or credit.limit == FLOOR


def test_it_starts_small_and_never_falls_below_its_floor() -> None:
    credit = Credit()
    assert credit.limit == START
    for number in range(1, 4 * CHUNK // 1000):
        credit.sent(BULK, 1000, 10.0 * number, last=True)
        credit.acknowledged(BULK, 1000 * number, 10.0 * number + 9)
    assert credit.limit == FLOOR


def test_streams_go_on_while_nobody_takes_the_bulk() -> None:
    credit = Credit()
    while credit.room(BULK) > 0:
        credit.sent(BULK, CHUNK, 0.0, last=False)
    assert credit.room(STREAMS) > 0
    credit.sent(STREAMS, CHUNK, 0.0, last=False)
    assert credit.room(BULK) < 0


@pytest.mark.parametrize(
    ("lane", "processed"), [(BULK, 101), (BULK, 9), (STREAMS, 1), (CONTROL, 0), (7, 0)]
)
def test_an_acknowledgement_of_what_was_never_sent_is_refused(lane: int, processed: int) -> None:
    credit = Credit()
    credit.sent(BULK, 100, 0.0, last=True)
    credit.acknowledged(BULK, 10, 0.0)
    with pytest.raises(CreditError):
        credit.acknowledged(lane, processed, 0.0)


@given(
    st.lists(st.tuples(st.sampled_from([STREAMS, BULK]), st.integers(1, CHUNK)), max_size=60),
    st.lists(st.floats(0, 5), min_size=1, max_size=60),
)
def test_whatever_happens_the_credit_stays_sane(
    sends: list[tuple[int, int]], waits: list[float]
) -> None:
    credit, now = Credit(), 0.0
    sent = {STREAMS: 0, BULK: 0}
    for at, (lane, size) in enumerate(sends):
        credit.sent(lane, size, now, last=at % 2 == 0)
        sent[lane] += size
        now += waits[at % len(waits)]
        if at % 3:
            credit.acknowledged(lane, sent[lane], now)
        assert credit.limit >= FLOOR
        assert credit.unacknowledged >= 0
    for lane, size in sent.items():
        credit.acknowledged(lane, size, now)
    assert credit.unacknowledged == 0
    assert START <= credit.room(BULK) == credit.room(STREAMS) <= credit.limit


def test_the_lowest_lane_goes_first_and_each_keeps_its_order() -> None:
    lanes = Lanes(Credit())
    for lane in (BULK, STREAMS, SAVES, CONTROL):
        for number in (1, 2):
            lanes.put(lane, b"%d%d " % (lane, number))
    assert lanes.take(0.0) == b"01 02 11 12 21 22 31 32 "
    assert lanes.take(0.0) == b""
    assert lanes.empty()


def test_bulk_waits_for_credit_and_saves_do_not() -> None:
    credit = Credit()
    lanes = Lanes(credit)
    for _ in range(10):
        lanes.put(BULK, bytes(CHUNK))
    taken = b""
    while data := lanes.take(0.0):
        taken += data
    assert len(taken) == START
    lanes.put(SAVES, b"save")
    assert lanes.take(0.1) == b"save"
    credit.acknowledged(BULK, CHUNK, 0.2)
    assert len(lanes.take(0.2)) >= CHUNK


def test_small_frames_go_out_together_and_batches_are_bounded() -> None:
    lanes = Lanes(Credit())
    for _ in range(1000):
        lanes.put(SAVES, bytes(1000))
    sizes = []
    while data := lanes.take(0.0):
        sizes.append(len(data))
    assert sum(sizes) == 1_000_000
    assert max(sizes) < BATCH + 1000
    assert len(sizes) < 20


def test_whoever_fills_a_lane_of_bulk_is_told_to_wait() -> None:
    lanes = Lanes(Credit())
    while not lanes.full(BULK):
        lanes.put(BULK, bytes(CHUNK))
    for _ in range(100):
        lanes.put(CONTROL, bytes(CHUNK))
    assert not lanes.full(CONTROL)
    assert not lanes.full(STREAMS)


@given(st.lists(st.integers(1, CHUNK), max_size=50))
def test_what_was_processed_is_told_often_enough_for_the_least_credit(sizes: list[int]) -> None:
    processed = Processed()
    told = total = 0
    for size in sizes:
        total += size
        count = processed.add(BULK, size)
        assert count in (0, total)
        told = count or told
        assert total - told < ACK_EVERY < FLOOR
        assert processed.add(CONTROL, size) == 0


def test_the_constants_fit_each_other() -> None:
    assert START <= BATCH
    assert frames.CHUNK * 2 <= FLOOR
