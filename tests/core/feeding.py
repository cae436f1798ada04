"""One way to feed a decoder: whole, byte by byte, cut at random, and with bytes behind."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

Item = TypeVar("Item")


def in_pieces(data: bytes, cuts: Sequence[int]) -> Iterator[bytes]:
    """`data`, cut at these places (taken modulo its length)."""
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    for start, end in itertools.pairwise(places):
        yield data[start:end]


def every_way(
    decoder: Callable[[], Any], data: bytes, cuts: Sequence[int] = ()
) -> Iterator[list[Any]]:
    """What a fresh decoder returns for the same bytes, fed whole, byte by byte and cut."""
    for pieces in (
        [data],
        [data[at : at + 1] for at in range(len(data))],
        list(in_pieces(data, cuts)),
    ):
        fed = decoder()
        yield [item for piece in pieces for item in fed.feed(piece)]
