"""Fixtures for tests of connecting."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from sidecar.questions import Nobody, Person
from sidecar.ssh.dial import dial
from sidecar.ssh.transport import Transport
from tests.servers.box import Box, Options, write_ssh_config
from tests.servers.embedded import EmbeddedBox
from tests.servers.loop_thread import LoopThread

Connect = Callable[..., Awaitable[Transport]]


@pytest_asyncio.fixture
async def connect() -> Any:
    """Dials like `dial`, by name; what was dialled is closed at the end."""
    made: list[Transport] = []

    async def connected(
        name: str = "box", person: Person | None = None, transport: str = "asyncssh", **more: Any
    ) -> Transport:
        made.append(await dial(name, person or Nobody(), transport=transport, **more))
        return made[-1]

    yield connected
    for transport in made:
        await transport.close()


@pytest.fixture
def new_box(
    server_thread: LoopThread, isolated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., EmbeddedBox]]:
    """Makes an embedded box for one test, such as one that wants a password."""
    boxes: list[EmbeddedBox] = []

    def make(**options: Any) -> EmbeddedBox:
        folder = tmp_path / f"box{len(boxes)}"
        folder.mkdir()
        boxes.append(EmbeddedBox(server_thread, folder, **options))
        monkeypatch.setenv("SIDECAR_SSH_CONFIG", str(boxes[-1].ssh_config))
        return boxes[-1]

    yield make
    for box in boxes:
        box.close()


def configure(box: Box, without: tuple[str, ...] = (), **options: Any) -> None:
    """Writes the box's Host anew, with options of the test's own."""
    lines: dict[str, Any] = {**box.options(), **options}
    for name in without:
        del lines[name]
    hosts: dict[str, Options] = {**box.hosts(), box.alias: lines}
    write_ssh_config(box.ssh_config, hosts)
