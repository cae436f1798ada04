"""A content of the remote's on its way here: whole, by the blocks that we lack, or a log's tail.

What arrives is checked against what was seen there: the file must be the same before and after it
was read, or for a log (same file, only longer, still begins as ours does) have grown meanwhile.
Nothing here becomes visible; pull.py lands it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from sidecar.core import delta, messages
from sidecar.core.identity import Identity
from sidecar.remote.connection import AgentConnection
from sidecar.sync.delta import gaps
from sidecar.sync.delta.gaps import Gap, Have
from sidecar.sync.delta.signature import ANCHOR, block_size, remote_signature
from sidecar.sync.disk import local_files
from sidecar.sync.disk.local_files import Changed

BLOCKS_FROM = 256 << 10
"""Bytes from which on a changed file is fetched by its blocks: below, the signature's round trip
costs more than the content."""

READ = 1 << 20
"""Bytes that are copied or hashed at a time."""

MOST_FETCHED = 0.8
"""Part of a file that is worth fetching in pieces; above, it comes whole."""

CLOSE = 64 << 10
"""Bytes between two gaps that are fetched along: a request each costs more."""

AT_ONCE = 8
"""Gaps that are asked for side by side."""

OVERLAP = 4096
"""Bytes of a log's known end that come again with its tail, to see that it was only added to."""

LONGEST_TAIL = 8 << 20
"""Bytes of a tail, which is held in memory."""

LOGS = (".log", ".out", ".err", ".txt", ".csv", ".tsv", ".jsonl", ".ndjson")
LOG_PARTS = ("tfevents",)
"""Names of files that are added to, and are of use while they grow."""


class Arrived(NamedTuple):
    """`digest`: of the content as it is now here. `remote`: the identity there that it belongs
    to; `whole`: the file still was that after it was read."""

    digest: str
    remote: Identity
    whole: bool


class Tail(NamedTuple):
    data: bytes
    whole: bool


