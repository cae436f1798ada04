"""Fetching: a file or link of the remote's, whole, as it was seen there.

Bytes go straight to a file of ours; what does not fit what was announced is not taken.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import BinaryIO

from sidecar.core import delta, messages
from sidecar.core.identity import Identity
from sidecar.remote.connection import AgentConnection
from sidecar.sync.disk.local_files import Changed


async def fetch(
    agent: AgentConnection,
    number: int,
    path: str,
    expected: Identity,
    into: BinaryIO,
    arrived: Callable[[int], None] = lambda size: None,
) -> str:
    """Writes a remote file's content (of a link: its target) into a file.

    Args:
        number: of the root.
        expected: what was found there.
        arrived: told the size of each part.
    Returns:
        The content's digest.
    Raises:
        Changed: it is not that any more, or became so meanwhile.
        RemoteError: it cannot be read there.
        OSError: it cannot be written here.
        Disconnected: the connection went away.
    """
    digest, size = delta.ContentDigest(), 0
    ask = agent.parts(lambda id: messages.Fetch(id, number, path))
    async with contextlib.aclosing(ask) as parts:
        async for part in parts:
            assert isinstance(part, messages.FetchPart)
            size += len(part.body)
            if size > expected.size:
                raise Changed("it became larger there while it was fetched")
            into.write(part.body)
            digest.update(part.body)
            arrived(len(part.body))
            if part.last and part.identity != expected:
                raise Changed("it was changed there while it was fetched")
    if size != expected.size:
        raise Changed("it became shorter there while it was fetched")
    return digest.hexdigest()
