"""Signatures: what is kept of an old content, so that a new one can be sent as what differs.

Those of contents that we pushed are made here and never cross the wire, so they hold what is fast
to compare and to search for: xxh3-128 of each block and of each group of GROUP blocks, seeded
anew for every signature (so that nobody can prepare two contents that look alike), and each
block's first ANCHOR bytes as they are, by which a block is found again at any offset with no
rolling checksum. What the agent computes has BLAKE2b-128 of each block, and anchors if they are
asked for.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Callable
from functools import partial

import xxhash

from sidecar.core.delta import DIGEST_SIZE, LEAF

STRONG = 16
"""Bytes of a block's checksum."""

ANCHOR = 16

GROUP = 64
"""Blocks that are compared at once where nothing changed: Python's calls cost more than the
hashing of a block."""

MIN_BLOCK, MAX_BLOCK = 1 << 10, 1 << 16

_HEADER = struct.Struct(">4sQIQ")
_MAGIC = b"SCS2"


def block_size(size: int) -> int:
    """The block size for a content: the power of two next to its square root, from 1 to 64 KiB.

    An edit costs about one block of new bytes, the signature 32 bytes a block: the square root
    keeps the larger of the two small (256 MiB: 16 KiB blocks, 512 KiB of signature). Below 1 KiB
    the packet costs more than the block, above 64 KiB a signature hardly matters any more.
    """
    block = MIN_BLOCK
    while block < MAX_BLOCK and 2 * block * block <= size:
        block *= 2
    return block


class FileSignature:
    """What is known of an old content.

    `strong`: STRONG bytes for each block, the last of which may be short. `groups`: the same for
    each whole group of GROUP whole blocks. `anchors`: ANCHOR bytes for each whole block. Where the
    agent made the signature, `groups` is empty, and `anchors` too if they were not asked for.
    `leaves`: the digests of the content's leaves (core.delta), empty where they are not known.
    """

    def __init__(
        self,
        size: int,
        block: int,
        checksum: Callable[[bytes | memoryview], bytes],
        strong: bytes,
        groups: bytes = b"",
        anchors: bytes = b"",
        seed: int = 0,
        leaves: bytes = b"",
    ) -> None:
        self.size, self.block, self.checksum = size, block, checksum
        self.strong, self.groups, self.anchors, self.seed = strong, groups, anchors, seed
        self.leaves = leaves
        self.whole = size // block
        """How many blocks are not short."""
        self.count = -(-size // block)

    def to_bytes(self) -> bytes:
        """The signature for keeping; only of those that were made here."""
        head = _HEADER.pack(_MAGIC, self.size, self.block, self.seed)
        body = head + self.strong + self.groups + self.anchors + self.leaves
        return body + xxhash.xxh3_128_digest(body)

    @classmethod
    def from_bytes(cls, data: bytes) -> FileSignature:
        """The reverse of `to_bytes`.

        Raises:
            ValueError: it is damaged, or of another version.
        """
        body, check = data[:-STRONG], data[-STRONG:]
        if len(body) < _HEADER.size or xxhash.xxh3_128_digest(body) != check:
            raise ValueError("a signature is damaged")
        magic, size, block, seed = _HEADER.unpack_from(body)
        if magic != _MAGIC or block < ANCHOR:
            raise ValueError("a signature of another version")
        count, whole = -(-size // block), size // block
        strong_end = _HEADER.size + STRONG * count
        groups_end = strong_end + STRONG * (whole // GROUP)
        anchors_end = groups_end + ANCHOR * whole
        if len(body) - anchors_end not in (0, DIGEST_SIZE * -(-size // LEAF)):
            raise ValueError("a signature has a wrong length")
        return cls(
            size,
            block,
            xxh3(seed),
            body[_HEADER.size : strong_end],
            body[strong_end:groups_end],
            body[groups_end:anchors_end],
            seed,
            body[anchors_end:],
        )


def remote_signature(
    size: int, block: int, checksums: bytes, *, anchors: bool = False
) -> FileSignature:
    """The signature of a file there, from what the agent told.

    Args:
        checksums: BLAKE2b-128 of each block, one behind the other.
        anchors: behind each whole block's checksum stand its first ANCHOR bytes, as
            `messages.Signature` with `anchors=ANCHOR` asks for.
    Raises:
        ValueError: they are not as many as a file of that size has blocks.
    """
    count, whole = (-(-size // block), size // block) if block >= 1 else (-1, -1)
    if anchors and block < ANCHOR:
        raise ValueError("blocks that are shorter than their anchors")
    if len(checksums) != STRONG * count + (ANCHOR * whole if anchors else 0):
        raise ValueError("the remote's signature has a wrong length")
    if not anchors:
        return FileSignature(size, block, _blake2b, checksums)
    step = STRONG + ANCHOR
    starts = range(0, len(checksums), step)
    strong = b"".join(checksums[at : at + STRONG] for at in starts)
    heads = b"".join(checksums[at + STRONG : at + step] for at in starts)
    return FileSignature(size, block, _blake2b, strong, anchors=heads)


class Signer:
    """Makes a signature while a content is read.

    Args:
        size: of the whole content; what is fed must be just as much.
        block: at least ANCHOR; by default what `block_size` says.
        seed: of the signature that this one is to be a part of; by default a new one.
    """

    def __init__(self, size: int, *, block: int = 0, seed: int | None = None) -> None:
        self._size, self._block = size, block or block_size(size)
        if self._block < ANCHOR:
            raise ValueError(f"blocks of {self._block} bytes are too small to be found again")
        self._seed = new_seed() if seed is None else seed
        self._checksum = xxh3(self._seed)
        self._strong: list[bytes] = []
        self._groups: list[bytes] = []
        self._anchors: list[bytes] = []
        self._group = xxhash.xxh3_128(seed=self._seed)
        self._rest = b""
        self._fed = 0

    def update(self, data: bytes) -> None:
        """The next bytes, in pieces of any size; large ones are faster."""
        self._fed += len(data)
        block, at = self._block, 0
        if self._rest:
            at = block - len(self._rest)
            self._rest += data[:at]
            if len(self._rest) < block:
                return
            self._whole_block(memoryview(self._rest))
            self._rest = b""
        view = memoryview(data)
        while at + block <= len(view):
            self._whole_block(view[at : at + block])
            at += block
        self._rest = bytes(view[at:])

    def _whole_block(self, block: memoryview) -> None:
        self._strong.append(self._checksum(block))
        self._anchors.append(bytes(block[:ANCHOR]))
        self._group.update(block)
        if len(self._strong) % GROUP == 0:
            self._groups.append(self._group.digest())
            self._group.reset()

    def finish(self) -> FileSignature:
        """The signature.

        Raises:
            ValueError: not as much was fed as was announced.
        """
        if self._fed != self._size:
            raise ValueError(f"{self._fed} bytes were signed instead of {self._size}")
        if self._rest:
            self._strong.append(self._checksum(self._rest))
        return FileSignature(
            self._size,
            self._block,
            self._checksum,
            b"".join(self._strong),
            b"".join(self._groups),
            b"".join(self._anchors),
            self._seed,
        )


def new_seed() -> int:
    return int.from_bytes(os.urandom(8), "big")


def xxh3(seed: int) -> Callable[[bytes | memoryview], bytes]:
    return partial(xxhash.xxh3_128_digest, seed=seed)


def _blake2b(data: bytes | memoryview) -> bytes:
    return hashlib.blake2b(data, digest_size=STRONG).digest()
