"""Puts an archive into the remote's cache, if it is not there already."""

from __future__ import annotations

from sidecar.core import frames, messages
from sidecar.core.delta import content_digest
from sidecar.remote.connection import AgentConnection


async def install(agent: AgentConnection, name: str, archive: bytes) -> str:
    """The folder there that holds what is in the archive.

    Args:
        name: what it is, with its version: lower case, digits, `._-`.
        archive: a .tar.gz of files and folders.
    Raises:
        RemoteError: no room there, or the archive holds what it must not.
    """
    digest = content_digest(archive)
    number = 0

    def announce(fresh: int) -> messages.Install:
        nonlocal number
        number = fresh
        return messages.Install(fresh, name, digest, len(archive))

    answer = await agent.request(announce)
    assert isinstance(answer, messages.Installed)
    if answer.path:
        return answer.path
    at = 0
    while len(archive) - at > frames.CHUNK:
        part = archive[at : at + frames.CHUNK]
        await agent.send(messages.InstallPart(number, False, part), frames.BULK)
        at += frames.CHUNK
    answer = await agent.request(
        lambda same: messages.InstallPart(same, True, archive[at:]), frames.BULK, number=number
    )
    assert isinstance(answer, messages.Installed)
    return answer.path
