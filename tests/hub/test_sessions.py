"""Sessions: opened, called off, closed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sidecar import api
from sidecar.config import model
from sidecar.config import project as projects
from sidecar.hub.links import Links
from sidecar.hub.sessions import Session
from sidecar.sync.engine import SyncEngine


async def opened(folder: Path) -> Session:
    host = model.Host(ssh="nowhere.invalid", path="~/model")
    links = Links(lambda: None)
    return await Session.open(projects.at(folder), "box", host, model.Sync(), links, lambda: None)


async def test_an_opening_that_is_called_off_leaves_the_project_free(
    isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = isolated / "model"
    folder.mkdir()
    begun = asyncio.Event()
    start = SyncEngine.start

    async def slowly(engine: SyncEngine) -> None:
        await start(engine)
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(SyncEngine, "start", slowly)
    opening = asyncio.create_task(opened(folder))
    await begun.wait()
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    monkeypatch.undo()
    session = await opened(folder)
    await session.close()


async def test_a_sync_that_is_called_off_calls_its_uploads_off(
    isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = isolated / "model"
    folder.mkdir()
    session = await opened(folder)
    begun, called_off = asyncio.Event(), asyncio.Event()

    async def for_ever(*_: object) -> None:
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(session, "_brought_together", for_ever)
    monkeypatch.setattr(session.engine, "cancel_uploads", called_off.set)
    syncing = asyncio.create_task(session.synced(api.SyncParams()))
    await begun.wait()
    syncing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await syncing
    assert called_off.is_set()
    await session.close()
