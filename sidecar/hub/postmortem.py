"""The run that failed last, once more under the debugger: the same command in the same folder, by
the same interpreter, with today's code; it stops where the exception leaves the program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sidecar import api
from sidecar.debug.asked import Asked
from sidecar.errors import UsageError
from sidecar.hub import rerun
from sidecar.hub.sessions import Session
from sidecar.jobs.listing import Listed, describe

SIGNALLED = 128
"""A shell's exit status for what a signal ended begins here: nothing was raised there."""

UNCAUGHT = ("uncaught",)
IN_TESTS = ("uncaught", "userUnhandled")
"""debugpy's filters. pytest catches what a test raises; it stops where that leaves the test."""


class Failure(NamedTuple):
    """What to debug. `wanted`: the interpreter that it ran with; `stops`: filters."""

    params: api.DebugParams
    wanted: Asked
    stops: tuple[str, ...]


async def failure(session: Session, given: api.DebugFailureParams) -> Failure:
    """The failed job that is meant, the newest one where none is named.

    Raises:
        UsageError: there is none, or it cannot be run again.
        SidecarError: the machine cannot be asked.
    """
    listed = await session.jobs.listed(await session.ready())
    one = last([job for job in listed if _is_of(session, job)], given.job, session.name)
    run = rerun.params(
        one,
        api.RerunParams(job=one.id, env=given.env, as_is=given.as_is),
        str(session.project.spelled),
        again="sidecar debug --last-failure",
    )
    params = api.DebugParams(
        project=given.project,
        host=given.host,
        target=run.target,
        args=run.args,
        module=run.module,
        cwd=run.cwd,
        env=run.env,
        as_is=run.as_is,
        strict=given.strict,
    )
    python, _, _ = one.record.get("interpreter", "").rpartition(" (")
    by_pytest = "::" in run.target or "pytest" in one.argv
    return Failure(params, Asked(python=python), IN_TESTS if by_pytest else UNCAUGHT)


def last(jobs: Sequence[Listed], name: str, host: str) -> Listed:
    """The newest job that failed by itself, or the one of that id or beginning of one.

    Raises:
        UsageError: there is none, or more than one begins so.
    """
    if name:
        found = [one for one in jobs if one.id == name]
        found = found or [one for one in jobs if one.id.startswith(name)]
        if len(found) > 1:
            more = ", ".join(one.id for one in found[:8])
            raise UsageError(f"{name} begins more than one job's id", more, "write more of it")
    else:
        found = [one for one in jobs if _failed(one) and one.record.get("request")]
    if found:
        return found[0]
    raise UsageError(
        f"There is no {f'job {name}' if name else 'failed run'} of this project on {host}",
        "" if name else "runs that ended by a signal, and cells, are not counted",
        "`sidecar jobs` lists them; `sidecar debug FILE` debugs what you name",
    )


def _failed(one: Listed) -> bool:
    return one.state == "exited" and 0 < (one.status or 0) < SIGNALLED


def _is_of(session: Session, one: Listed) -> bool:
    """Whether it is a job of ours, of this project."""
    copy = one.record.get("frozen", "")
    if "/" in copy or session.path_map(copy).to_local(one.cwd) is None:
        return False
    return describe(one, session.name, session.jobs.laptop).mine
