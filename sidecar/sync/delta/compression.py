"""Which compression a content gets on a line: the one with which it arrives soonest.

Decided by a sample of the content, whatever its name says, and by what the line was seen to carry.
Compressing goes on beside sending, so what counts is the slower one of the two::

    seconds a byte = max(1 / speed of compressing, compressed share / rate of the line)

zlib alone, since that is what every Python there has. SPEEDS are of one core beside other work
(text, notebooks, checkpoints: level 1 from 60 to 150 MB/s, level 6 from 18 to 45). So a line of
1 Gbit/s gets nothing compressed that does not shrink to a half, one of 100 Mbit/s level 1, one of
50 Mbit/s level 6.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from sidecar.core.delta import Copy
from sidecar.sync.delta.matcher import Span
from sidecar.sync.disk.local_files import Source

SAMPLE = 16 * 1024
SAMPLES = 4
"""So many places of a content are looked at, so much of each: 4 ms."""

SPEEDS = {1: 80e6, 6: 25e6}
"""Bytes a second that a level compresses."""

UNKNOWN = 12.5e6
"""Bytes a second that a line counts as carrying before anything is known of it: 100 Mbit/s."""

WORTH = 0.9
"""What does not get smaller than this share of itself is left as it is."""

BEST = 6
"""For what is small enough that its compression takes no time: more takes off 1 % and costs
twice as much."""


def level(sample: Sequence[bytes], rate: float) -> int:
    """The level for a content; 0: leave it as it is.

    Args:
        sample: pieces of it.
        rate: bytes a second that the line carries; 0 where that is not known.
    """
    rate = rate or UNKNOWN
    size = sum(map(len, sample))
    best, least = 0, 1 / rate
    if not size:
        return 0
    for number, speed in SPEEDS.items():
        share = sum(len(zlib.compress(piece, number)) for piece in sample) / size
        if share > WORTH:
            return 0
        seconds = max(1 / speed, share / rate)
        if seconds < least:
            best, least = number, seconds
    return best


def sample(parts: Sequence[Copy | Span], source: Source) -> list[bytes]:
    """Pieces of what is to be sent, from all over it."""
    fresh = [part for part in parts if isinstance(part, Span)]
    if not fresh:
        return []
    places: list[Span] = []
    for number in range(SAMPLES):
        span = fresh[len(fresh) * number // SAMPLES]
        share = number / (SAMPLES - 1)
        offset = span.offset + int(max(0, span.length - SAMPLE) * share)
        places.append(Span(offset, min(SAMPLE, span.offset + span.length - offset)))
    return [source.read_at(*place) for place in dict.fromkeys(places)]
