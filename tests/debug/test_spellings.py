"""A root on the remote with two names: the configured one, through a link above it, and the real
one (/home → /gpfs). Whichever a program uses, frames and breakpoints are the files here."""

from __future__ import annotations

import asyncio

import pytest

from tests.debug.client import DapClient
from tests.debug.conftest import MODEL
from tests.debug.test_command import end, line
from tests.hub.laptop import Laptop, laptop, nearby
from tests.servers.box import Box

__all__ = ["laptop", "nearby"]

PROGRAM = """\
import sys
sys.path.insert(0, {place!r})
import model
print(model.__file__, model.score(1))
"""


@pytest.mark.parametrize("name", ["home", "gpfs"])
async def test_a_breakpoint_hits_in_a_file_by_either_name(
    nearby: Laptop, embedded: Box, name: str
) -> None:
    (embedded.home / "gpfs").mkdir()
    (embedded.home / "home").symlink_to(embedded.home / "gpfs")
    text = (nearby.project / "sidecar.local.toml").read_text()
    nearby.configure(text.replace("~/model", "~/home/model"))
    place = str(embedded.home / name / "model" / "lib")
    main = nearby.write("main.py", PROGRAM.format(place=place))
    model = nearby.write("lib/model.py", MODEL)
    command = nearby.start("debug", "main.py")
    port = int((await line(command)).partition(":")[2])
    async with DapClient.connected(port) as client:
        frames = await client.stop_at(str(model), 2)
        assert [frame["source"]["path"] for frame in frames] == [str(model), str(main)]
        assert not frames[0]["source"].get("sourceReference")
        there = await client.ask("evaluate", expression="__file__", frameId=frames[0]["id"])
        assert there["result"] == repr(f"{place}/model.py")
        await client.ask("disconnect")
    assert await asyncio.wait_for(end(command), 30) == 0
