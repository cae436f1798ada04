"""What is in a root's folders and files: answers to questions, which change nothing."""

import os
import stat
from typing import Callable, Iterator, List, Optional, Sequence, Tuple

from sidecar.agent.failure import Failure, Refusal
from sidecar.agent.roots.folder import OURS, decode, encode
from sidecar.agent.roots.managed import look_up
from sidecar.agent.roots.root import DIRECTORY, Descriptor, Root, parts_of
from sidecar.core import delta, frames, messages, paths
from sidecar.core import identity as identities
from sidecar.core.blake2 import blake2b
from sidecar.core.identity import Entry, Identity

Send = Callable[[messages.Message, int], None]

MOST_DIGESTS = 16384
"""Digests in one answer: 700 KB of a frame's 1 MiB."""

SMALLEST_BLOCK, LARGEST_BLOCK = 512, 64 << 20

MOST_ANCHOR = 64
"""Bytes of a block that travel beside its checksum."""

MOST_DEPTH = 128
"""How deep a listing goes, each level an open descriptor."""

ATTEMPTS = 3
"""How often a file that changes while it is read is begun again."""


class Content:
    """Answers for one root. `send` gives messages to the link."""

    def __init__(self, root: Root, send: Send) -> None:
        self._root, self._send = root, send

    def digests(self, ask: messages.Digests) -> None:
        if len(ask.paths) > MOST_DIGESTS:
            raise Failure(
                "path", "%d digests asked at once" % len(ask.paths), "at most %d" % MOST_DIGESTS
            )
        found = [digest_at(self._root, paths.check(path)) for path in ask.paths]
        digests = [digest for digest, _ in found]
        self._send(messages.Digested(ask.id, digests), frames.CONTROL)

    def signature(self, ask: messages.Signature) -> None:
        if not SMALLEST_BLOCK <= ask.block <= LARGEST_BLOCK:
            raise Failure("path", "blocks of %d bytes are not possible" % ask.block)
        if not 0 <= ask.anchors <= MOST_ANCHOR:
            raise Failure("path", "anchors of %d bytes are not possible" % ask.anchors)
        file = self._open(ask.path)
        before = identities.from_stat(os.fstat(file.number))
        sums = bytearray()
        for data in _blocks(file.number, ask.block):
            sums += blake2b(data, digest_size=16).digest()
            if ask.anchors and len(data) == ask.block:
                sums += data[: ask.anchors]
            if len(sums) >= frames.CHUNK:
                part = messages.SignaturePart(ask.id, False, None, bytes(sums))
                self._send(part, frames.BULK)
                sums.clear()
        identity = self._unchanged(ask.path, file, before)
        self._send(messages.SignaturePart(ask.id, True, identity, bytes(sums)), frames.BULK)

    def fetch(self, ask: messages.Fetch, cancelled: Callable[[], bool] = lambda: False) -> None:
        if ask.offset < 0 or ask.length < -1:
            raise Failure("path", "bytes %d, %d of a file" % (ask.offset, ask.length))
        parts = paths.check(ask.path)
        status = self._root.lstat(parts)
        if status is not None and stat.S_ISLNK(status.st_mode):
            target = _link_target(self._root, parts)
            end = len(target) if ask.length < 0 else ask.offset + ask.length
            identity = identities.from_stat(status)
            answer = messages.FetchPart(ask.id, True, identity, target[ask.offset : end])
            self._send(answer, frames.BULK)
            return
        file = self._open(ask.path)
        before = identities.from_stat(os.fstat(file.number))
        at, left = ask.offset, before.size if ask.length < 0 else ask.length
        while True:
            data = os.pread(file.number, min(left, frames.CHUNK), at)
            at, left = at + len(data), left - len(data)
            if not data or not left or at >= before.size:
                break
            if cancelled():
                raise Failure("cancelled", "nobody wants %s any more" % ask.path)
            self._send(messages.FetchPart(ask.id, False, None, data), frames.BULK)
        identity_after = self._unchanged(ask.path, file, before)
        self._send(messages.FetchPart(ask.id, True, identity_after, data), frames.BULK)

    def lookup(self, ask: messages.Lookup) -> None:
        for path in ask.paths:
            paths.check(path)
        self._answer(
            ask.id, ((path, look_up(self._root, path)) for path in ask.paths), lambda: False
        )

    def list(self, ask: messages.List_) -> None:
        listing = Listing(self._root, ask)
        self._answer(ask.id, listing.entries(), lambda: listing.truncated)

    def _answer(self, id: int, entries: Iterator[Entry], truncated: Callable[[], bool]) -> None:
        for last, packed in identities.pack_parts(entries):
            answer = messages.Listed(id, last, last and truncated(), packed)
            self._send(answer, frames.CONTROL)

    def _open(self, path: str) -> Descriptor:
        return Descriptor(self._root.open_file(paths.check(path)))

    def _unchanged(self, path: str, file: Descriptor, before: Identity) -> Optional[Identity]:
        """The identity, if the file still is the one at the path, and is as it was."""
        after = identities.from_stat(os.fstat(file.number))
        return before if after == before == look_up(self._root, path) else None


