"""What a decision of a person's reaches: both sides over one connection, between two steps.

The engine gives it to what carries decisions out (resolve.py, undo.py, difference.py), so that
these need not know the engine, nor the engine them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

from sidecar import api
from sidecar.questions import Person
from sidecar.sync.disk.landing import LocalLanding
from sidecar.sync.disk.trash import LocalTrash
from sidecar.sync.pulling.pull import Puller
from sidecar.sync.pushing.push import Pusher
from sidecar.sync.steps.step import Project
from sidecar.sync.trees.there import There


class ThisSide(NamedTuple):
    """This side, with or without a connection.

    Attributes:
        step: held by whoever changes anything on either side.
        store: the project's state folder, for scratch copies.
    """

    project: Project
    landing: LocalLanding
    trash: LocalTrash
    step: asyncio.Lock
    store: Path


class Reach(NamedTuple):
    """Both sides. Good for one decision: the connection may end in each of its waits.

    Attributes:
        sync: one sync, as in SyncEngine.
    """

    here: ThisSide
    there: There
    pusher: Pusher
    puller: Puller
    person: Person
    sync: Callable[..., Awaitable[api.SyncResult]]

    @property
    def project(self) -> Project:
        return self.here.project
