"""What waits to be sent, in the order in which it may go: both ends' senders are built on it."""

from collections import OrderedDict, deque
from typing import Any, Deque, Dict, List, Tuple

from sidecar.core import frames
from sidecar.core.credit import LANES as ACKNOWLEDGED
from sidecar.core.credit import Credit

BATCH = 64 * 1024
"""Frames are handed to the connection together up to this size. One write a frame would be one
packet a frame, and asyncssh puts another, empty one before each; more than this would keep a
keystroke waiting behind it."""

QUEUE = 512 * 1024
"""Bytes that may wait on STREAMS and on BULK before whoever makes more is held back. All flows of
a lane share it, but each may have SHARE."""

SHARE = 2 * frames.CHUNK

ACK_EVERY = frames.CHUNK // 2
"""Processed bytes after which the receiver acknowledges. Less is not worth a frame of its own,
and stays below the least credit, so nobody waits for it."""


def flow_of(message: Any, lane: int) -> Any:
    """What a message must keep its order with: on STREAMS, a job's or a stream's other messages,
    whose first field names it; else all of the lane."""
    return message[0] if lane == frames.STREAMS else None


class _Flows:
    """Frames of one lane, by flow. Flows take turns, frame by frame: the echo of a key in one job
    does not wait behind all that another one prints."""

    def __init__(self) -> None:
        self._queues: OrderedDict[Any, Deque[bytes]] = OrderedDict()
        self._sizes: Dict[Any, int] = {}

    def __len__(self) -> int:
        return len(self._queues)

    def put(self, flow: Any, data: bytes) -> None:
        self._queues.setdefault(flow, deque()).append(data)
        self._sizes[flow] = self.size(flow) + len(data)

    def take(self) -> bytes:
        flow, queue = self._queues.popitem(last=False)
        data = queue.popleft()
        if queue:
            self._queues[flow] = queue
            self._sizes[flow] -= len(data)
        else:
            del self._sizes[flow]
        return data

    def size(self, flow: Any) -> int:
        return self._sizes.get(flow, 0)


class Lanes:
    """Queues of encoded frames, one a lane: the lowest lane goes first, and each keeps the order
    of what belongs together. STREAMS and BULK go while there is credit."""

    def __init__(self, credit: Credit) -> None:
        self._credit = credit
        self._queues: Tuple[_Flows, ...] = tuple(_Flows() for _ in frames.LANES)
        self._sizes = [0] * len(frames.LANES)

    def put(self, lane: int, data: bytes, flow: Any = None) -> None:
        self._queues[lane].put(flow, data)
        self._sizes[lane] += len(data)

    def full(self, lane: int, flow: Any = None) -> bool:
        """Whoever would put more of this flow on this lane has to wait."""
        return (
            lane in ACKNOWLEDGED
            and self._sizes[lane] >= QUEUE
            and self._queues[lane].size(flow) >= SHARE
        )

    def empty(self) -> bool:
        return not any(self._sizes)

    def take(self, now: float) -> bytes:
        """What is to be written next, b"" if nothing may go now."""
        batch: List[bytes] = []
        size = 0
        for lane in frames.LANES:
            queue = self._queues[lane]
            while queue and size < BATCH and self._may_go(lane):
                data = queue.take()
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
