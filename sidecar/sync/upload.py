"""Uploads: large files on their way, read and sent in pieces while saves go past them.

Each is first matched against what the remote has. A delta that turns out small goes out with the
saves. Else the file waits until it is the only one that is streamed, and goes on BULK, where the
sender gives it what the line has left. Nothing is held in memory but some hundred kilobytes.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from sidecar.core import delta, frames, messages
from sidecar.core.messages import Expect
from sidecar.errors import SidecarError
from sidecar.sync import local_files
from sidecar.sync.change import Change
from sidecar.sync.content import Content
from sidecar.sync.matcher import Span, spans
from sidecar.sync.revision import Delta
from sidecar.sync.signature import FileSignature

log = logging.getLogger(__name__)

AT_ONCE = 64 * 1024
"""What a change may weigh on the wire to go out with the saves. At 50 Mbit/s: 10 ms."""

MATCHED_AT_ONCE = 2
"""Files that are matched side by side; matching holds the GIL for most of its time."""

SAMPLE = 32 * 1024
"""Compression is tried on this much of a file; it is used where it takes off a tenth."""

PIECE = 256 * 1024
"""A literal is at most so long; longer ones come in several."""

Send = Callable[[Change, messages.Message, int], Awaitable[None]]
"""Hands a message of a change to the connection, in a lane."""

Compose = Callable[[Change, Content, Expect], messages.Put]
"""The Put that announces a content, with no part of it yet."""


Basis = Delta | FileSignature | None
"""What a delta is made from: itself, or the signature of what the remote has. None: the whole
content is sent."""

FindBasis = Callable[[], Awaitable[Basis]]


class Uploads:
    """The uploads of one root over one connection."""

    def __init__(self, root: Path, send: Send, compose: Compose) -> None:
        self._root, self._send, self._compose = root, send, compose
        self._matching = asyncio.Semaphore(MATCHED_AT_ONCE)
        self._streaming = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(
        self,
        change: Change,
        content: Content,
        expect: Expect,
        basis: FindBasis,
    ) -> None:
        """Starts an upload; its change will be answered, by Refused "aborted" if the file changes
        while it is read."""
        task = asyncio.create_task(
            self._run(change, content, expect, basis), name=f"upload {change.path}"
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """The connection is gone."""
        for task in self._tasks:
            task.cancel()

    async def _run(
        self,
        change: Change,
        content: Content,
        expect: Expect,
        basis: FindBasis,
    ) -> None:
        upload = _Upload(self._root, self._send, change, self._compose(change, content, expect))
        try:
            try:
                known = await basis()
                async with self._matching:
                    small = await upload.small(content, known)
                if small is not None:
                    await self._send(change, small, frames.SAVES)
                    return
                async with self._streaming:
                    await upload.stream(content, known)
            except (local_files.Changed, OSError) as error:
                change.taken_back = True
                await upload.abort(str(error))
            except SidecarError:
                raise
            except Exception:
                log.exception("the upload of %s failed", change.path)
                await upload.abort("an error of the sidecar's own")
        except SidecarError:
            pass  # the link is over: what was on its way is open again


class _Upload:
    def __init__(self, root: Path, send: Send, change: Change, put: messages.Put) -> None:
        self._root, self._send, self._change, self._put = root, send, change, put
        self._announced = False

    async def small(self, content: Content, basis: Basis) -> messages.Put | None:
        """The whole change in one message, where that is small enough to go with the saves."""
        with local_files.open_source(self._root, self._change.path, content.identity) as source:
            put = self._encoded(source, basis)
            pieces = _pieces(source, basis, put.codec)
            body = await asyncio.to_thread(_gather, pieces, AT_ONCE)
            if len(body) > AT_ONCE:
                return None
            source.check_unchanged()
        return put._replace(last=True, body=body)

    async def stream(self, content: Content, basis: Basis) -> None:
        with local_files.open_source(self._root, self._change.path, content.identity) as source:
            put = self._encoded(source, basis)
            pieces = _pieces(source, basis, put.codec)
            await self._announce(put)
            while data := await asyncio.to_thread(_gather, pieces, 8 * frames.CHUNK):
                for at in range(0, len(data), frames.CHUNK):
                    await self._part(data[at : at + frames.CHUNK])
            source.check_unchanged()
        await self._part(b"", last=True)

    async def abort(self, why: str) -> None:
        """Takes the change back. It is announced first if it was not, for it has its number in
        the order of changes and must be answered."""
        log.info("the upload of %s is taken back: %s", self._change.path, why)
        if not self._announced:
            await self._announce(self._put)
        await self._part(b"", last=True, abort=True)

    def _encoded(self, source: local_files.Source, basis: Basis) -> messages.Put:
        codec = "zlib" if _compressible(source.read_at(0, SAMPLE)) else ""
        return self._put._replace(delta=basis is not None, codec=codec)

    async def _announce(self, put: messages.Put) -> None:
        self._announced = True
        await self._send(self._change, put, frames.BULK)

    async def _part(self, body: bytes, *, last: bool = False, abort: bool = False) -> None:
        part = messages.PutPart(self._change.seq, self._put.root, last, abort, body)
        await self._send(self._change, part, frames.BULK)


def _pieces(source: local_files.Source, basis: Basis, codec: str) -> Iterator[bytes]:
    """The stream of operations as it goes into frames' bodies, in pieces of any size."""
    squeeze = zlib.compressobj(1) if codec else None
    parts = basis.operations if isinstance(basis, Delta) else spans(basis, source)
    for part in parts:
        for piece in _encoded(part, source):
            yield squeeze.compress(piece) if squeeze else piece
    if squeeze:
        yield squeeze.flush()


def _encoded(part: delta.Copy | Span, source: local_files.Source) -> Iterator[bytes]:
    if isinstance(part, delta.Copy):
        yield delta.encode_copy(*part)
        return
    end = part.offset + part.length
    for at in range(part.offset, end, PIECE):
        yield delta.encode_literal(source.read_at(at, min(PIECE, end - at)))


def _gather(pieces: Iterator[bytes], enough: int) -> bytes:
    """Pieces joined until they are more than `enough`, or over."""
    gathered = bytearray()
    for piece in pieces:
        gathered += piece
        if len(gathered) > enough:
            break
    return bytes(gathered)


def _compressible(sample: bytes) -> bool:
    return len(zlib.compress(sample, 1)) < 0.9 * len(sample)
