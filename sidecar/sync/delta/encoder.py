"""A content on its way out: the stream of operations (core/delta.py) that `Put` carries.

Read piece by piece while it is sent, so that nothing of it is held in memory but a piece.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence

from sidecar.core import delta
from sidecar.core.delta import Copy
from sidecar.sync.delta.matcher import Span
from sidecar.sync.disk.local_files import Source

PIECE = 64 * 1024
"""A literal is at most so long; longer ones come in several. And so long a run of zeros is told
and not sent."""

_ZEROS = bytes(PIECE)


class Encoder:
    """One content's stream.

    Args:
        parts: what makes it from the content there.
        level: of compression (compression.py); 0: none.
        start: bytes of the content that are there already.

    Attributes:
        done: bytes of the content that are dealt with, whether new or copied.
    """

    def __init__(
        self, source: Source, parts: Sequence[Copy | Span], level: int = 0, start: int = 0
    ) -> None:
        self._squeeze = zlib.compressobj(level) if level else None
        self._source, self.done = source, start
        self._pieces = self._packed(behind(parts, start))
        self._over = False

    def take(self, enough: int) -> bytes:
        """The next bytes, more than `enough` of them as a rule; b"" when it is over. Blocking."""
        gathered = bytearray()
        while not self._over and len(gathered) <= enough:
            piece = next(self._pieces, None)
            if piece is None:
                self._over = True
            else:
                gathered += piece
        return bytes(gathered)

    def _packed(self, parts: Iterable[Copy | Span]) -> Iterator[bytes]:
        squeeze = self._squeeze
        for part in parts:
            for piece, length in self._encoded(part):
                self.done += length
                yield squeeze.compress(piece) if squeeze else piece
        if squeeze:
            yield squeeze.flush()

    def _encoded(self, part: Copy | Span) -> Iterator[tuple[bytes, int]]:
        if isinstance(part, Copy):
            yield delta.encode_copy(*part), part.length
            return
        end = part.offset + part.length
        for at in range(part.offset, end, PIECE):
            data = self._source.read_at(at, min(PIECE, end - at))
            if data == _ZEROS:  # a hole, most often: compared and not compressed, 10 GB/s
                yield delta.encode_zeros(PIECE), PIECE
            else:
                yield delta.encode_literal(data), len(data)


def behind(parts: Iterable[Copy | Span], start: int) -> Iterator[Copy | Span]:
    """The parts of a content from byte `start` on."""
    at = 0
    for part in parts:
        cut = min(max(0, start - at), part.length)
        at += part.length
        if cut < part.length:
            yield type(part)(part.offset + cut, part.length - cut)
