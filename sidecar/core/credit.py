"""How many bytes may be on their way before the other end said that it processed them.

Neither asyncssh nor sshd holds a sender back before megabytes lie in front of the next keystroke
(asyncssh ignores its transport's flow control; each channel has a window of 2 MiB), a second
connection does not help, and neither does TCP_NOTSENT_LOWAT: the queue is in the path, so only
bytes in flight do. A fixed credit is wrong on some link: at 80 ms and 50 Mbit/s, 256 KiB halve
an upload, 2 MiB delay a save by 270 ms. So the credit follows the link, which is the idea of BBR
(Cardwell et al., "BBR: Congestion-Based Congestion Control", ACM Queue 14(5), 2016)::

    credit = best delivery rate × (1.03 × least round trip + 4 ms) + one frame

That leaves a part of a round trip in the queue, which is what it takes to notice that the line
became faster; with 1.25 a short stall at either end was enough to overflow a router that holds
half a round trip's bytes. On the link above a save under a full upload takes 58 ms, 312 without
(idle: 43), and the upload has the line's 6.25 MB/s; with 20 ms and 100 Mbit/s, 20 ms, 165 without
(idle: 13).

How it moves::

    bytes ▲         ┌─ grows while round trips bring more
          │        ╱ ─────────────    ________________ 1.03 × rate × least round trip
          │      ╱                │ ╱
          │    ╱                  │╱ ◄ every PROBE_EVERY seconds of work, half of it for a
          │  ╱ START                   round trip: the queue drains, and the way is measured
          └────────────────────────────

What may be in flight grows by what is acknowledged (doubling each round trip), from a quarter of a
known credit on by half of that, from half of it on by a quarter, never at once: a burst would
itself be the queue that a save then waits in. After a pause it begins at START again, for the same
reason (TCP does the same).

On the way up it is bound by what arrived in the last round trip, a sliding one: 1.3 times that and
the floor, as long as it grows. Twice the rate of whole round trips, as BBR has it, came too late
and went too far. TCP below it starts slowly, too, and was held back by a round trip or two more
(0.25 s on the link above); and with twice what the line holds in flight a router's queue
overflowed. TCP takes that for a congestion, and went on with 4.4 MB/s where there were 6.25: a
first sync of 11.7 MB took 3.3 s, and takes 2.7.

Both bulk lanes share one link and so one estimate. STREAMS goes first and is held back by its
own bytes only; BULK by the bytes of both. So a reader of bulk that is slow does not stop streams.
"""

from collections import deque
from typing import Callable, Deque, Dict, NamedTuple, Tuple

from sidecar.core import frames

LANES = (frames.STREAMS, frames.BULK)
"""The lanes that are acknowledged."""

START = 2 * frames.CHUNK
"""Before anything is known: two chunks, so that the line is not idle while the first is
acknowledged. 60 ms of a 1 MB/s line."""

FLOOR = 2 * frames.CHUNK
"""Never less: an underestimate must be able to grow out of itself."""

GAIN = 1.03
PROBE_GAIN = 0.5
STARTUP_GAIN, GROWTH = 1.3, 1.3
"""On the way up, beside the floor, as long as a round trip brings so much more than the one before:
so a line that is full is left with less than half a round trip in its queue.
"""

TURNS = 0.004
"""Seconds that both ends take until a frame that has come is acknowledged. The least round trip is
that of a quiet moment; by it alone a line of 100 Mbit/s and 20 ms was left at 7.5 MB/s."""

UNTOLD = frames.CHUNK // 2
"""Bytes that may be processed without a word (lanes.ACK_EVERY): with less on its way, the line is
idle."""

ROUND = 0.005
"""Seconds that count as a round trip where it is shorter: its rate would be a single frame's."""

ROUNDS_WITHOUT_GROWTH = 3
"""The line counts as full when so many round trips brought less than a quarter more each."""

