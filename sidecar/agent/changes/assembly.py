"""A file's new content, put together from the stream of a Put while it arrives.

The stream comes from the other side and may be anything: what it unfolds to, and what it copies,
is bounded by the size that was announced; a stream that goes beyond is refused at once.
"""

import os
import zlib
from typing import Any

from sidecar.agent.changes.copying import copy_range, write
from sidecar.agent.failure import Refusal
from sidecar.core import delta

VERIFY_LIMIT = 16 << 20
"""Results of deltas are read again and compared with the announced digest up to this size, which
takes 30 ms (0.5 GB/s on a small virtual machine). Above, what vouches for them is that the old
file's identity is the same before and after the copy, and that the laptop knows that file's
content. Whole contents are always compared: their digest is computed while they arrive."""

_PIECE = 256 << 10
_SLACK = 64 << 10
_HOLE = bytes(_PIECE)


class Assembly:
    """One stream, fed in pieces.

    Args:
        target: descriptor of the new file.
        old: descriptor of the old content, -1 without one.
        old_size: bytes of it that may be copied.
        size: announced size of the result.
        codec: of the stream: "" or "zlib".
        start: bytes that the file has already, whole leaves; the stream goes on behind them.
        leaves: their digests.
    """

    def __init__(
        self,
        target: int,
        old: int,
        old_size: int,
        size: int,
        codec: str,
        start: int = 0,
        leaves: bytes = b"",
    ) -> None:
        if codec not in ("", "zlib"):
            raise Refusal("damaged", "the codec %r is not known" % codec)
        self._target, self._old, self._old_size, self._size = target, old, old_size, size
        self._unzip: Any = zlib.decompressobj() if codec else None
        self._operations = delta.OperationDecoder()
        self._digest = delta.ContentDigest(leaves) if old < 0 else None
        self._written = start
        # An operation is 20 bytes at most and stands for one byte at least; real ones for blocks.
        self._budget = 2 * size + _SLACK

    def feed(self, data: bytes) -> None:
        """Raises:
        Refusal: "damaged": no stream of operations, or more than was announced; "differs": the
            old content ends too early.
        OSError: the content cannot be written.
        """
        if self._unzip is None:
            self._take(data)
            return
        piece = b""
        try:
            while data or len(piece) == _PIECE:
                piece = self._unzip.decompress(data, _PIECE)
                self._take(piece)
                data = self._unzip.unconsumed_tail
                if self._unzip.unused_data:
                    raise Refusal("damaged", "bytes come behind the end of the stream")
        except zlib.error as error:
            raise Refusal("damaged", "the stream cannot be unfolded: %s" % error) from None

    def finish(self, digest: str) -> None:
        """The stream is over: the content is whole and is what was announced.

        Raises:
            Refusal, OSError: as `feed`.
        """
        if self._unzip is not None and not self._unzip.eof:
            raise Refusal("damaged", "the stream ends too early")
        try:
            self._operations.finish()
        except delta.DeltaError as error:
            raise Refusal("damaged", str(error)) from None
        if self._written != self._size:
            raise Refusal(
                "damaged", "%d bytes came, %d were announced" % (self._written, self._size)
            )
        if os.fstat(self._target).st_size < self._size:  # it ends with a hole
            os.ftruncate(self._target, self._size)
        whole = self._digest
        if whole is None and self._size <= VERIFY_LIMIT:
            whole = delta.ContentDigest()
            for at in range(0, self._size, delta.LEAF):
                whole.update(os.pread(self._target, delta.LEAF, at))
        if digest and whole is not None and whole.hexdigest() != digest:
            raise Refusal("damaged", "the content is not the one that was announced")
        # What a network file system could not store is told when a descriptor is closed.
        os.close(os.dup(self._target))

    def _take(self, stream: bytes) -> None:
        self._budget -= len(stream)
        if self._budget < 0:
            raise Refusal("damaged", "the stream is longer than the announced size allows")
        try:
            operations = self._operations.feed(stream)
        except delta.DeltaError as error:
            raise Refusal("damaged", str(error)) from None
        for operation in operations:
            if isinstance(operation, delta.Copy):
                self._copy(operation)
            elif isinstance(operation, delta.Zeros):
                self._leave_out(operation.length)
            else:
                self._room(len(operation.data))
                write(self._target, operation.data, self._written)
                if self._digest is not None:
                    self._digest.update(operation.data)
                self._written += len(operation.data)

    def _copy(self, copy: delta.Copy) -> None:
        if self._old < 0 or copy.offset + copy.length > self._old_size:
            raise Refusal("damaged", "a copy of bytes that the old content does not have")
        self._room(copy.length)
        copy_range(self._old, self._target, copy.offset, copy.length, self._written)
        self._written += copy.length

    def _leave_out(self, length: int) -> None:
        """Zeros are not written: what was never written reads as such."""
        self._room(length)
        self._written += length
        while self._digest is not None and length:
            piece = min(length, len(_HOLE))
            self._digest.update(_HOLE[:piece])
            length -= piece

    def _room(self, length: int) -> None:
        if self._written + length > self._size:
            raise Refusal("damaged", "more bytes come than the %d announced" % self._size)
