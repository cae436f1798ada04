"""Jobs that outlive whoever started them: told when a session begins, and ended with a closed
terminal or a quit editor where the person wants that.

`on_quit` says what the person wants. Left out, jobs are kept, and the next run asks, once for each
host: at the moment itself nobody is there any more. A lost connection and a killed editor say
nothing, so they never end a job.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import weakref
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from sidecar import api
from sidecar.config import places, write
from sidecar.errors import ConfigError, SidecarError
from sidecar.hub.client import Client, in_nobodys_name
from sidecar.hub.sessions import Session
from sidecar.jobs.job import Job
from sidecar.questions import Choice

log = logging.getLogger(__name__)

KEEP, STOP = "Keep them running", "Stop them"

PATIENCE = 1.0
"""Seconds that a run's first line waits for the list of jobs, which is asked for while the two
sides are compared. NVIDIA's tool may take longer; then the next session tells."""

ASKED = "asked"


class Leftovers:
    """Of all sessions."""

    def __init__(self) -> None:
        self._started: dict[Client, list[tuple[Session, Job]]] = {}
        self._greeted: weakref.WeakSet[Session] = weakref.WeakSet()
        self._tasks: set[asyncio.Task[None]] = set()

    def started(self, client: Client, session: Session, job: Job) -> None:
        """The client shows a job that it started."""
        running = [one for one in self._started.get(client, ()) if not one[1].exited.done()]
        self._started[client] = [*running, (session, job)]

    def leave(self, client: Client) -> None:
        self._started.pop(client, None)

    # --- the end of a session ----------------------------------------------------------------

    def quit(self, client: Client) -> None:
        """The person closes the terminal, or the editor."""
        for session, job in self._started.pop(client, ()):
            if job.exited.done():
                continue
            if session.host.on_quit == "stop":
                log.info("%s quits: job %s is stopped", client.name, job.id)
                task = in_nobodys_name(self._stop(session, job), name=f"stop {job.id}")
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            elif not session.host.on_quit:
                _note(session, job.id)

    async def _stop(self, session: Session, job: Job) -> None:
        try:
            if remains := await job.stop():
                log.warning("job %s: %s", job.id, remains)
        except SidecarError as error:
            log.warning("job %s was not stopped: %s", job.id, error)
        finally:
            session.link_changed()  # it need not wait any more

    async def settle(self, client: Client, session: Session) -> bool:
        """Asks what becomes of such jobs from now on, where it happened and nobody has said;
        whether the configuration has changed by it."""
        if session.host.on_quit:
            return False
        left = await asyncio.to_thread(_noted, session)
        if not left:
            return False
        some = ", ".join(left[:3]) + (", …" if len(left) > 3 else "")
        question = Choice(
            f"The terminal or editor was closed while {'jobs' if len(left) > 1 else 'job'} {some} "
            f"ran on {session.name}, and {'they' if len(left) > 1 else 'it'} ran on. What shall "
            f"become of jobs on {session.name} when that happens?",
            (STOP, KEEP),
            f'`on_quit = "keep"` or "stop" in [hosts.{session.name}]',
        )
        answer = await client.choose(question)
        await asyncio.to_thread(_mark, session, ASKED)
        if answer is None:
            return False
        value = "stop" if answer == STOP else "keep"
        try:
            await asyncio.to_thread(
                write.set_value, session.project, ("hosts", session.name, "on_quit"), value
            )
        except ConfigError as error:
            client.show(str(error), "warning")
            return False
        return True

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- the beginning of the next one -------------------------------------------------------

    def greeting(self, session: Session) -> asyncio.Task[str] | None:
        """What runs there from earlier sessions, in words, "" where nothing does; None where this
        session has been told. Nobody is asked anything for it."""
        if session in self._greeted:
            return None
        self._greeted.add(session)
        return in_nobodys_name(self._still_running(session), name=f"jobs on {session.name}")

    @staticmethod
    async def told(greeting: asyncio.Task[str] | None) -> str:
        """Its words, as far as they come within PATIENCE."""
        if greeting is None:
            return ""
        await asyncio.wait({greeting}, timeout=PATIENCE)
        return greeting.result() if greeting.done() else ""

    async def _still_running(self, session: Session) -> str:
        known = {job.id for job in session.jobs.watched}
        with contextlib.suppress(SidecarError):
            agent = await session.connected(unasked=True)
            if not still_running(await session.jobs.list(agent), known):
                return ""
            found = await session.jobs.list(agent, gpus=True)
            running = still_running(found, known | {job.id for job in session.jobs.watched})
            return sentence(running, session.name, datetime.now(timezone.utc))
        return ""


def still_running(jobs: Sequence[api.Job], known: set[str]) -> list[api.Job]:
    """Those that this laptop started, and that nobody here looks at."""
    return [job for job in jobs if job.mine and job.state == "running" and job.id not in known]


def sentence(running: Sequence[api.Job], host: str, now: datetime) -> str:
    """ "2 jobs still running on gpu1, oldest 3 d, GPUs 0,1"; "" where none is."""
    if not running:
        return ""
    parts = [f"{len(running)} job{'s' * (len(running) > 1)} still running on {host}"]
    starts = [start for job in running if (start := _moment(job.started)) is not None]
    if starts:
        oldest = age((now - min(starts)).total_seconds())
        parts.append(f"oldest {oldest}" if len(running) > 1 else f"for {oldest}")
    if cards := sorted({card for job in running for card in job.gpus}):
        parts.append(f"GPU{'s' * (len(cards) > 1)} {','.join(map(str, cards))}")
    return ", ".join(parts)


def age(seconds: float) -> str:
    """In the largest unit that there is one of."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _file(session: Session) -> Path:
    return places.project_state(session.root, session.name) / "left-running"


def _note(session: Session, job: str) -> None:
    """Remembers that this job ran on, unless the person was asked before."""
    with contextlib.suppress(OSError):
        known = _read(session)
        if ASKED not in known:
            _file(session).write_text("\n".join([*known, job]))


def _noted(session: Session) -> list[str]:
    known = _read(session)
    return [] if ASKED in known else known


def _read(session: Session) -> list[str]:
    try:
        return _file(session).read_text().split()[:100]
    except OSError:
        return []


def _mark(session: Session, text: str) -> None:
    with contextlib.suppress(OSError):
        _file(session).write_text(text)