STEADY = 0.2
"""Seconds that the rate of a full line is measured over, and two round trips at the least. Shorter,
it would be too high, since the best counts and acknowledgements come in bunches (a thread that
waits for its turn, a wireless link): by a quarter over 25 ms where they bunch by 6."""

SPAN = 5.0
"""Seconds that a best or least value counts for at the least, and twice that at the most."""

PROBE_EVERY = 10.0
"""Seconds of work without a round trip that was measured on an empty queue."""


class CreditError(Exception):
    """The other end acknowledges what was never sent. The link cannot be trusted."""


class _Sent(NamedTuple):
    """A frame on its way. `end`: bytes of its lane up to its own end; `last`: nothing waited behind
    it, so what is delivered then says nothing of the line."""

    end: int
    at: float
    last: bool


class _Extreme:
    """The greatest or least of what was seen in the last one to two spans."""

    def __init__(self, pick: Callable[[float, float], float]) -> None:
        self._pick = pick
        self._before = self._now = -1.0
        self._since = 0.0

    @property
    def value(self) -> float:
        """-1 while there is none."""
        if self._before < 0:
            return self._now
        return self._before if self._now < 0 else self._pick(self._before, self._now)

    def add(self, sample: float, now: float, forget: bool) -> None:
        """`forget`: the sample is good enough to let older ones go."""
        if forget and now - self._since >= SPAN:
            self._before, self._now, self._since = self._now, -1.0, now
        self._now = sample if self._now < 0 else self._pick(self._now, sample)


