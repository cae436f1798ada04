"""Jobs on one host, through whichever connection to it there is.

Jobs are there, not here: this only remembers who looks at which, so that a new connection goes on
where the last one stopped.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sidecar import api
from sidecar.core import frames, identity, messages
from sidecar.core.pathmap import PathMap
from sidecar.errors import RemoteError, RunError
from sidecar.jobs import listing
from sidecar.jobs.job import Job

if TYPE_CHECKING:
    from sidecar.remote.connection import AgentConnection


class RunRefused(RunError):
    """The run did not start since what is there is not what it was to run on.

    Attributes:
        paths: managed paths that differ; empty where a change was refused.
    """

    code = "differs"

    def __init__(self, why: str, paths: list[str]) -> None:
        shown = ", ".join(paths[:5]) + (f" and {len(paths) - 5} more" if len(paths) > 5 else "")
        super().__init__(
            "The run was not started",
            f"{why} ({shown})" if shown else why,
            "sync, resolve what differs, or run it as it is there (--as-is)",
        )
        self.paths = paths


def new_id() -> str:
    """A job's id: sorts by its start, and no two laptops give the same one."""
    return time.strftime("%m%d-%H%M%S-", time.gmtime()) + secrets.token_hex(3)


class JobsClient:
    """The jobs of one session.

    Args:
        host: its name in the configuration.
        paths: maps the files of tracebacks; may be set later.
        laptop: which one this is, kept with what is started (config/laptop.py).
        owner: the same for people.
    """

    def __init__(
        self, host: str, paths: PathMap | None = None, *, laptop: str = "", owner: str = ""
    ) -> None:
        self.host, self.paths = host, paths
        self._whose = {"laptop": laptop, "owner": owner}
        self.laptop = laptop
        self._jobs: dict[str, Job] = {}

    @property
    def watched(self) -> list[Job]:
        """Jobs whose output or end somebody here waits for."""
        self._forget()
        return list(self._jobs.values())

    async def run(
        self,
        agent: AgentConnection,
        root: int,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str = "",
        after: int = 0,
        digest: str = "",
        force: bool = False,
        rows: int = 0,
        columns: int = 0,
        record: Mapping[str, str] | None = None,
        job: str = "",
        detach: bool = False,
        launch: Sequence[str] = (),
        log_max: int = 0,
        paths: PathMap | None = None,
        frozen: str = "",
        kept: bool = False,
        ahead: str = "",
    ) -> Job:
        """Starts a job behind the saves that were sent before.

        Args:
            root: the project's number with that agent.
            env: what the job gets besides the environment there.
            cwd: there: relative to the root, or absolute.
            after, digest, force: the barrier, as the sync engine gives it.
            rows, columns: of its terminal; 0 for none.
            record: kept with the job, as it is.
            job: its id; give one, and the same one again, to repeat a run whose answer was lost.
            detach: nobody looks at its output.
            launch: what the command is put behind.
            paths: maps the files of its tracebacks, where it has names of its own for them.
            log_max: bytes that its log may have; 0 for the usual bound.
            frozen, kept, ahead: the copy of the code that it runs from, as in messages.Run.
        Returns:
            The job. Unless `detach`, its output is kept until its `view` is called, once, with
            offset 0; call it soon.
        Raises:
            RunRefused: something there differs.
            RunError: it could not be started (program, folder, …), or its end was not ours to see.
            Disconnected: the connection went; whether it started is not known (see `job`).
        """
        name = job or new_id()
        handle = Job(name, self.host, paths or self.paths, cwd, fresh=True)
        handle.listen(agent)
        if not detach:
            handle.hold()
        try:
            answer = await agent.request(
                lambda number: messages.Run(
                    number,
                    root,
                    name,
                    list(argv),
                    dict(env or {}),
                    cwd,
                    after,
                    digest,
                    force,
                    rows,
                    columns,
                    {**self._whose, **(record or {})},
                    not detach,
                    log_max,
                    list(launch),
                    frozen,
                    kept,
                    ahead,
                ),
                frames.SAVES,
            )
        except RemoteError as error:
            handle.detach()
            raise RunError(error.what, error.why, error.fix, code=error.code) from None
        except BaseException:
            handle.detach()
            raise
        if isinstance(answer, messages.RunRefused):
            handle.detach()
            raise RunRefused(answer.why, [path for path, _ in identity.unpack(answer.body)])
        assert isinstance(answer, messages.Started)
        handle.pid, handle.warning = answer.pid, answer.warning
        if detach:
            handle.detach()
        else:
            self._jobs[name] = handle
        return handle

    def find(self, agent: AgentConnection, job: str) -> Job:
        """The job of that id, whoever started it; whether it exists shows when it is used."""
        self._forget()
        handle = self._jobs.get(job)
        if handle is None:
            handle = Job(job, self.host, self.paths, fresh=False)
            handle.listen(agent)
            self._jobs[job] = handle
        return handle

    @property
    def stopping(self) -> bool:
        """Something is being ended."""
        return any(job.stopping for job in self._jobs.values())

    async def list(self, agent: AgentConnection, *, gpus: bool = False) -> list[api.Job]:
        """All jobs known there, newest first."""
        laptop = self._whose["laptop"]
        return [
            listing.describe(one, self.host, laptop) for one in await self.listed(agent, gpus=gpus)
        ]

    async def listed(
        self, agent: AgentConnection, *, gpus: bool = False
    ) -> Sequence[listing.Listed]:
        """The same as the agent tells them. `gpus`: with those in use, which takes a second."""
        answer = await agent.request(lambda number: messages.Jobs(number, gpus))
        assert isinstance(answer, messages.JobList)
        return listing.decode(answer.body)

    def disconnected(self) -> None:
        """The connection is gone. The jobs run on."""
        for job in self.watched:
            job.detach()

    async def resume(self, agent: AgentConnection) -> None:
        """A new connection: every watched job goes on over it. One that cannot ends, with why.

        Raises:
            Disconnected: this connection is gone as well.
        """
        for job in self.watched:
            try:
                await job.resume(agent)
            except RemoteError as error:
                job.lost(str(error))

    def close(self) -> None:
        """Nobody here looks any more. The jobs run on."""
        for job in self._jobs.values():
            job.close()
        self._jobs.clear()

    def _forget(self) -> None:
        """Lets go of jobs that nobody waits for."""
        for name, job in list(self._jobs.items()):
            if not (job.needed or job.read):
                job.detach()
                del self._jobs[name]
