"""Gaps: what must be fetched of a new content there, when an old one is here.

The reverse of a push: the remote gives the signature of its new content at fixed offsets, and the
match runs here all the same (zsync's way). Matching our *old* content against that signature says
which of its bytes are whole blocks of the new one; what is left of the new one are the gaps. So
the remote needs nothing but hashlib, and sends what we lack and no more.

Blocks are found again at any offset where the signature has anchors (`Signature.anchors`), which
cost ANCHOR bytes a block on the wire: without them an insertion in the middle is survived only by
what is in front of it and what is equal at the end. A block that the new content has several times
is found once and used for all.

Measured (random data, page cache, one core): 3 MB with one insertion in 9 ms, 256 MB in
0.42 s; BLAKE2b has most of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from sidecar.core.delta import Copy
from sidecar.sync.delta.matcher import LIMITS, Limits, Source, spans
from sidecar.sync.delta.signature import STRONG, FileSignature


class Have(NamedTuple):
    """Bytes [offset, offset + length) of the new content are in our old one at `place`."""

    offset: int
    length: int
    place: int


class Gap(NamedTuple):
    """Bytes [offset, offset + length) of the new content must be fetched."""

    offset: int
    length: int


Part = Have | Gap


def missing(signature: FileSignature, old: Source | None, limits: Limits = LIMITS) -> list[Part]:
    """The new content, of `signature.size` bytes, as parts that follow each other.

    Args:
        signature: of the new content, which is there.
        old: the content that is here; None where there is none.
        limits: as for the matcher.
    Raises:
        Whatever reading `old` raises.
    """
    places = _places(signature, old, limits) if old is not None else {}
    block = signature.block

    def parts() -> Iterator[Part]:
        for number in range(signature.count):
            offset = number * block
            length = min(block, signature.size - offset)
            place = places.get(number)
            yield Gap(offset, length) if place is None else Have(offset, length, place)

    return list(_joined(parts()))


def _places(signature: FileSignature, old: Source, limits: Limits) -> dict[int, int]:
    """Where in the old content the new one's blocks are, by their numbers."""
    places: dict[int, int] = {}
    at = 0
    for operation in spans(signature, old, limits):
        if not isinstance(operation, Copy):
            at += operation.length
            continue
        first, offset = operation.offset // signature.block, operation.offset
        for number in range(first, -(-(offset + operation.length) // signature.block)):
            places[number] = at + number * signature.block - offset
        at += operation.length
    return {**_alike(signature, places), **places}


def _alike(signature: FileSignature, places: dict[int, int]) -> dict[int, int]:
    """The same for blocks that are equal to one that was found."""

    def strong(number: int) -> bytes:
        return signature.strong[number * STRONG : number * STRONG + STRONG]

    by_checksum = {strong(number): place for number, place in places.items()}
    found = ((number, by_checksum.get(strong(number))) for number in range(signature.count))
    return {number: place for number, place in found if place is not None}


def _joined(parts: Iterable[Part]) -> Iterator[Part]:
    """Parts that go on where the one before them ends as one."""
    last: Part | None = None
    for part in parts:
        if isinstance(last, Gap) and isinstance(part, Gap):
            last = Gap(last.offset, last.length + part.length)
        elif (
            isinstance(last, Have)
            and isinstance(part, Have)
            and part.place == last.place + last.length
        ):
            last = Have(last.offset, last.length + part.length, last.place)
        else:
            if last is not None:
                yield last
            last = part
    if last is not None:
        yield last
