"""Signatures of the contents that we pushed, kept here so that a save needs no question first.

They are filed by the content's digest, so a file that goes back to an earlier content (a branch
switched forth and back) finds its signature again. Lost ones are no harm: the agent is asked.
"""

from __future__ import annotations

import os
from pathlib import Path

from sidecar.sync.signature import FileSignature

KEPT = 256
"""Signatures on disk, the least recently used go first. One is at most 2.5 MB (256 MB file in
16 KiB blocks: 0.5 MB)."""


class SignatureStore:
    """A folder of signatures. Blocking; a signature is read and written in milliseconds."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def get(self, digest: str) -> FileSignature | None:
        path = self._folder / digest
        try:
            signature = FileSignature.from_bytes(path.read_bytes())
            os.utime(path)
        except (OSError, ValueError):
            return None
        return signature

    def put(self, digest: str, signature: FileSignature) -> None:
        """Keeps it. Not being able to is no failure: it only makes a later save dearer."""
        fresh = self._folder / f".{digest}.new"
        try:
            fresh.write_bytes(signature.to_bytes())
            os.replace(fresh, self._folder / digest)
            self._trim()
        except OSError:
            fresh.unlink(missing_ok=True)

    def _trim(self) -> None:
        kept = sorted(self._folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        for path in kept[:-KEPT]:
            path.unlink(missing_ok=True)
