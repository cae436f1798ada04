from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from sidecar.core import messages
from sidecar.errors import RemoteError
from sidecar.remote.connection import AgentConnection
from sidecar.remote.install import install
from tests.remote.local_transport import LocalTransport


def archive(content: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        info = tarfile.TarInfo("folder/data")
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return file.getvalue()


async def test_an_archive_is_sent_once_and_found_by_the_next_agent(tmp_path: Path) -> None:
    transport = LocalTransport(tmp_path)
    data = archive(os.urandom(500_000))
    paths = []
    for sent in (True, False):
        agent = await AgentConnection.start(transport, state="~/state")
        await agent.request(messages.Jobs)  # behind the agent's own code
        before = agent.bytes_sent
        paths.append(await install(agent, "thing-1.0", data))
        assert (agent.bytes_sent - before > 400_000) is sent
        await agent.close()
    assert paths[0] == paths[1]
    assert paths[0].startswith(str(tmp_path / "state"))
    await transport.close()


async def test_what_is_no_archive_is_an_error_and_the_link_goes_on(tmp_path: Path) -> None:
    transport = LocalTransport(tmp_path)
    agent = await AgentConnection.start(transport)
    with pytest.raises(RemoteError) as caught:
        await install(agent, "thing-1.0", b"rubbish" * 20_000)
    assert caught.value.code == "install"
    assert await install(agent, "thing-1.0", archive(b"1"))
    await agent.close()
    await transport.close()
