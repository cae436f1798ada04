"""A large delta is begun there before its digest is known here; the Put gives it its place."""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.core import messages
from sidecar.core.delta import LEAF
from sidecar.sync.delta import revision
from tests.sync.sides import Sides

LARGE = random.Random(1).randbytes(10 * LEAF + 5)


@pytest.fixture
async def sides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sides]:
    monkeypatch.setattr(revision, "MUCH", 5 * LEAF)
    made = Sides(tmp_path)
    made.write("large.bin", LARGE)
    await made.begin(watch=False)
    await made.attach()
    yield made
    await made.end()


def there(sides: Sides) -> bytes:
    return (sides.there / "large.bin").read_bytes()


def sent(sides: Sides) -> list[messages.Message]:
    """What goes to the agent from now on."""
    agent = sides.attachment.pusher._agent
    put, seen = agent._sender.put, list[messages.Message]()

    def spy(message: messages.Message, lane: int = 0) -> None:
        seen.append(message)
        put(message, lane)

    agent._sender.put = spy
    return seen


def puts(seen: list[messages.Message]) -> list[messages.Put]:
    return [one for one in seen if isinstance(one, messages.Put)]


async def test_an_insertion_is_drafted_and_then_put(sides: Sides) -> None:
    seen = sent(sides)
    sides.write("large.bin", b"front" + LARGE)
    result = await sides.engine.sync()
    assert there(sides) == b"front" + LARGE
    [draft] = [one for one in seen if isinstance(one, messages.Draft)]
    [put] = puts(seen)
    assert seen.index(draft) < seen.index(put)
    assert (put.draft, put.body) == (True, b"")
    assert result.bytes_sent < 2000
    assert (sides.there / "large.bin").stat().st_mtime_ns == (
        sides.here / "large.bin"
    ).stat().st_mtime_ns


async def test_an_overwrite_needs_none(sides: Sides) -> None:
    seen = sent(sides)
    sides.write("large.bin", LARGE[:500] + b"over" + LARGE[504:])
    await sides.engine.sync()
    assert there(sides) == LARGE[:500] + b"over" + LARGE[504:]
    assert not [one for one in seen if isinstance(one, messages.Draft)]


async def test_a_draft_that_the_agent_lost_is_sent_anew(sides: Sides) -> None:
    pusher = sides.attachment.pusher
    send, dropped = pusher._agent.post, list[messages.Message]()

    def lose(message: messages.Message, lane: int) -> None:
        if dropped:
            send(message, lane)
        dropped.append(message)

    pusher._agent.post = lose
    sides.write("large.bin", b"front" + LARGE)
    await sides.engine.sync()
    assert there(sides) == b"front" + LARGE
    assert len(dropped) == 1  # after a refusal there is none, for once
    assert sides.notes() == {}


async def test_a_file_that_changes_behind_its_draft_arrives_as_it_is(sides: Sides) -> None:
    pusher = sides.attachment.pusher
    send = pusher._agent.post

    def change_it(message: messages.Message, lane: int) -> None:
        send(message, lane)
        pusher._agent.post = send
        sides.write("large.bin", b"other" + LARGE)
        sides.engine._pending.touch("large.bin")

    pusher._agent.post = change_it
    sides.write("large.bin", b"front" + LARGE)
    await sides.engine.sync()
    await sides.engine.sync()
    assert there(sides) == b"other" + LARGE


async def test_an_edit_there_is_never_overwritten_by_a_draft(sides: Sides) -> None:
    pusher = sides.attachment.pusher
    send = pusher._agent.post

    def edit_there(message: messages.Message, lane: int) -> None:
        sides.write_there("large.bin", b"theirs")
        send(message, lane)

    pusher._agent.post = edit_there
    sides.write("large.bin", b"front" + LARGE)
    await sides.engine.sync()
    assert there(sides) == b"theirs"
    assert sides.notes() == {"large.bin": "conflict"}


async def test_a_draft_of_a_file_that_was_touched_there_does_not_stand_in_the_way(
    sides: Sides,
) -> None:
    pusher = sides.attachment.pusher
    send = pusher._agent.post

    def touch_it(message: messages.Message, lane: int) -> None:
        os.utime(sides.there / "large.bin")
        send(message, lane)

    pusher._agent.post = touch_it
    sides.write("large.bin", b"front" + LARGE)
    await sides.engine.sync()
    assert there(sides) == b"front" + LARGE
    assert sides.notes() == {}


async def test_a_draft_without_a_put_leaves_nothing(sides: Sides) -> None:
    pusher = sides.attachment.pusher
    pusher._drafted = lambda *_: False
    line = pusher._uploads._line
    pusher._uploads._line = line._replace(drafted=lambda *_: False)
    sides.write("large.bin", b"front" + LARGE)
    await sides.engine.sync()
    assert there(sides) == b"front" + LARGE
    staged = [one for one in (sides.there / ".sidecar/tmp").rglob("*") if one.is_file()]
    assert [one.name for one in staged] == ["lock"]
