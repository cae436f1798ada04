"""What waits to be sent, in the order in which it may go: both ends' senders are built on it."""

from collections import deque
from typing import Deque, List, Tuple

from sidecar.core import frames
from sidecar.core.credit import LANES as ACKNOWLEDGED
from sidecar.core.credit import Credit

BATCH = 64 * 1024
"""Frames are handed to the connection together up to this size. One write a frame would be one
packet a frame, and asyncssh puts another, empty one before each; more than this would keep a
keystroke waiting behind it."""

QUEUE = 512 * 1024
"""Bytes that may wait on STREAMS and on BULK before whoever makes more is held back."""

ACK_EVERY = frames.CHUNK // 2
"""Processed bytes after which the receiver acknowledges. Less is not worth a frame of its own,
and stays below the least credit, so nobody waits for it."""


class Lanes:
    """Queues of encoded frames, one a lane: the lowest lane goes first, and each keeps its
    order. STREAMS and BULK go while there is credit."""

    def __init__(self, credit: Credit) -> None:
        self._credit = credit
        self._queues: Tuple[Deque[bytes], ...] = tuple(deque() for _ in frames.LANES)
        self._sizes = [0] * len(frames.LANES)

    def put(self, lane: int, data: bytes) -> None:
        self._queues[lane].append(data)
        self._sizes[lane] += len(data)

    def full(self, lane: int) -> bool:
        """Whoever would put more on this lane has to wait."""
        return lane in ACKNOWLEDGED and self._sizes[lane] >= QUEUE

    def empty(self) -> bool:
        return not any(self._sizes)

    def take(self, now: float) -> bytes:
        """What is to be written next, b"" if nothing may go now."""
        batch: List[bytes] = []
        size = 0
        for lane in frames.LANES:
            queue = self._queues[lane]
            while queue and size < BATCH and self._may_go(lane):
                data = queue.popleft()
                self._sizes[lane] -= len(data)
                size += len(data)
                batch.append(data)
                if lane in ACKNOWLEDGED:
                    last = not any(self._sizes[other] for other in ACKNOWLEDGED)
                    self._credit.sent(lane, len(data), now, last)
        return b"".join(batch)

    def _may_go(self, lane: int) -> bool:
        return lane not in ACKNOWLEDGED or self._credit.room(lane) > 0


class Processed:
    """The receiver's half: counts what was processed of a lane and says when to tell."""

    def __init__(self) -> None:
        self._counts = [0] * len(frames.LANES)
        self._told = [0] * len(frames.LANES)

    def add(self, lane: int, size: int) -> int:
        """Returns the number for an Ack that is now due, or 0."""
        if lane not in ACKNOWLEDGED:
            return 0
        self._counts[lane] += size
        if self._counts[lane] - self._told[lane] < ACK_EVERY:
            return 0
        self._told[lane] = self._counts[lane]
        return self._counts[lane]
