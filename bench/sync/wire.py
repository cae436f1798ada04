"""Bytes on the wire, as the remote's network interface counts them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

STILL = 0.06
"""Seconds without a packet, beside a round trip and a half, after which a line counts as quiet."""


class Traffic(NamedTuple):
    """Bytes since the line was made. `up`: towards the remote."""

    up: int
    down: int

    def __sub__(self, before: Traffic) -> Traffic:
        return Traffic(self.up - before.up, self.down - before.down)


class Wire:
    """The far end's interface.

    Args:
        pid: of a process in its namespace.
        round_trip: of the line, in seconds.
    """

    def __init__(self, pid: int, round_trip: float) -> None:
        self._counters = Path(f"/proc/{pid}/net/dev")
        self._still = STILL + 1.5 * round_trip

    def traffic(self) -> Traffic:
        up = down = 0
        for line in self._counters.read_text().splitlines()[2:]:
            name, _, counters = line.partition(":")
            fields = counters.split()
            if name.strip() != "lo":
                up, down = up + int(fields[0]), down + int(fields[8])
        return Traffic(up, down)

    def quiet(self) -> Traffic:
        """Waits until nothing moves; what was moved until then."""
        deadline = time.monotonic() + 30
        seen = self.traffic()
        while time.monotonic() < deadline:
            time.sleep(self._still)
            now = self.traffic()
            if now == seen:
                return now
            seen = now
        raise RuntimeError("the line does not come to rest")
