"""The barrier: what a run must find on the remote, so that it runs what was saved here.

Two digests. The *content digest* says which code this is, and goes into the job's record. The
*identity digest* is over what the agent itself reported of each path; with a sweep there, it
proves that what stands on the disk is what was agreed on (agent/roots/managed.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import NamedTuple

from sidecar import api
from sidecar.errors import RunError
from sidecar.sync.pushing.push import Pusher
from sidecar.sync.trees.base import Base

NAMED = 5
"""Paths that a refusal names."""

MOST_COMING = 2000
"""Changes on their way at a run's start that are remembered with it. Of a run in the middle of a
first sync nobody is told what changed since."""

TURN = 0.004
"""Seconds that a long computation keeps everything else waiting."""


class Barrier(NamedTuple):
    """For messages.Run: hold until all changes up to `after` are made; `digest`: the identity
    digest, "" while answers are on their way; `tree`: the content digest; `force`: whatever
    differs."""

    after: int
    digest: str
    tree: str
    force: bool


async def raise_barrier(pusher: Pusher, base: Base, *, as_is: bool, job: str = "") -> Barrier:
    """The barrier behind everything that was sent so far, for that job.

    While changes are on their way their identities are not known here. The agent then goes by its
    own managed set, which only our messages change, and by its sweep.
    """
    await _digest_in_turns(base)
    digest = "" if pusher.waiting else base.remote_digest()
    on_their_way = {path: change.node for path, change in pusher.latest.items()}
    if job and base.history is not None and len(on_their_way) <= MOST_COMING:
        base.history.begins(job, on_their_way)
    return Barrier(pusher.seq, digest, base.content.hexdigest(on_their_way), as_is)


async def _digest_in_turns(base: Base) -> None:
    """The first content digest of a large tree takes longer than others can wait."""
    turn = time.monotonic() + TURN
    for _ in base.content.prepare():
        if time.monotonic() > turn:
            await asyncio.sleep(0)
            turn = time.monotonic() + TURN


class Differs(RunError):
    """The remote does not have what is here, so the run would see other code.

    Attributes:
        notes: what is to be said of each path in the way.
    """

    code = "differs"

    def __init__(self, what: str, why: str, fix: str, notes: Sequence[api.PathNote]) -> None:
        super().__init__(what, why, fix)
        self.notes = list(notes)


def refuse_to_run_other_code(unsent: Sequence[api.PathNote], host: str) -> None:
    """Raises Differs where something that was changed here cannot be there."""
    if not unsent:
        return
    more = f" and {len(unsent) - NAMED} more" if len(unsent) > NAMED else ""
    one = len(unsent) == 1
    raise Differs(
        f"{len(unsent)} of your changes {'is' if one else 'are'} not on {host}",
        "; ".join(f"{note.path}: {note.text}" for note in unsent[:NAMED]) + more,
        "settle them (`sidecar conflicts` lists them), or run what is there with --as-is",
        unsent,
    )
