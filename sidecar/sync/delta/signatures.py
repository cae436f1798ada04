"""Signatures of the contents that we pushed, kept here so that a save needs no question first.

They are filed by the content's digest, so a file that goes back to an earlier content (a branch
switched forth and back) finds its signature again. Lost ones are no harm: the agent is asked.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sidecar.sync.delta.signature import FileSignature

KEPT = 256
"""Signatures on disk, the least recently used go first. One is 0.5 MB for a file of 256 MB."""

MOST_BYTES = 256 << 20
"""Bytes of them on disk. A file of 5 GB has 2.6 MB."""

TRIMMED = 32
"""Writes, where so many wait, between two looks at which ones go: a look at all after each of a
first sync's 130 took 0.2 s, beside the threads that read and compress."""

IN_MEMORY = 8
"""Signatures at hand: of the files that are being edited."""


class SignatureStore:
    """A folder of signatures. For any thread; `get` reads a file where it is not at hand, `put`
    leaves writing to a thread of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._at_hand: OrderedDict[str, FileSignature] = OrderedDict()
        self._on_their_way: dict[str, tuple[FileSignature, int]] = {}
        self._unwritten = 0
        self._writer = ThreadPoolExecutor(1, "signatures")

    def close(self) -> None:
        """What was put is on the disk when this returns."""
        self._writer.shutdown()

    def get(self, digest: str) -> FileSignature | None:
        with self._lock:
            if digest in self._on_their_way:
                return self._on_their_way[digest][0]
            if digest in self._at_hand:
                self._at_hand.move_to_end(digest)
                return self._at_hand[digest]
        path = self._folder / digest
        try:
            signature = FileSignature.from_bytes(path.read_bytes())
            os.utime(path)
        except (OSError, ValueError):
            return None
        self._remember(digest, signature)
        return signature

    def hold(self, digest: str, signature: FileSignature) -> None:
        """Has it at hand while a content is on its way; `keep` or `drop` follows for each."""
        with self._lock:
            _, held = self._on_their_way.get(digest, (signature, 0))
            self._on_their_way[digest] = (signature, held + 1)

    def keep(self, digest: str) -> None:
        """The content that `hold` was called for is there."""
        signature = self._let_go(digest)
        if signature is not None:
            self.put(digest, signature)

    def drop(self, digest: str) -> None:
        """It will not be."""
        self._let_go(digest)

    def put(self, digest: str, signature: FileSignature) -> None:
        """Keeps it. Not being able to is no failure: it only makes a later save dearer."""
        self._remember(digest, signature)
        with contextlib.suppress(RuntimeError):  # the store is closed: nobody will ask any more
            with self._lock:
                self._unwritten += 1
            self._writer.submit(self._write, digest, signature)

    def _let_go(self, digest: str) -> FileSignature | None:
        with self._lock:
            if digest not in self._on_their_way:
                return None
            signature, held = self._on_their_way.pop(digest)
            if held > 1:
                self._on_their_way[digest] = (signature, held - 1)
            return signature

    def _remember(self, digest: str, signature: FileSignature) -> None:
        with self._lock:
            self._at_hand[digest] = signature
            self._at_hand.move_to_end(digest)
            if len(self._at_hand) > IN_MEMORY:
                self._at_hand.popitem(last=False)

    def _write(self, digest: str, signature: FileSignature) -> None:
        fresh = self._folder / f".{digest}.new"
        try:
            fresh.write_bytes(signature.to_bytes())
            os.replace(fresh, self._folder / digest)
        except OSError:
            with contextlib.suppress(OSError):
                fresh.unlink(missing_ok=True)
        with self._lock:
            self._unwritten -= 1
            often = self._unwritten % TRIMMED
        if not often:
            with contextlib.suppress(OSError):
                self._trim()

    def _trim(self) -> None:
        with os.scandir(self._folder) as entries:
            found = [(entry.stat(), entry.path) for entry in entries]
        newest_first = sorted(found, key=lambda one: one[0].st_mtime_ns, reverse=True)
        size = 0
        for number, (status, path) in enumerate(newest_first):
            size += status.st_size
            if number >= KEPT or (size > MOST_BYTES and number):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
