"""Uploads: large files on their way, read and sent in pieces while saves go past them.

What a delta is made from is found first. One that turns out small goes out with the saves. Else
the file waits until it is the only one that is streamed, and goes on BULK, where the sender gives
it what the line has left. Nothing is held in memory but some hundred kilobytes.

Where an earlier attempt broke off, the upload goes on behind what arrived: the agent tells the
digests of the leaves that it has, and those that the new content begins with as well are not sent
again. One question a large stream, asked while the delta is looked for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

from sidecar.agent.changes.incoming import RESUMABLE
from sidecar.core import frames, messages
from sidecar.core.delta import DIGEST_SIZE, LEAF, Copy
from sidecar.core.identity import Identity
from sidecar.core.messages import Expect
from sidecar.errors import SidecarError
from sidecar.sync.delta import compression
from sidecar.sync.delta.content import Content
from sidecar.sync.delta.encoder import Encoder
from sidecar.sync.delta.matcher import Span, spans
from sidecar.sync.delta.revision import Delta
from sidecar.sync.delta.signature import FileSignature
from sidecar.sync.disk import local_files
from sidecar.sync.pushing.change import Change

log = logging.getLogger(__name__)

AT_ONCE = 64 * 1024
"""What a change may weigh on the wire to go out with the saves. At 50 Mbit/s: 10 ms."""

MATCHED_AT_ONCE = 2
"""Files that are matched side by side; matching holds the GIL for most of its time."""

TAKEN = 8 * frames.CHUNK
"""Bytes that are made ready at a time, on another thread."""

CANCELLED = "its upload was called off"

Send = Callable[[Change, messages.Message, int], Awaitable[None]]
"""Hands a message of a change to the connection, in a lane."""

Compose = Callable[[Change, Content, Expect], messages.Put]
"""The Put that announces a content, with no part of it yet."""

Basis = Delta | FileSignature | None
"""What a delta is made from: itself, or the signature of what the remote has. None: the whole
content is sent."""

FindBasis = Callable[[], Awaitable[Basis]]

Arrived = Callable[[Change], Awaitable[bytes]]
"""Asks the agent for the digests of the leaves of a change's content that have arrived before."""


class Line(NamedTuple):
    """What uploads need of a connection.

    Attributes:
        rate: bytes a second that it was seen to carry; 0 where that is not known.
        drafted: whether a Put of a path, with that content and what it is made from, has been
            begun there already.
    """

    send: Send
    compose: Compose
    arrived: Arrived
    rate: Callable[[], float]
    drafted: Callable[[str, messages.Put, Identity, str], bool]


class Transfer(NamedTuple):
    """How far a content is that is being streamed, in bytes of it."""

    path: str
    done: int
    total: int


class Uploads:
    """The uploads of one root over one connection.

    Args:
        moved: told when a transfer has got further.
    """

    def __init__(self, root: Path, line: Line, moved: Callable[[], None]) -> None:
        self._root, self._line, self._moved = root, line, moved
        self._matching = asyncio.Semaphore(MATCHED_AT_ONCE)
        self._streaming = asyncio.Lock()
        self._tasks: dict[asyncio.Task[None], _Upload] = {}
        self._closed = False
        self._streamed: _Upload | None = None

    @property
    def numbers(self) -> set[int]:
        """Of the changes whose content is being sent, or waits for that."""
        return {upload.change.seq for upload in self._tasks.values()}

    @property
    def transfers(self) -> list[Transfer]:
        """What is being streamed now."""
        upload = self._streamed
        return [upload.transfer] if upload is not None else []

    def begin(
        self,
        change: Change,
        content: Content,
        expect: Expect,
        basis: FindBasis,
    ) -> None:
        """Starts an upload; its change will be answered, by Refused "aborted" if the file changes
        while it is read."""
        put = self._line.compose(change, content, expect)
        upload = _Upload(self._root, self._line, change, content, put)
        task = asyncio.create_task(self._run(upload, basis), name=f"upload {change.path}")
        self._tasks[task] = upload
        task.add_done_callback(self._tasks.pop)

    def cancel(self) -> None:
        """Calls off all that has not gone out whole. Each such change is answered by Refused."""
        for task, upload in self._tasks.items():
            if not upload.over:
                upload.change.called_off = True
                task.cancel()

    def close(self) -> None:
        """The connection is gone."""
        self._closed = True
        for task in self._tasks:
            task.cancel()

    async def _run(self, upload: _Upload, basis: FindBasis) -> None:
        change = upload.change
        try:
            try:
                await self._send(upload, basis)
            except (local_files.Changed, OSError) as error:
                change.taken_back = True
                await upload.abort(str(error))
            except asyncio.CancelledError:
                if self._closed or upload.over:
                    raise
                await upload.abort(CANCELLED)
            except SidecarError:
                raise
            except Exception:
                log.exception("the upload of %s failed", change.path)
                await upload.abort("an error of the sidecar's own")
        except SidecarError:
            pass  # the link is over: what was on its way is open again

    async def _send(self, upload: _Upload, basis: FindBasis) -> None:
        async with self._matching:
            await upload.prepare(await basis())
            if await upload.sent_small():
                return
        async with self._streaming:
            self._streamed = upload
            try:
                await upload.stream(self._moved)
            finally:
                self._streamed = None


