"""What a person says where the remote does not have what is here: a run would see other code.

Where nobody can be asked the run is refused, in words that name each way out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from sidecar import api
from sidecar.config.write import set_value
from sidecar.errors import RunError, SidecarError
from sidecar.hub.client import Client
from sidecar.hub.sessions import Session
from sidecar.jobs.client import RunRefused
from sidecar.questions import Choice
from sidecar.sync.decisions.resolve import Resolver
from sidecar.sync.engine import SyncEngine
from sidecar.sync.guarding.notes import DECIDED
from sidecar.sync.pushing.barrier import Differs

PUSH, TAKE, LEAVE = "Push mine", "Take theirs", "Leave it to the remote"
PULL = "Take theirs, also from now on (pull)"
AS_IS, CANCEL = "Run what is there", "Cancel"

NAMED = 8
"""Paths that a question names."""

TRIES = 3
"""Times in a row that a run is tried again without a question: what differed was settled by looking
at it (a `touch` there), and may differ again by then."""

MOST_RECORDED = 20
"""Paths that the record of a run on what was there names."""


class Consent:
    """Of one run, over its attempts."""

    def __init__(self, client: Client, *, as_is: bool) -> None:
        self.as_is = as_is
        self.differing: list[str] = []
        """What was not as it is here, where the person chose to run what is there."""
        self._client = client
        self._tries = 0

    async def settle(self, session: Session, refused: Differs | RunRefused) -> None:
        """Returns when the run may be tried again; the session may be another one by then.

        Raises:
            RunError: it may not, or the person does not want it any more.
            SidecarError: what they chose could not be done.
        """
        engine = session.guest.engine if session.guest is not None else session.engine
        notes = await _looked_at(engine, refused)
        if not notes:
            self._tries += 1
            if self._tries > TRIES:
                raise refused
            return
        jobs = await _writers(session, notes)
        answer = await self._client.choose(_question(session.name, notes, jobs))
        decided = [note.path for note in notes if note.kind in DECIDED]
        if answer is None:
            raise _refusal(session.name, notes, jobs)
        if answer == CANCEL:
            raise RunError("Nothing was started", "it was cancelled", code="cancelled")
        if answer == AS_IS:
            self.as_is, self.differing = True, sorted(note.path for note in notes)
        elif answer == LEAVE:
            await engine.leave_to_remote(decided)
        else:
            await _resolve(engine, decided, "local" if answer == PUSH else "remote")
            if answer == PULL:
                await asyncio.to_thread(_pull_from_now_on, session, sorted(jobs))


async def _looked_at(engine: SyncEngine, refused: Differs | RunRefused) -> list[api.PathNote]:
    """What there is to say of what stands in the way, on a look at both sides now, in which the
    person is also asked about what is unusually much."""
    await engine.sync()
    told = refused.paths if isinstance(refused, RunRefused) else [n.path for n in refused.notes]
    found = {note.path: note for note in engine.unsent}
    for note in engine.notes:
        if note.path in told and note.kind in DECIDED and not engine.is_theirs(note.path):
            found[note.path] = note
    return list(found.values())


async def _resolve(
    engine: SyncEngine, paths: Sequence[str], keep: Literal["local", "remote"]
) -> None:
    chosen = frozenset(paths)
    _, left = await Resolver(engine.both_sides()).resolve(chosen.__contains__, keep, named=chosen)
    if left:
        named = "; ".join(f"{note.path}: {note.text}" for note in left[:NAMED])
        raise RunError("Not all of it could be settled", named, "see `sidecar conflicts`")


async def _writers(session: Session, notes: Sequence[api.PathNote]) -> dict[str, str]:
    """By path, the job of ours that ran when what is there was written: what a program makes is
    the remote's own, and is better pulled than asked about at each run."""
    times = {note.path: _seconds(note.there) for note in notes if note.there is not None}
    times = {path: seconds for path, seconds in times.items() if seconds}
    if not times:
        return {}
    try:
        agent = await session.connected()
        jobs = await session.jobs.listed(agent)
    except SidecarError:
        return {}  # then nothing is offered
    ahead = agent.hello.clock_offset_ns / 1e9
    found = {}
    for path, seconds in times.items():
        for job in jobs:
            # The times of files are told by this machine's clock, in whole seconds.
            began, ended = int(job.started - ahead), (job.ended or float("inf")) - ahead
            if job.cwd.startswith(session.engine.remote_root) and began <= seconds <= ended:
                found[path] = job.id
                break
    return found


def _seconds(version: api.Version) -> float:
    try:
        return datetime.fromisoformat(version.changed).timestamp() if version.changed else 0.0
    except ValueError:
        return 0.0


def _question(host: str, notes: Sequence[api.PathNote], jobs: dict[str, str]) -> Choice:
    lines = [f"  {_line(note, jobs)}" for note in notes[:NAMED]]
    if len(notes) > NAMED:
        lines.append(f"  … and {len(notes) - NAMED} more (`sidecar conflicts`)")
    options: list[str] = []
    if all(note.kind in DECIDED and note.kind not in ("held", "refused") for note in notes):
        options = [PUSH, TAKE, LEAVE]
        if jobs and all(note.path in jobs for note in notes):
            options.insert(2, PULL)
    return Choice("\n".join([_what(host, notes), *lines]), (*options, AS_IS, CANCEL), "--as-is")


def _refusal(host: str, notes: Sequence[api.PathNote], jobs: dict[str, str]) -> Differs:
    ways = [
        "push yours with `sidecar resolve --all --keep local`",
        "take theirs with `--keep remote`",
        "or run what is there with --as-is",
    ]
    if jobs:
        ways.insert(0, f"add {', '.join(sorted(jobs)[:NAMED])} to `sync.pull`")
    why = "; ".join(_line(note, jobs) for note in notes[:NAMED])
    if len(notes) > NAMED:
        why += f" and {len(notes) - NAMED} more"
    return Differs(_what(host, notes), why, ", ".join(ways), notes)


def _what(host: str, notes: Sequence[api.PathNote]) -> str:
    if len(notes) == 1:
        return f"1 file on {host} is not as it is here"
    return f"{len(notes)} files on {host} are not as they are here"


def _line(note: api.PathNote, jobs: dict[str, str]) -> str:
    job = jobs.get(note.path)
    by = f" ({note.there.by} wrote it)" if note.there is not None and note.there.by else ""
    written = f"; written while your job {job} ran" if job else ""
    return f"{note.path}: {note.text}{by}{written}"


def _pull_from_now_on(session: Session, paths: Sequence[str]) -> None:
    """Blocking."""
    patterns = [f"/{_escaped(path)}" for path in paths]
    known = list(session.sync.pull)
    new = [one for one in patterns if one not in known]
    set_value(session.project, ("sync", "pull"), known + new)


def _escaped(path: str) -> str:
    """The path as a pattern for itself alone."""
    return "".join(f"\\{char}" if char in "*?[\\" else char for char in path)
