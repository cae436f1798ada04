"""The connection goes in the middle of a step, at each place where the step waits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.errors import Disconnected
from tests.sync.sides import Sides


@pytest.fixture
async def sides(tmp_path: Path) -> AsyncIterator[Sides]:
    made = Sides(tmp_path)
    yield made
    await made.end()


@pytest.mark.parametrize(
    "wait",
    [
        "sidecar.sync.trees.here.Here.read",
        "sidecar.sync.trees.there.There.nodes",
        "sidecar.sync.pushing.push.Pusher.directory",
        "sidecar.sync.pushing.push.Pusher.put",
        "sidecar.sync.trees.there.There.tell",
    ],
)
async def test_a_step_whose_connection_goes_says_so_and_the_next_one_brings_all(
    sides: Sides, wait: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        sides.write(f"pkg{number}/a.py", f"x = {number}\n")
    await sides.begin(watch=False)
    path, _, name = wait.rpartition(".")
    module, _, owner = path.rpartition(".")
    kind = getattr(__import__(module, fromlist=[owner]), owner)
    original = getattr(kind, name)

    async def goes(self: object, *arguments: object) -> object:
        result = await original(self, *arguments)
        sides.engine.detach()
        return result

    with monkeypatch.context() as patched:
        patched.setattr(kind, name, goes)
        with pytest.raises(Disconnected):
            await sides.attach()
    assert not sides.engine.attached
    await sides.attach()
    assert sides.tree_there() == {f"pkg{n}/a.py": b"x = %d\n" % n for n in range(3)}
    assert sides.engine.notes == []
