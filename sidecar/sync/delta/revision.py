"""Revisions: a large file read once, for its digest, its signature, and what changed.

Where the signature of the content before it is known, the file is matched first (matcher.py). What
is still at the same place need not be hashed again: its leaves' digests and its blocks' checksums
are taken over from that signature. An overwrite so costs a comparison and one leaf; behind an
insertion all has another place, and BLAKE2b its share. Leaves are hashed on THREADS threads, since
hashlib lets go of the GIL. Equal is what the matcher calls so: a checksum of 128 bits under a seed
that nobody else knows. What is sent relies on the same, so that the digest, were it ever wrong,
would still say what is there.

Measured on two cores that others wanted as well (so the ratios count), content in the page cache,
random data, 256 MiB, the best of five, in ms; "before" is a pass for digest and signature, and
another one for the match::

                         this   before                           this   before
    nothing known         671     1188       100 bytes in front   517     1543
    equal                  33      921       1 KB appended         29     1471
    1 KB overwritten       45     1392       200 insertions       689     1362
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from sidecar.core import delta
from sidecar.core.delta import DIGEST_SIZE, LEAF, Copy
from sidecar.sync.delta.matcher import Span, spans
from sidecar.sync.delta.signature import (
    ANCHOR,
    GROUP,
    STRONG,
    FileSignature,
    Signer,
    block_size,
    new_seed,
    xxh3,
)
from sidecar.sync.disk.local_files import Source

THREADS = 2
"""Threads that hash. More read and hash faster only where nobody else wants the cores, and an
editor does."""


MUCH = 32 << 20
"""Bytes to hash from which on the delta is told early: 40 ms."""


class Delta(NamedTuple):
    """How a content is made from an older one, of which `base` is the digest."""

    base: str
    operations: list[Copy | Span]


class Revision(NamedTuple):
    """`delta`: None where no older content was known."""

    digest: str
    signature: FileSignature
    delta: Delta | None = None


class _Hashed(NamedTuple):
    """What is kept of one stretch."""

    leaves: bytes
    strong: bytes
    groups: bytes
    anchors: bytes


def nobody(delta: Delta) -> None:
    """Nobody wants to know early."""


def read(
    source: Source,
    known: FileSignature | None = None,
    early: Callable[[Delta], None] = nobody,
) -> Revision:
    """Reads a file from end to end. Blocking.

    Args:
        known: the signature of an older content, made here.
        early: told of the delta while there is still much to hash.
    Raises:
        Changed: what was read does not belong together.
        OSError: it cannot be read.
    """
    if known is not None and not known.leaves:
        known = None  # of nothing, or made by the agent
    operations = list(spans(known, source)) if known is not None else []
    block, seed = block_size(source.size), new_seed()
    alike: set[int] = set()
    if known is not None and known.block // 2 <= block <= known.block * 2:
        block, seed = known.block, known.seed
        alike = _alike(operations, known.size, source.size, _stretch(block))
    stretch = _stretch(block)
    count = -(-source.size // stretch)
    fresh = [number for number in range(count) if number not in alike]
    made = None
    if known is not None:
        made = Delta(delta.digest_of_leaves(known.leaves), operations)
        if len(fresh) * stretch >= MUCH:
            early(made)
    hashed: dict[int, _Hashed] = {}

    def hash_one(number: int) -> None:
        data = source.read_at(number * stretch, stretch)
        hashed[number] = _hash(data, block, seed)

    if len(fresh) < 2 * THREADS:
        for number in fresh:
            hash_one(number)
    else:
        with ThreadPoolExecutor(THREADS) as pool:
            # `list`, so that what a thread raises comes through.
            list(pool.map(hash_one, fresh))
    source.check_unchanged()
    parts = [
        hashed[number] if number in hashed else _taken_over(known, number, stretch)
        for number in range(count)
    ]
    signature = _signature(source.size, block, seed, parts)
    digest = delta.digest_of_leaves(signature.leaves)
    return Revision(digest, signature, made)


def _stretch(block: int) -> int:
    """What is hashed, or taken over, as one: whole leaves and whole groups of blocks."""
    return max(LEAF, block * GROUP)


def _alike(operations: Iterable[Copy | Span], old_size: int, size: int, stretch: int) -> set[int]:
    """The stretches, by number, that are the old content's and at the same place."""
    alike: set[int] = set()
    at = 0
    for operation in operations:
        end = at + operation.length
        if isinstance(operation, Copy) and operation.offset == at:
            number = -(-at // stretch)
            while number * stretch < end:
                until = (number + 1) * stretch
                if min(until, size) > end or min(until, size) != min(until, old_size):
                    break
                alike.add(number)
                number += 1
        at = end
    return alike


def _hash(data: bytes, block: int, seed: int) -> _Hashed:
    view = memoryview(data)  # slices of the bytes themselves would be a copy of everything
    leaves = b"".join(delta.leaf_digest(view[at : at + LEAF]) for at in range(0, len(data), LEAF))
    signer = Signer(len(data), block=block, seed=seed)
    signer.update(data)
    signed = signer.finish()
    return _Hashed(leaves, signed.strong, signed.groups, signed.anchors)


def _taken_over(known: FileSignature | None, number: int, stretch: int) -> _Hashed:
    assert known is not None
    blocks, leaves = stretch // known.block, stretch // LEAF

    def part(of: bytes, each: int, count: int) -> bytes:
        return of[number * count * each : (number + 1) * count * each]

    return _Hashed(
        part(known.leaves, DIGEST_SIZE, leaves),
        part(known.strong, STRONG, blocks),
        part(known.groups, STRONG, blocks // GROUP),
        part(known.anchors, ANCHOR, blocks),
    )


def _signature(size: int, block: int, seed: int, parts: list[_Hashed]) -> FileSignature:
    return FileSignature(
        size,
        block,
        xxh3(seed),
        b"".join(part.strong for part in parts),
        b"".join(part.groups for part in parts),
        b"".join(part.anchors for part in parts),
        seed,
        b"".join(part.leaves for part in parts),
    )