class Incoming:
    """Reads the files of one root over one connection.

    Args:
        arrived: told of the bytes that come.
    """

    def __init__(
        self, agent: AgentConnection, number: int, root: Path, arrived: Callable[[int], None]
    ) -> None:
        self._agent, self._number, self._root = agent, number, root
        self._arrived = arrived

    async def whole(self, path: str, there: Identity, into: BinaryIO) -> Arrived:
        """The content of a file (of a link: its target) as it was when `there` was seen.

        Raises:
            Changed: it is something else by now, and no log that has grown.
            RemoteError: it cannot be read there.
            OSError: it cannot be written here.
        """
        digest = delta.ContentDigest()

        def take(data: bytes) -> None:
            into.write(data)
            digest.update(data)

        found = await self._fetch(path, 0, there.size, take)
        return Arrived(digest.hexdigest(), there, self._is_whole(path, there, found))

    async def tail(self, path: str, there: Identity, known: int) -> Tail | None:
        """What was added to a log of which `known` bytes are here; None where those are not what
        it begins with, or more came than is worth holding.

        Raises:
            Changed: it is another file by now.
            OSError: what is here cannot be read.
        """
        overlap = min(OVERLAP, known)
        length = there.size - known + overlap
        if length - overlap > LONGEST_TAIL:
            return None
        pieces: list[bytes] = []
        found = await self._fetch(path, known - overlap, length, pieces.append)
        data = b"".join(pieces)
        ours = await asyncio.to_thread(self._end_of, path, known, overlap)
        if data[:overlap] != ours:
            return None
        return Tail(data[overlap:], self._is_whole(path, there, found))

    async def blocks(
        self, path: str, there: Identity, here: Identity, into: BinaryIO
    ) -> Arrived | None:
        """The content, of which what is here gives the blocks that did not change. None where
        fetching it whole is as good.

        Raises: as `whole`; Changed also where what is here changed meanwhile.
        """
        block = block_size(there.size)
        checksums = bytearray()
        most = (there.size // block + 1) * (16 + ANCHOR)
        ask = self._agent.parts(
            lambda id: messages.Signature(id, self._number, path, block, ANCHOR)
        )
        async with contextlib.aclosing(ask) as parts:
            async for part in parts:
                assert isinstance(part, messages.SignaturePart)
                checksums += part.body
                self._arrived(len(part.body))
                if len(checksums) > most or (part.last and part.identity != there):
                    raise Changed("it was changed there while it was looked at")
        try:
            signature = remote_signature(there.size, block, bytes(checksums), anchors=True)
        except ValueError as error:
            raise Changed(str(error)) from None
        with local_files.open_source(self._root, path, here) as old:
            plan = _merged(await asyncio.to_thread(gaps.missing, signature, old))
            lacking = [part for part in plan if isinstance(part, Gap)]
            if sum(gap.length for gap in lacking) > MOST_FETCHED * there.size:
                return None
            have = [part for part in plan if isinstance(part, Have)]
            await asyncio.to_thread(_copy, old, have, into)
        busy = asyncio.Semaphore(AT_ONCE)
        await _all(self._fill(path, there, gap, into, busy) for gap in lacking)
        into.flush()
        return Arrived(await asyncio.to_thread(_digest, into), there, True)

    async def _fill(
        self, path: str, there: Identity, gap: Gap, into: BinaryIO, busy: asyncio.Semaphore
    ) -> None:
        at = gap.offset

        def take(data: bytes) -> None:
            nonlocal at
            os.pwrite(into.fileno(), data, at)
            at += len(data)

        async with busy:
            if await self._fetch(path, gap.offset, gap.length, take) != there:
                raise Changed("it was changed there while it was fetched")

    async def _fetch(
        self, path: str, offset: int, length: int, take: Callable[[bytes], None]
    ) -> Identity | None:
        """Gives these bytes to `take`; returns the identity of the file, where it is the same
        before and after."""
        left = length
        ask = self._agent.parts(lambda id: messages.Fetch(id, self._number, path, offset, length))
        async with contextlib.aclosing(ask) as parts:
            async for part in parts:
                assert isinstance(part, messages.FetchPart)
                left -= len(part.body)
                if left < 0:
                    raise Changed("more came than was asked for")
                self._arrived(len(part.body))
                take(part.body)
                if part.last:
                    if left:
                        raise Changed("it became shorter there while it was fetched")
                    return part.identity
        raise Changed("its end never came")

    def _is_whole(self, path: str, there: Identity, found: Identity | None) -> bool:
        if found == there:
            return True
        if not is_log(path):
            raise Changed("it was changed there while it was fetched")
        return False

    def _end_of(self, path: str, known: int, length: int) -> bytes:
        with local_files.open_source(self._root, path) as source:
            return source.read_at(known - length, length)


def is_log(path: str) -> bool:
    """Whether a file is of use while it is still being written, by its name."""
    name = path.rpartition("/")[2].lower()
    return name.endswith(LOGS) or any(part in name for part in LOG_PARTS)


def _merged(plan: list[gaps.Part]) -> list[gaps.Part]:
    """Gaps that lie close to each other as one."""
    merged: list[gaps.Part] = []
    for part in plan:
        if (
            isinstance(part, Gap)
            and len(merged) > 1
            and merged[-1].length <= CLOSE
            and isinstance(merged[-2], Gap)
        ):
            between, before = merged.pop(), merged.pop()
            part = Gap(before.offset, before.length + between.length + part.length)
        merged.append(part)
    return merged


def _copy(old: local_files.Source, have: list[Have], into: BinaryIO) -> None:
    for part in have:
        done = 0
        while done < part.length:
            data = old.read_at(part.place + done, min(READ, part.length - done))
            os.pwrite(into.fileno(), data, part.offset + done)
            done += len(data)
    old.check_unchanged()


def _digest(file: BinaryIO) -> str:
    digest = delta.ContentDigest()
    at = 0
    while data := os.pread(file.fileno(), READ, at):
        digest.update(data)
        at += len(data)
    return digest.hexdigest()


async def _all(waits: Iterable[Coroutine[Any, Any, None]]) -> None:
    """All of these, or the first failure, with the others called off."""
    tasks = [asyncio.create_task(one) for one in waits]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
