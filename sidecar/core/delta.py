"""Deltas: a file as copies from its old content and new bytes, and the digest of a content.

The stream of operations is what `Put` and `PutPart` carry, before compression::

    0x00 length bytes...     these bytes come next
    0x01 offset length       the old content's bytes [offset, offset + length) come next
    0x02 length              so many zeros come next: a hole, as a rule, and it may stay one

with unsigned LEB128 numbers. Finding the copies is the laptop's work (sync/delta/matcher.py);
applying them needs no more than this module.

Source of the idea: A. Tridgell, P. Mackerras, "The rsync algorithm", TR-CS-96-05, 1996.
"""

from typing import Any, List, NamedTuple, Tuple, Union

from sidecar.core.blake2 import blake2b

LEAF = 1 << 20
"""Content digests are trees of leaves of this size, so that parts can be hashed side by side, and
only touched ones again."""

DIGEST_SIZE = 20

MAX_NUMBER = 1 << 62


class DeltaError(Exception):
    """A stream of operations that cannot be right."""


class Copy(NamedTuple):
    """Bytes [offset, offset + length) of the old content."""

    offset: int
    length: int


class Literal(NamedTuple):
    """New bytes."""

    data: bytes


class Zeros(NamedTuple):
    """New bytes, all of them zero."""

    length: int


Operation = Union[Copy, Literal, Zeros]

_LITERAL, _COPY, _ZEROS = 0, 1, 2


class ContentDigest:
    """Digest of a content, fed in pieces: BLAKE2b over the BLAKE2b digests of its leaves.

    Args:
        leaves: digests of the leaves that it begins with; what is fed comes behind them.
    """

    def __init__(self, leaves: bytes = b"") -> None:
        self._tree: Any = blake2b(leaves, digest_size=DIGEST_SIZE)
        self._leaf: Any = blake2b(digest_size=DIGEST_SIZE)
        self._room = LEAF

    def update(self, data: bytes) -> None:
        view = memoryview(data)
        while len(view) >= self._room:
            self._leaf.update(view[: self._room])
            view = view[self._room :]
            self._tree.update(self._leaf.digest())
            self._leaf, self._room = blake2b(digest_size=DIGEST_SIZE), LEAF
        if len(view):
            self._leaf.update(view)
            self._room -= len(view)

    def hexdigest(self) -> str:
        whole = self._tree.copy()
        if self._room < LEAF:
            whole.update(self._leaf.digest())
        return str(whole.hexdigest())


def leaf_digest(data: Union[bytes, memoryview]) -> bytes:
    return blake2b(data, digest_size=DIGEST_SIZE).digest()


def digest_of_leaves(leaves: bytes) -> str:
    """The digest of a content whose leaves have these digests, one behind the other."""
    return blake2b(leaves, digest_size=DIGEST_SIZE).hexdigest()


def content_digest(data: bytes) -> str:
    """The digest of a content that is in memory, hex. A symbolic link's content is its target's
    bytes."""
    digest = ContentDigest()
    digest.update(data)
    return digest.hexdigest()


def encode_copy(offset: int, length: int) -> bytes:
    return b"\x01" + _number(offset) + _number(length)


def encode_literal(data: bytes) -> bytes:
    return b"\x00" + _number(len(data)) + data


def encode_zeros(length: int) -> bytes:
    return b"\x02" + _number(length)


def _number(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class OperationDecoder:
    """Fed with pieces of a stream, returns operations; a long literal comes in pieces, as they
    arrive, so that memory stays bounded by what is fed."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._literal = 0

    def feed(self, data: bytes) -> List[Operation]:
        """Raises:
        DeltaError: the stream is damaged.
        """
        buffer = self._buffer
        buffer += data
        operations: List[Operation] = []
        at = 0
        while at < len(buffer):
            if self._literal:
                piece = bytes(buffer[at : at + self._literal])
                operations.append(Literal(piece))
                at += len(piece)
                self._literal -= len(piece)
                continue
            kind = buffer[at]
            if kind > _ZEROS:
                raise DeltaError("an operation of unknown kind %d" % kind)
            first, after = self._number(at + 1)
            if after < 0:
                break
            if kind == _LITERAL:
                self._literal, at = first, after
                continue
            if kind == _ZEROS:
                operations.append(Zeros(first))
                at = after
                continue
            length, after = self._number(after)
            if after < 0:
                break
            operations.append(Copy(first, length))
            at = after
        del buffer[:at]
        return operations

    def finish(self) -> None:
        """Raises:
        DeltaError: the stream ended inside an operation.
        """
        if self._buffer or self._literal:
            raise DeltaError("the stream of operations ends in the middle of one")

    def _number(self, at: int) -> Tuple[int, int]:
        """The number at that place and the place behind it, or (0, -1) if it is not whole yet."""
        value = shift = 0
        while at < len(self._buffer):
            byte = self._buffer[at]
            value |= (byte & 0x7F) << shift
            at += 1
            if value > MAX_NUMBER:
                raise DeltaError("a number over 2^62")
            if byte < 0x80:
                return value, at
            shift += 7
            if shift > 63:
                raise DeltaError("a number of more than nine bytes")
        return 0, -1