class _Upload:
    def __init__(
        self, root: Path, line: Line, change: Change, content: Content, put: messages.Put
    ) -> None:
        self._root, self._line, self.change, self._content = root, line, change, content
        self._put = put
        self._parts: Sequence[Copy | Span] = ()
        self._level = 0
        self._base = ""
        self._announced = False
        self.over = False
        """Its last message is on its way, so there is nothing to call off."""
        self.transfer = Transfer(change.path, 0, content.identity.size)

    async def prepare(self, basis: Basis) -> None:
        """Finds the parts that the content is made of, and how they travel."""
        self._put = self._put._replace(delta=basis is not None)
        self._base = basis.base if isinstance(basis, Delta) else ""
        self._parts, self._level = await asyncio.to_thread(self._prepared, basis)

    def _prepared(self, basis: Basis) -> tuple[Sequence[Copy | Span], int]:
        with self._open() as source:
            parts = basis.operations if isinstance(basis, Delta) else [*spans(basis, source)]
            return parts, compression.level(compression.sample(parts, source), self._line.rate())

    async def sent_small(self) -> bool:
        """Sends the whole change in one message, where it is small enough to go with the saves."""
        if self._base and self._line.drafted(
            self.change.path, self._put, self._content.identity, self._base
        ):
            await asyncio.to_thread(self._check_unchanged)
            await self._send_whole(self._put._replace(codec="zlib", last=True, draft=True))
            return True
        fresh = sum(part.length for part in self._parts if isinstance(part, Span))
        level = compression.BEST if fresh <= 8 * AT_ONCE else self._level
        if fresh > AT_ONCE and not level:
            return False
        body = await asyncio.to_thread(self._whole, level)
        if len(body) > AT_ONCE:
            return False
        codec = "zlib" if level else ""
        await self._send_whole(self._put._replace(codec=codec, last=True, body=body))
        return True

    async def _send_whole(self, put: messages.Put) -> None:
        self.over = True
        await self._line.send(self.change, put, frames.SAVES)

    def _check_unchanged(self) -> None:
        with self._open() as source:
            source.check_unchanged()

    def _whole(self, level: int) -> bytes:
        with self._open() as source:
            body = Encoder(source, self._parts, level).take(AT_ONCE)
            source.check_unchanged()
            return body

    async def stream(self, moved: Callable[[], None]) -> None:
        start = 0
        if self._content.identity.size >= RESUMABLE:
            start = self._common(await self._line.arrived(self.change))
        with self._open() as source:
            encoder = Encoder(source, self._parts, self._level, start)
            codec = "zlib" if self._level else ""
            await self._announce(self._put._replace(codec=codec, start=start))
            while data := await _thread_is_done(encoder.take, TAKEN):
                for at in range(0, len(data), frames.CHUNK):
                    await self._part(data[at : at + frames.CHUNK])
                self.transfer = self.transfer._replace(done=encoder.done)
                moved()
            source.check_unchanged()
        self.over = True
        await self._part(b"", last=True)

    def _common(self, arrived: bytes) -> int:
        """How many bytes of what arrived the content begins with, in whole leaves."""
        revision, count = self._content.revision, 0
        ours = revision.signature.leaves if revision is not None else b""
        whole = min(len(arrived) // DIGEST_SIZE, self._content.identity.size // LEAF)
        while count < whole:
            leaf = slice(count * DIGEST_SIZE, (count + 1) * DIGEST_SIZE)
            if arrived[leaf] != ours[leaf]:
                break
            count += 1
        return count * LEAF

    async def abort(self, why: str) -> None:
        """Takes the change back. It is announced first if it was not, for it has its number in
        the order of changes and must be answered."""
        log.info("the upload of %s is taken back: %s", self.change.path, why)
        self.over = True
        if not self._announced:
            await self._announce(self._put)
        await self._part(b"", last=True, abort=True)

    def _open(self) -> AbstractContextManager[local_files.Source]:
        path, identity = self.change.path, self._content.identity
        return local_files.open_source(self._root, path, identity)

    async def _announce(self, put: messages.Put) -> None:
        self._announced = True
        await self._line.send(self.change, put, frames.BULK)

    async def _part(self, body: bytes, *, last: bool = False, abort: bool = False) -> None:
        part = messages.PutPart(self.change.seq, self._put.root, last, abort, body)
        await self._line.send(self.change, part, frames.BULK)


async def _thread_is_done(work: Callable[[int], bytes], argument: int) -> bytes:
    """As `asyncio.to_thread`; who is cancelled meanwhile closes no file that is still read."""
    running = asyncio.ensure_future(asyncio.to_thread(work, argument))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise
