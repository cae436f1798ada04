"""Drafts: the delta of a large file, sent before its digest is known (agent/changes/draft.py).

Behind an insertion everything has moved, so that the digest takes 130 ms for 256 MB on two cores,
and the copy there as long. Told early, both go on at the same time.
"""

from __future__ import annotations

from typing import NamedTuple

from sidecar.core import messages
from sidecar.core.identity import Identity
from sidecar.sync.delta import compression
from sidecar.sync.delta.encoder import Encoder
from sidecar.sync.delta.matcher import Span
from sidecar.sync.delta.revision import Delta
from sidecar.sync.disk.local_files import Source

MOST = 32 * 1024
"""New bytes that a draft may carry. It goes out with the saves, and what is larger is bound by the
line, where an early beginning gains little."""


class Draft(NamedTuple):
    """`identity`: the file here, as it was read; `old`: what is there, with the digest `base`."""

    identity: Identity
    old: Identity
    base: str
    body: bytes

    @classmethod
    def of(cls, source: Source, delta: Delta, old: Identity) -> Draft | None:
        """None where it would be too large. Reads the new bytes."""
        fresh = sum(part.length for part in delta.operations if isinstance(part, Span))
        if fresh > MOST:
            return None
        body = Encoder(source, delta.operations, compression.BEST).take(MOST + MOST)
        return cls(source.identity, old, delta.base, body) if len(body) <= MOST else None

    def message(self, root: int, path: str) -> messages.Draft:
        executable = self.identity.executable
        return messages.Draft(
            root, path, self.old, self.identity.size, executable, "zlib", self.body
        )

    def is_of(self, put: messages.Put, identity: Identity, base: str) -> bool:
        """Whether it is of that content, and expects what the Put does."""
        mine = (self.identity, self.old, self.base)
        return mine == (identity, put.expect.identity, base) and not put.expect.seq
