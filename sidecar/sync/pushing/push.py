"""Changes on their way: sent without a question, in order, answered when they are visible.

A push names what it expects at the path (`messages.Expect`): the version before it that is still
on its way, or what base says is there. So saves of one path are pipelined, and a save costs one
one-way trip. Small content goes on SAVES in one frame; what is large is an upload (upload.py);
many small changes are collected and go as batches, on BULK, so that a save overtakes them.

A change is *agreed* only by its answer: base never runs ahead of what the agent has said.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from sidecar.core import batch, delta, frames, messages, patch, tree
from sidecar.core.identity import FILE, Identity
from sidecar.core.messages import Expect
from sidecar.core.tree import Node
from sidecar.errors import RemoteError, SidecarError
from sidecar.remote.connection import AgentConnection
from sidecar.sync.delta.content import Content
from sidecar.sync.delta.pressing import Pressing
from sidecar.sync.delta.recent import Recent
from sidecar.sync.delta.revision import Delta
from sidecar.sync.delta.signature import FileSignature, block_size, remote_signature
from sidecar.sync.delta.signatures import SignatureStore
from sidecar.sync.disk.local_files import Source
from sidecar.sync.pushing.change import Change
from sidecar.sync.pushing.draft import Draft
from sidecar.sync.pushing.upload import Line, Transfer, Uploads
from sidecar.sync.trees.base import Agreed, Base

ASK_ABOVE = 1 << 20
"""From this size on a lost signature is worth a round trip and the remote's read of the file."""

DRAFTS = 2
"""Drafts that wait for their Put at a time; as many as the agent keeps (agent/changes/draft.py)."""

LEVEL = 4
"""Of zlib, for small content: 12 KB of source take 0.09 ms, half of level 6, for 3 to 9 %
more bytes. That is the least time in all on lines from 50 Mbit/s up."""


WORTH = 0.2
"""What a patch may have of its file: deflate alone leaves about 0.3 of source, and costs the remote
no look at what is there."""

log = logging.getLogger(__name__)


class _Collected(NamedTuple):
    """`before`: the content that it replaces, where that is known."""

    change: Change
    sent: batch.Change
    before: bytes | None


