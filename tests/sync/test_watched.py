"""The watcher and the engine together: what changes here is pushed, once, and in few steps."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.agent.roots import inotify
from sidecar.sync.steps.loop import Loop
from sidecar.sync.watching import inotify_tree
from tests.servers.programs import need_program
from tests.sync.sides import Sides
from tests.whole.waiting import soon


@pytest.fixture
async def sides(tmp_path: Path) -> AsyncIterator[Sides]:
    made = Sides(tmp_path)
    made.write("keep.py", "1\n")
    await made.begin()
    await made.attach()
    yield made
    await made.end()


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many paths each step of an engine was given."""
    sizes: list[int] = []
    bring = Loop.bring

    async def counted(self: Loop, dirty: set[str], *args: object, **named: object) -> None:
        sizes.append(len(dirty))
        await bring(self, dirty, *args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Loop, "bring", counted)
    return sizes


async def watched(sides: Sides, name: str) -> None:
    """Returns when the watcher has told of all that was done before, and that is there, too."""
    sides.write(name, f"{name}\n")
    await soon((sides.there / name).exists, f"{name} there")
    await sides.rest()


async def test_what_editor_and_watcher_both_tell_is_pushed_once(sides: Sides) -> None:
    engine = sides.engine
    await watched(sides, "marker")
    sent = engine._loop.attachment.pusher.seq
    for number in range(20):
        path = sides.write("main.py", f"{number}\n")
        engine.saved([str(path)])
        if number % 2:
            engine.saved([str(path)])
        await sides.until(lambda number=number: len(sides.synced) > number)
        await watched(sides, f"marker-{number}")
    assert engine._loop.attachment.pusher.seq - sent == 2 * 20


async def test_what_comes_while_a_step_is_taken_is_one_step(sides: Sides, steps: list[int]) -> None:
    engine = sides.engine
    await watched(sides, "marker")
    async with engine._loop.lock:
        steps.clear()
        for number in range(300):
            sides.write(f"pkg/m{number}.py", f"{number}\n")
        await soon(lambda: len(engine._pending.paths) >= 301, "all told")
    await sides.rest()
    assert len(sides.tree_there()) == 302
    assert steps[0] >= 301
    assert len(steps) <= 2  # the watcher may have told of the folder once more


async def test_a_switched_branch_is_few_steps(sides: Sides, steps: list[int]) -> None:
    need_program("git")

    def git(*arguments: str) -> None:
        who = ("-c", "user.name=x", "-c", "user.email=x@example.org")
        subprocess.run(["git", "-C", sides.here, *who, *arguments], check=True, capture_output=True)

    git("init", "-q")
    for number in range(300):
        sides.write(f"pkg/d{number % 20}/m{number}.py", f"one {number}\n")
    git("add", ".")
    git("commit", "-qm", "one")
    git("checkout", "-qb", "two")
    for number in range(250):
        sides.write(f"pkg/d{number % 20}/m{number}.py", f"two {number}\n")
    for number in range(250, 300):
        (sides.here / f"pkg/d{number % 20}/m{number}.py").unlink()
    for number in range(50):
        sides.write(f"pkg/new{number}/m.py", f"two {number}\n")
    git("add", ".")
    git("commit", "-qm", "two")
    await watched(sides, "marker")
    steps.clear()
    await asyncio.to_thread(git, "checkout", "-q", "master")
    await watched(sides, "marker-2")
    await soon(lambda: not any((sides.there / "pkg").glob("new*")), "what branch two had gone")
    there = sides.tree_there()
    assert sum(path.startswith("pkg/") for path in there) == 300
    assert all(there[f"pkg/d{n % 20}/m{n}.py"] == b"one %d\n" % n for n in range(300))
    assert len(steps) <= 400 // 4


async def test_nothing_is_lost_with_events(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    class Overflowing(inotify.Inotify):
        """Its queue is always too short."""

        def read(self) -> list[inotify.Event]:
            return [inotify.Event(-1, inotify.OVERFLOW, "")] if super().read() else []

    monkeypatch.setattr(inotify_tree, "Inotify", Overflowing)
    await sides.restart()
    await sides.attach()
    for number in range(5):
        sides.write(f"d{number}/deep/f", f"{number}\n")
        (sides.here / f"d{number}" / "deep" / "g").write_text("x")
    await soon(lambda: len([*sides.there.glob("d*/deep/g")]) == 5, "what events were lost of")