class Listing:
    """What is below a folder, breadth first by level of depth asked for."""

    def __init__(self, root: Root, ask: messages.List_) -> None:
        self._root, self._ask = root, ask
        self._prune = frozenset(encode(name) for name in ask.prune)
        self._left = max(0, ask.limit)
        self.truncated = False

    def entries(self) -> Iterator[Entry]:
        parts = parts_of(self._ask.path)
        with self._root.folder(parts) as folder:
            top = Descriptor(os.open(b".", DIRECTORY, dir_fd=folder))
        device = os.fstat(top.number).st_dev
        prefix = self._ask.path + "/" if self._ask.path else ""
        yield from self._below(top, prefix, min(self._ask.depth, MOST_DEPTH), device)

    def _below(self, folder: Descriptor, prefix: str, depth: int, device: int) -> Iterator[Entry]:
        for name in sorted(os.fsencode(name) for name in os.listdir(folder.number)):
            if not prefix and name == OURS:
                continue
            try:
                status = os.stat(name, dir_fd=folder.number, follow_symlinks=False)
            except FileNotFoundError:
                continue  # gone since it was listed
            if not self._left:
                self.truncated = True
                return
            self._left -= 1
            path = prefix + decode(name)
            yield path, identities.from_stat(status)
            enter = stat.S_ISDIR(status.st_mode) and depth > 1 and name not in self._prune
            if not enter or status.st_dev != device:
                continue
            try:
                inner = Descriptor(os.open(name, DIRECTORY, dir_fd=folder.number))
            except OSError:
                continue  # not readable for us, or no folder any more: told, not entered
            yield from self._below(inner, path + "/", depth - 1, device)
            if self.truncated:
                return


def digest_at(root: Root, parts: Sequence[str]) -> Tuple[str, Optional[Identity]]:
    """The content digest of a file or link, and the identity under which it has that content;
    ("", None) where there is none, or it keeps changing while it is read."""
    for _ in range(ATTEMPTS):
        try:
            status = root.lstat(parts)
            if status is None:
                return "", None
            before = identities.from_stat(status)
            if before.kind == identities.SYMLINK:
                digest = delta.content_digest(_link_target(root, parts))
            elif before.kind == identities.FILE:
                digest = _digest_of(Descriptor(root.open_file(parts)))
            else:
                return "", None
            status = root.lstat(parts)
        except (OSError, Refusal):
            return "", None
        if status is not None and identities.from_stat(status) == before:
            return digest, before
    return "", None


def _digest_of(file: Descriptor) -> str:
    digest = delta.ContentDigest()
    for data in _blocks(file.number, delta.LEAF):
        digest.update(data)
    return digest.hexdigest()


def _link_target(root: Root, parts: Sequence[str]) -> bytes:
    with root.folder(parts[:-1]) as folder:
        return os.readlink(encode(parts[-1]), dir_fd=folder)


def _blocks(file: int, size: int) -> Iterator[bytes]:
    """The file in blocks of that size, the last one shorter, up to where it ended at first: one
    that grows while it is read does not keep us."""
    end = os.fstat(file).st_size
    at = 0
    while at < end:
        data = _read_full(file, min(size, end - at), at)
        if not data:
            return
        yield data
        at += len(data)


def _read_full(file: int, size: int, at: int) -> bytes:
    """That many bytes; less only at the end. One read is at most 2 GiB, and may be cut short."""
    pieces: List[bytes] = []
    while size:
        data = os.pread(file, size, at)
        if not data:
            break
        pieces.append(data)
        at, size = at + len(data), size - len(data)
    return b"".join(pieces)