class Pusher:
    """The changes of one root over one connection. Ends with the connection.

    Args:
        refused: called with the agent's refusal after the change was taken off the list.
        agreed: called with the change when it is visible there.
        moved: called when a large content has got further.
    """

    def __init__(
        self,
        agent: AgentConnection,
        number: int,
        root: Path,
        base: Base,
        signatures: SignatureStore,
        recent: Recent,
        *,
        refused: Callable[[Change, messages.Refused], None],
        agreed: Callable[[Change], None],
        moved: Callable[[], None],
    ) -> None:
        self._agent, self._number, self._root = agent, number, root
        self._base, self._signatures, self._recent = base, signatures, recent
        self._refused, self._agreed = refused, agreed
        self._loop = asyncio.get_running_loop()
        self._drafts: dict[str, Draft] = {}
        self._undrafted: set[str] = set()
        """Paths of which a change was refused, and none agreed since: what is there is not what a
        draft, or a patch, would expect."""
        line = Line(
            self._send, self._announcement, self._arrived, lambda: agent.rate, self._drafted
        )
        self._uploads = Uploads(root, line, moved)
        self._flight: dict[int, Change] = {}
        self._collected: list[list[_Collected]] | None = None
        self._batches: set[asyncio.Task[None]] = set()
        self._pressing = Pressing(agent.round_trip)
        self._batch_sent = 0.0
        self.latest: dict[str, Change] = {}
        """The newest change on its way, by path."""
        self.seq = 0
        self.bytes_sent = 0
        self.durable = 0
        self.closed = False
        self._stop = [
            agent.listen(messages.Applied, number, self._on_applied),
            agent.listen(messages.Landed, number, self._on_landed),
            agent.listen(messages.Refused, number, self._on_refused),
            agent.listen(messages.Durable, number, self._on_durable),
        ]

    @property
    def waiting(self) -> int:
        """Changes sent, or being sent, and not answered yet."""
        return len(self._flight)

    @property
    def transfers(self) -> list[Transfer]:
        """Large contents that are on their way, and how far they are."""
        return self._uploads.transfers

    @property
    def lagging(self) -> list[Change]:
        """Large changes, where nothing else is on its way any more."""
        numbers = self._uploads.numbers
        if self._flight.keys() - numbers:
            return []
        return list(self._flight.values())

    def cancel_uploads(self) -> None:
        """Calls off what is being streamed, or waits for that. What arrived of it is kept there."""
        self._uploads.cancel()

    async def settled(self) -> None:
        """Returns when every change so far was answered; at once after `close`. Later ones are
        not waited for: there may always be some."""
        if self._flight:
            await asyncio.wait([change.answered for change in self._flight.values()])

    def close(self) -> None:
        """The connection is gone: what was on its way is open again."""
        self.closed = True
        for stop in self._stop:
            stop()
        self._uploads.close()
        for task in self._batches:
            task.cancel()
        for change in self._flight.values():
            change.answered.cancel()
            if change.node is not None:
                self._signatures.drop(change.node.digest)
        self._flight.clear()
        self.latest.clear()

    # --- changes

    def draft(self, path: str, source: Source, delta: Delta, old: Identity) -> None:
        """Has the agent begin with a large file's new content, of which the digest is still being
        made. Nothing is visible there before the Put. From any thread; returns at once.

        Args:
            old: what is there, of which `delta.base` is the digest.
        """
        made = Draft.of(source, delta, old) if path not in self._undrafted else None
        if made is not None:
            self._loop.call_soon_threadsafe(self._send_draft, path, made)

    def _send_draft(self, path: str, draft: Draft) -> None:
        if self.closed or path in self.latest:
            return
        self._drafts.pop(path, None)
        self._drafts[path] = draft
        if len(self._drafts) > DRAFTS:
            del self._drafts[next(iter(self._drafts))]
        message = draft.message(self._number, path)
        self.bytes_sent += messages.encode(message, frames.SAVES).size
        with contextlib.suppress(SidecarError):  # the link is over, and says so elsewhere
            self._agent.post(message, frames.SAVES)

    def _drafted(self, path: str, put: messages.Put, identity: Identity, base: str) -> bool:
        """Whether the agent has begun with just this content; asked once."""
        draft = self._drafts.pop(path, None)
        return draft is not None and draft.is_of(put, identity, base)

    async def put(self, path: str, content: Content, expect: Expect, old: Node | None) -> Change:
        """Sends a file's new content; a large one goes on after this has returned.

        Args:
            expect: what must be there; by its version, its identity, or nothing.
            old: the content that `expect` stands for, to send a delta against if it is a file's.
        """
        collected = self._collected is not None and content.data is not None
        change = self._begin(path, content, collected=collected)
        before = None
        if old is not None and expect.identity is not None and path not in self._undrafted:
            before = self._recent.get(old.digest)
        if content.data is not None:
            self._recent.add(content.node.digest, content.data)
        if content.revision is not None:
            self._signatures.hold(content.node.digest, content.revision.signature)
        if content.data is None:
            basis = functools.partial(self._basis, path, content, old, expect)
            self._uploads.begin(change, content, expect, basis)
            return change
        if collected:
            self._collect(
                change,
                batch.File(
                    change.seq,
                    self._number,
                    path,
                    expect,
                    self._agent.hello.as_there(content.identity.mtime_ns),
                    content.node.executable,
                    content.node.digest,
                    content.data,
                ),
                before,
            )
            return change
        body, codec = _packed(delta.encode_literal(content.data) if content.data else b"")
        put = self._announcement(change, content, expect)
        put = put._replace(codec=codec, last=True, body=body)
        await self._send(change, put, frames.SAVES)
        return change

    async def link(self, path: str, content: Content, target: str, expect: Expect) -> Change:
        change = self._begin_small(path, content)
        message = messages.MakeLink(change.seq, self._number, path, expect, target)
        await self._send_small(change, message)
        return change

    async def directory(self, path: str, content: Content) -> Change:
        change = self._begin_small(path, content)
        message = messages.MakeDirectory(change.seq, self._number, path)
        await self._send_small(change, message)
        return change

    async def mode(self, path: str, content: Content, expect: Expect) -> Change:
        """The executable bit; the content is the same."""
        change = self._begin_small(path, content)
        message = messages.SetMode(
            change.seq,
            self._number,
            path,
            expect,
            self._agent.hello.as_there(content.identity.mtime_ns),
            content.node.executable,
        )
        await self._send_small(change, message)
        return change

    async def remove(self, path: str, expect: Expect) -> Change:
        change = self._begin_small(path, None)
        message = messages.Remove(change.seq, self._number, path, expect)
        await self._send_small(change, message)
        return change

    # --- batches

    def collect(self) -> None:
        """From here on small changes are kept, to go together. `send_collected` must follow,
        whatever happens: they have their numbers, and the agent's runs wait for each."""
        self._collected = []

    def send_collected(self) -> asyncio.Task[None]:
        """Sends what was collected, and collects no more. The task is over when the last of it is
        queued; nobody who waits for it calls it off."""
        collected, self._collected = self._collected or [], None
        if not self._batches:
            self._batch_sent = time.monotonic()
        task = asyncio.create_task(self._send_batches(collected), name="batches")
        self._batches.add(task)
        task.add_done_callback(self._sent)
        return task

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._batches.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.debug("a batch was not sent: %s", error)  # the link is over, or ends by that

    async def _send_batches(self, collected: list[list[_Collected]]) -> None:
        self._base.intend_many(
            (one.change.path, tree.intent(one.change.node))
            for some in collected
            for one in some
            if one.change.node is not None
        )
        for some in collected:
            level = self._pressing.level
            size, body = await asyncio.to_thread(_pressed, some, level)
            began = time.monotonic()
            first = some[0].change
            head = messages.Batch(
                first.seq,
                self._number,
                len(some),
                size,
                "zlib" if level else "",
                len(body) <= frames.CHUNK,
                body[: frames.CHUNK],
            )
            await self._send(first, head, frames.BULK)
            for at in range(frames.CHUNK, len(body), frames.CHUNK):
                last = at + frames.CHUNK >= len(body)
                piece = body[at : at + frames.CHUNK]
                part = messages.BatchPart(first.seq, self._number, last, piece)
                await self._send(first, part, frames.BULK)
            now = time.monotonic()
            self._pressing.sent(now - began, now - self._batch_sent, self._agent.rate)
            self._batch_sent = now

    def _collect(self, change: Change, sent: batch.Change, before: bytes | None = None) -> None:
        """Into the last batch; if that is full, or another number came between, into a new one."""
        assert self._collected is not None
        last = self._collected[-1] if self._collected else []
        if not last or len(last) == batch.MOST_CHANGES or last[-1].change.seq + 1 != change.seq:
            last = []
            self._collected.append(last)
        last.append(_Collected(change, sent, before))

    # --- sending

    async def _send_small(
        self,
        change: Change,
        message: messages.MakeLink | messages.MakeDirectory | messages.SetMode | messages.Remove,
    ) -> None:
        if self._collected is not None:
            self._collect(change, message)
        else:
            await self._send(change, message, frames.SAVES)

    def _begin_small(self, path: str, content: Content | None) -> Change:
        return self._begin(path, content, collected=self._collected is not None)

    def _begin(self, path: str, content: Content | None, *, collected: bool) -> Change:
        """`collected`: what is intended is written down with the others of its batch."""
        change = Change(self.seq + 1, path, content)
        if change.node is not None and not collected:
            self._base.intend(path, tree.intent(change.node))
        self.seq = change.seq  # from here on it is sent: the agent's runs wait for every number
        self._flight[change.seq] = self.latest[path] = change
        return change

    def _announcement(self, change: Change, content: Content, expect: Expect) -> messages.Put:
        return messages.Put(
            seq=change.seq,
            root=self._number,
            path=change.path,
            expect=expect,
            size=content.identity.size,
            mtime_ns=self._agent.hello.as_there(content.identity.mtime_ns),
            executable=content.node.executable,
            digest=content.node.digest,
            delta=False,
            codec="",
            last=False,
            body=b"",
        )

    async def _send(self, change: Change, message: messages.Message, lane: int) -> None:
        size = messages.encode(message, lane).size
        change.bytes_sent += size
        self.bytes_sent += size
        await self._agent.send(message, lane)

    async def _basis(
        self, path: str, content: Content, old: Node | None, expect: Expect
    ) -> Delta | FileSignature | None:
        """What a delta is made from: the one that was found when the file was read, else the old
        content's signature: ours, or for a large file the remote's word."""
        if old is None or old.kind != FILE or not old.digest:
            return None
        delta = content.revision.delta if content.revision is not None else None
        if delta is not None and delta.base == old.digest:
            return delta
        known = await asyncio.to_thread(self._signatures.get, old.digest)
        if known is not None or expect.identity is None or expect.identity.size < ASK_ABOVE:
            return known
        block = block_size(expect.identity.size)
        checksums = bytearray()
        try:
            ask = self._agent.parts(lambda id: messages.Signature(id, self._number, path, block))
            async for part in ask:
                assert isinstance(part, messages.SignaturePart)
                checksums += part.body
                if part.last and part.identity != expect.identity:
                    return None
        except RemoteError:
            return None  # it cannot be read there: the whole content goes, and is judged there
        return remote_signature(expect.identity.size, block, bytes(checksums))

    async def _arrived(self, change: Change) -> bytes:
        """The digests of what arrived of a content before, when its upload broke off."""
        executable = change.node is not None and change.node.executable
        try:
            answer = await self._agent.request(
                lambda id: messages.Partial(id, self._number, change.path, executable)
            )
        except RemoteError:
            return b""  # it cannot be read there: all is sent
        assert isinstance(answer, messages.PartialLeaves)
        return answer.body

    # --- answers

    def _on_applied(self, message: messages.Message) -> None:
        assert isinstance(message, messages.Applied)
        change = self._answered(message.seq)
        if change is None:
            return
        try:
            if change.node is None:
                self._base.drop(change.path)
            elif message.identity is not None:
                self._base.agree(change.path, Agreed(change.node, change.local, message.identity))
                self._signatures.keep(change.node.digest)
            self._undrafted.discard(change.path)
            newer = self.latest.get(change.path)
            if newer is not None and newer.node is not None and newer.node.digest:
                self._base.intend(change.path, newer.node.digest)
            self._agreed(change)
        finally:  # whatever the disk here says: nobody waits for ever
            change.answered.set_result(True)

    def _on_landed(self, message: messages.Message) -> None:
        """Several at once: base is written once."""
        assert isinstance(message, messages.Landed)
        try:
            landed = batch.decode_landed(message.body)
        except batch.BatchError as error:
            raise messages.MessageError(str(error)) from None  # ends the link
        made = [(change, there) for seq, there in landed if (change := self._answered(seq))]
        try:
            self._base.drop_many(change.path for change, _ in made if change.node is None)
            self._base.agree_many(
                (change.path, Agreed(change.node, change.local, there))
                for change, there in made
                if change.node is not None and there is not None
            )
            again = [newer for change, _ in made if (newer := self.latest.get(change.path))]
            self._base.intend_many(
                (newer.path, newer.node.digest)
                for newer in again
                if newer.node is not None and newer.node.digest
            )
            for change, _ in made:
                self._undrafted.discard(change.path)
                if change.node is not None:
                    self._signatures.keep(change.node.digest)
                self._agreed(change)
        finally:
            for change, _ in made:
                change.answered.set_result(True)

    def _on_refused(self, message: messages.Message) -> None:
        assert isinstance(message, messages.Refused)
        change = self._answered(message.seq)
        if change is not None:
            if change.node is not None:
                self._signatures.drop(change.node.digest)
                self._undrafted.add(change.path)
            try:
                self._refused(change, message)
            finally:
                change.answered.set_result(False)

    def _answered(self, seq: int) -> Change | None:
        change = self._flight.pop(seq, None)
        if change is not None and self.latest.get(change.path) is change:
            del self.latest[change.path]
        return change

    def _on_durable(self, message: messages.Message) -> None:
        assert isinstance(message, messages.Durable)
        self.durable = max(self.durable, message.seq)


def _pressed(collected: Sequence[_Collected], level: int) -> tuple[int, bytes]:
    """A batch's stream as it travels, and how long it is unpacked. Blocking."""
    stream = batch.encode(_patched(one) if level else one.sent for one in collected)
    return len(stream), zlib.compress(stream, level) if level else stream


def _patched(one: _Collected) -> batch.Change:
    """Where the content before is known, what differs from it, if that is little."""
    file, before = one.sent, one.before
    if before is None or not isinstance(file, batch.File):
        return file
    made = patch.make(before, file.content)
    if len(made) > WORTH * len(file.content):
        return file
    return batch.Patch(*file[:-1], len(file.content), made)


def _packed(stream: bytes) -> tuple[bytes, str]:
    """A small stream compressed, where that makes it smaller."""
    if len(stream) > 256:
        packed = zlib.compress(stream, LEVEL)
        if len(packed) < len(stream):
            return packed, "zlib"
    return stream, ""