class Credit:
    """The estimate of one direction of one link. No clock in here: `now` is any clock's seconds
    that never go back."""

    def __init__(self) -> None:
        self._sent: Dict[int, int] = dict.fromkeys(LANES, 0)
        self._processed: Dict[int, int] = dict.fromkeys(LANES, 0)
        self._flying: Dict[int, Deque[_Sent]] = {lane: deque() for lane in LANES}
        self._idle_since = 0.0
        self._reached = START
        self._rate = _Extreme(max)
        self._least = _Extreme(min)
        self._measured_at = -1.0
        self._probing_since = -1.0
        self._recent = self._recent_before = self._compared_at = 0.0
        self._grows = True
        self._arrivals: Deque[Tuple[float, int]] = deque()
        self._window_at = 0.0
        self._window_delivered = 0
        self._window_limited = False
        self._rate_at_growth = 0.0
        self._flat_rounds = 0
        self._settled = False

    @property
    def unacknowledged(self) -> int:
        return sum(self._sent.values()) - sum(self._processed.values())

    @property
    def rate(self) -> float:
        """Bytes a second that the line was seen to carry of late; 0 where nothing is known."""
        return max(0.0, self._rate.value)

    @property
    def limit(self) -> int:
        """Bytes that the line holds with a short queue, as far as is known."""
        rate, least = self._rate.value if self._settled else self._recent, self._least.value
        if rate <= 0 or least < 0:
            return self._reached
        if self._probing_since >= 0:
            return max(FLOOR, int(PROBE_GAIN * rate * least))
        limit = max(FLOOR, frames.CHUNK + int(rate * (GAIN * least + TURNS)))
        if self._grows and not self._settled:
            return max(limit, FLOOR + int(STARTUP_GAIN * self._recent_before * least))
        return limit

    @property
    def _full(self) -> bool:
        """More in flight brought no more: the line's rate is known."""
        return self._flat_rounds >= ROUNDS_WITHOUT_GROWTH

    def room(self, lane: int) -> int:
        """Bytes that may go out on that lane now. A frame may go out while this is positive."""
        allowed = min(self.limit, self._reached)
        if lane == frames.STREAMS:
            return allowed - (self._sent[lane] - self._processed[lane])
        return allowed - self.unacknowledged

    def sent(self, lane: int, size: int, now: float, last: bool) -> None:
        """A frame of `size` bytes leaves. `last`: nothing waits behind it on any such lane."""
        if self.unacknowledged < UNTOLD:
            if now - self._idle_since > self._least.value:
                self._reached = START
            self._open_window(now)
            if self._measured_at < 0:
                self._measured_at = now
        elif self._probing_since < 0 and now - self._measured_at > PROBE_EVERY:
            self._probing_since = now
        self._sent[lane] += size
        self._flying[lane].append(_Sent(self._sent[lane], now, last))

    def acknowledged(self, lane: int, processed: int, now: float) -> None:
        """The other end processed `processed` bytes of that lane, counted from the beginning.

        Raises:
            CreditError: that cannot be.
        """
        if lane not in self._sent:
            raise CreditError("lane %d is not acknowledged" % lane)
        if not self._processed[lane] <= processed <= self._sent[lane]:
            raise CreditError(
                "%d bytes of lane %d are acknowledged, between %d and %d were to be expected"
                % (processed, lane, self._processed[lane], self._sent[lane])
            )
        count = processed - self._processed[lane]
        limit = self.limit
        growth = count
        if self._full and self._reached >= limit // 4:
            growth = count // 4 if self._reached >= limit // 2 else count // 2
        self._reached = max(START, min(self._reached, limit) + growth)
        self._window_delivered += count
        self._processed[lane] = processed
        self._idle_since = now
        if not self._settled:
            self._learn_recent(now)
        flying = self._flying[lane]
        newest = None
        while flying and flying[0].end <= processed:
            newest = flying.popleft()
            self._window_limited |= newest.last
        if newest is not None:
            self._learn_round_trip(newest, now)
            self._learn_rate(now)

    def round_trip(self, seconds: float, now: float) -> None:
        """A round trip that was measured by other means (Ping)."""
        idle = self.unacknowledged < UNTOLD
        self._least.add(seconds, now, forget=idle)
        if idle:
            self._measured_at = now

    def _learn_round_trip(self, frame: _Sent, now: float) -> None:
        # A frame that left during a probe found half of what the line holds in front of it, so
        # no queue.
        probed = 0 <= self._probing_since <= frame.at
        self._least.add(now - frame.at, now, forget=probed)
        if probed:
            self._probing_since, self._measured_at = -1.0, now

    def _learn_recent(self, now: float) -> None:
        """On the way up: what the last round trip brought, and whether that still grows."""
        arrived, span = sum(self._processed.values()), max(self._least.value, ROUND)
        while len(self._arrivals) > 1 and now - self._arrivals[1][0] >= span:
            self._arrivals.popleft()
        at, before = self._arrivals[0] if self._arrivals else (self._window_at, 0)
        self._recent = max(self._recent, (arrived - before) / max(span, now - at))
        if self._recent >= GROWTH * self._recent_before:
            self._recent_before, self._compared_at, self._grows = self._recent, now, True
        elif now - self._compared_at >= 1.5 * span:
            self._recent_before, self._compared_at, self._grows = self._recent, now, False
        self._arrivals.append((now, arrived))

    def _learn_rate(self, now: float) -> None:
        least = self._least.value
        span = max(2 * least, STEADY) if self._full else max(least, ROUND)
        seconds = now - self._window_at
        if seconds < max(span, 1e-6):
            return
        rate, limited = self._window_delivered / seconds, self._window_limited
        self._open_window(now)
        if limited and rate <= self._rate.value:
            return
        if self._full and not self._settled:
            # The first that was measured over long enough: what was seen on the way up goes.
            self._rate, self._settled = _Extreme(max), True
        self._rate.add(rate, now, forget=not limited)
        if self._full:
            return
        if rate >= self._rate_at_growth * 1.25:
            self._rate_at_growth, self._flat_rounds = rate, 0
        elif not limited:
            self._flat_rounds += 1

    def _open_window(self, now: float) -> None:
        self._window_at, self._window_delivered, self._window_limited = now, 0, False
