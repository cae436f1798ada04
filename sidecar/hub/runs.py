"""Runs: the barrier, the job, and its output on the way to whoever asked."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import logging
import os
import weakref
import zlib
from functools import partial
from typing import TypeVar

import msgspec

from sidecar import api
from sidecar.core import messages
from sidecar.errors import Disconnected, RunError, SidecarError, UsageError
from sidecar.hub import advice, frozen, launching, rerun, target
from sidecar.hub.client import Client, in_nobodys_name
from sidecar.hub.commit import Commit, commit_of, diff_of
from sidecar.hub.consent import MOST_RECORDED, Consent
from sidecar.hub.forwarding import Forwarding
from sidecar.hub.leftovers import Leftovers
from sidecar.hub.patience import Patience
from sidecar.hub.registry import Registry
from sidecar.hub.remembered import Arguments
from sidecar.hub.sessions import Session
from sidecar.hub.viewer import Viewer
from sidecar.jobs.client import RunRefused, new_id
from sidecar.jobs.job import Job
from sidecar.jobs.listing import Listed
from sidecar.remote.connection import AgentConnection
from sidecar.sync.pushing.barrier import Barrier, Differs

log = logging.getLogger(__name__)

TRIES = 2
"""A run whose answer was lost with the connection is sent once more, under the same id; a job
that did start is then found, not started twice."""


class Runs:
    """Jobs for all clients."""

    def __init__(self, registry: Registry, forwarding: Forwarding) -> None:
        self._registry, self._forwarding = registry, forwarding
        self.leftovers = Leftovers()
        self._warned: weakref.WeakSet[Session] = weakref.WeakSet()
        self._viewing: dict[asyncio.Task[None], Client] = {}
        self._keeping: set[asyncio.Task[None]] = set()

    # --- methods -----------------------------------------------------------------------------

    async def run(
        self, client: Client, params: api.RunParams, code: rerun.Code | None = None
    ) -> api.RunResult:
        """`code`: that is to run, instead of today's."""
        session = await self._registry.session(client, params.project, params.host)
        person = params.terminal or client.is_editor
        if person and await self.leftovers.settle(client, session):
            session = await self._registry.session(client, params.project, params.host)
        looked = await asyncio.to_thread(target.look, params, str(session.project.spelled))
        advice.refuse_what_is_missing(session, params, looked)
        params = with_arguments(session, params, looked)
        client.run_begins()
        consent, name, lost = Consent(client, as_is=params.as_is), new_id(), 0
        commit = asyncio.create_task(commit_of(session.root), name="git")
        try:
            while True:
                try:
                    with session.speaking():
                        return await self._start(
                            client, params, looked, session, name, commit, consent, code
                        )
                except Disconnected:
                    lost += 1
                    if lost == TRIES:
                        raise
                    log.warning("%s went away at the start of %s; once more", session.name, name)
                except (Differs, RunRefused) as refused:
                    with session.speaking():
                        await consent.settle(session, refused)
                    session = await self._registry.session(client, params.project, params.host)
        finally:
            commit.cancel()

    async def _start(
        self,
        client: Client,
        params: api.RunParams,
        looked: target.Looked,
        session: Session,
        name: str,
        commit: asyncio.Task[Commit],
        consent: Consent,
        code: rerun.Code | None,
    ) -> api.RunResult:
        greeting = self.leftovers.greeting(session)
        agent = await session.ready()
        python = await session.interpreters.chosen()
        if not params.as_shell:
            await launching.refuse_a_login_node(session)
        paths = session.path_map()
        lines = await _lines(client, params, looked)
        command = target.command(params, paths, python.path, looked, lines)
        launch = session.host.launch or ""
        if code is None:
            barrier = await session.barrier(as_is=consent.as_is, job=name, beside=commit)
            if not commit.done():  # git is slow here: the barrier comes behind it
                await commit
                barrier = await session.barrier(as_is=consent.as_is, job=name)
        else:
            barrier = Barrier(0, "", code.record.get("tree", ""), force=True)
        known = await commit
        sending = session.engine.queued
        copy, ahead = code.copy if code else "", ""
        if not copy and (session.host.freeze if params.frozen is None else params.frozen):
            copy = name if consent.as_is else barrier.tree
        if copy:
            command, ahead = frozen.command(params, paths, python, looked, lines, copy)
        env = {
            **launching.variables(launch),
            **session.host.environment(client.environ),
            **params.env,
            **command.env,
        }
        starting = session.jobs.run(
            agent,
            session.number,
            command.argv,
            env=env,
            cwd=command.cwd,
            after=barrier.after,
            digest=barrier.digest,
            force=barrier.force,
            rows=params.rows if params.terminal else 0,
            columns=params.columns if params.terminal else 0,
            record={
                "tree": "" if consent.as_is else barrier.tree,
                "commit": known.id,
                "dirty": str(known.dirty) if known.id and known.dirty >= 0 else "",
                "interpreter": f"{python.path} ({python.version})",
                "as_is": "yes" if consent.as_is else "",
                "differing": "\n".join(consent.differing[:MOST_RECORDED]),
                "launch": launch,
                "frozen": copy,
                "gpus": launching.gpus(params, launch),
                "request": rerun.request(params, looked, str(session.root)),
                **(code.own if code else {}),
            },
            launch=launching.behind(launch, terminal=params.terminal),
            job=name,
            detach=params.detach,
            log_max=session.host.log_max,
            frozen=copy,
            kept=code is not None,
            ahead=ahead,
            paths=session.path_map(copy),
        )
        job = await (starting if copy else Patience(client, session, agent, name).with_(starting))
        if known.dirty and not code:
            self._behind(agent, session, job.id, known)
        self._forwarding.started(session)
        if not params.detach:
            explain = partial(advice.explained, session, params.cwd)
            finder = _Finder(self._registry, session, job.id)
            viewer = Viewer(client, finder, job=job, explain=explain)
            self._view(session, client, viewer, job.id)
            self.leftovers.started(client, session, job)
        before = await self.leftovers.told(greeting)
        if before and client.is_editor:
            client.show(before)
        if job.warning and client.is_editor and session not in self._warned:
            self._warned.add(session)
            client.show(f"{session.name}: {job.warning}", "warning")
        return api.RunResult(
            job=job.id,
            host=session.name,
            pid=job.pid,
            interpreter=python.path,
            headline=_headline(session, python, known, sending, job, _unsaved(client, params)),
            args=params.args,
            before=before,
            warning=job.warning,
            folders=session.folders(copy),
            cwd=command.cwd,
            links=session.links,
        )

    def _behind(self, agent: AgentConnection, session: Session, job: str, commit: Commit) -> None:
        """What is kept with the job and delays nobody."""

        async def keep() -> None:
            diff = await diff_of(session.root, commit)
            changed = session.changed_since([job]).get(job)
            if changed:  # it was taken a moment later than the barrier was raised
                diff = b"# saved while this was taken: %s\n" % ", ".join(changed).encode() + diff
            with contextlib.suppress(SidecarError):  # it is in no hurry, and no promise
                await agent.send(messages.Keep(job, zlib.compress(diff)))

        def kept(task: asyncio.Task[None]) -> None:
            self._keeping.discard(task)
            session.behind.discard(task)
            session.link_changed()

        task = in_nobodys_name(keep(), name=f"the difference of {job}")
        self._keeping.add(task)
        session.behind.add(task)
        task.add_done_callback(kept)

    async def rerun(self, client: Client, params: api.RerunParams) -> api.RunResult:
        session = await self._registry.session(client, params.project, params.host)
        with session.speaking():
            one = await self._listed(session, params.job)
            root = str(session.project.spelled)
            asked = rerun.params(one, params, root)
            code = rerun.code(one) if params.frozen else None
        result = await self.run(client, asked, code)
        if code:
            told = [f"the code of job {one.id}, as it was frozen"]
        else:
            told = await rerun.differences(session, one, result.job) or ["nothing differs"]
        return msgspec.structs.replace(result, differences=told)

    async def job(self, client: Client, params: api.JobParams) -> api.JobDetails:
        session = await self._registry.session(client, params.project, params.host)
        with session.speaking():
            one = await self._listed(session, params.job)
            kept = await rerun.kept(session, one.id)
            listed = await session.jobs.list(await session.connected())
        return api.JobDetails(
            job=next(job for job in listed if job.id == one.id),
            cwd=one.cwd,
            variables=kept.variables,
            packages=kept.packages,
            cards=kept.gpus,
            diff=kept.diff,
            changed=session.changed_since([one.id]).get(one.id),
        )

    async def _listed(self, session: Session, name: str) -> Listed:
        job = await self._named(session, name)
        listed = await session.jobs.listed(await session.connected())
        return next(one for one in listed if one.id == job.id)

    async def arguments(self, client: Client, params: api.ArgumentsParams) -> api.ArgumentsResult:
        """Needs no connection, and dials none."""
        project = self._registry.project(client, params.project)
        asked = api.RunParams(target=params.target, module=params.module, cwd=params.cwd)
        looked = await asyncio.to_thread(target.look, asked, str(project.spelled))
        known, name = Arguments(project.root), target.name(asked, looked, project.root)
        if params.args is not None:
            known.keep(name, params.args)
        return api.ArgumentsResult(target=name, args=known.of(name))

    async def input(self, client: Client, params: api.InputParams) -> api.Empty:
        if params.encoding == "base64":
            try:
                data = base64.b64decode(params.data, validate=True)
            except binascii.Error as error:
                raise UsageError("Input is no base64", str(error), "send it as it says") from None
        else:
            data = params.data.encode()
        job = await self._job(client, params)
        await job.input(data, params.eof)
        return api.Empty()

    async def resize(self, client: Client, params: api.ResizeParams) -> api.Empty:
        job = await self._job(client, params)
        await job.resize(params.rows, params.columns)
        return api.Empty()

    async def signal(self, client: Client, params: api.SignalParams) -> api.Empty:
        session = await self._registry.session(client, params.project, params.host)
        job = await self._named(session, params.job, running=True)
        if not params.all and not job.pid:  # started by this hub: whose it is need not be asked
            await _refuse_what_is_others(session, job)
        if params.signal != "stop":
            await job.signal(params.signal)
        elif remains := await job.stop():
            raise RunError(
                f"Not all of job {job.id} could be ended",
                remains,
                f"look at it there, by `ssh {session.host.ssh or session.name}`",
                code="lives-on",
            )
        return api.Empty()

    async def jobs(self, client: Client, params: api.JobsParams) -> api.JobsResult:
        session = await self._registry.session(client, params.project, params.host)
        with session.speaking():
            agent = await session.connected()
            found = await session.jobs.list(agent, gpus=params.gpus)
            shown = [one for one in found if one.mine or params.all]
            running = [one.id for one in shown if one.state == "running" and not one.frozen]
            since = session.changed_since(running)
            return api.JobsResult(
                jobs=[
                    msgspec.structs.replace(one, changed=len(since[one.id]))
                    if one.id in since
                    else one
                    for one in shown
                ]
            )

    async def attach(self, client: Client, params: api.AttachParams) -> api.AttachResult:
        session = await self._registry.session(client, params.project, params.host)
        job = await self._named(session, params.job)
        listed = await session.jobs.listed(await session.connected())
        known = next((one for one in listed if one.id == job.id), None)
        copy, cwd = (known.record.get("frozen", ""), known.cwd) if known else ("", "")
        copy = "" if "/" in copy else copy  # a record there may say anything
        if session.engine.remote_root:
            job.runs_in(session.path_map(copy), cwd)
        until = None
        if known is not None and known.state == "running" and not params.follow:
            until = known.log_bytes
        viewer = Viewer(
            client,
            _Finder(self._registry, session, job.id),
            job=job,
            offset=params.offset,
            until=until,
            explain=partial(advice.explained, session, ""),
        )
        self._view(session, client, viewer, job.id)
        terminal = known is not None and known.terminal
        return api.AttachResult(
            job=job.id,
            host=session.name,
            terminal=terminal,
            folders=session.folders(copy),
            cwd=cwd,
            links=session.links,
        )

    # --- life --------------------------------------------------------------------------------

    def leave(self, client: Client) -> None:
        """Nobody looks any more; the jobs run on."""
        self.leftovers.leave(client)
        for task in [task for task, owner in self._viewing.items() if owner is client]:
            task.cancel()

    async def close(self) -> None:
        await self.leftovers.close()
        tasks = [*self._viewing, *self._keeping]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _view(self, session: Session, client: Client, viewer: Viewer, job: str) -> None:
        nobody_looks = self._forwarding.shown(session, job)
        task = in_nobodys_name(viewer.run(), name=f"view a job on {session.name}")
        self._viewing[task] = client
        task.add_done_callback(self._viewed)
        task.add_done_callback(lambda task: nobody_looks())

    def _viewed(self, task: asyncio.Task[None]) -> None:
        del self._viewing[task]
        if not task.cancelled() and (error := task.exception()):
            log.error("a job's output was lost by a bug of ours", exc_info=error)

    # --- which job ---------------------------------------------------------------------------

    async def _job(self, client: Client, params: api.JobParams, *, running: bool = False) -> Job:
        session = await self._registry.session(client, params.project, params.host)
        return await self._named(session, params.job, running=running)

    @staticmethod
    async def _named(session: Session, name: str, *, running: bool = False) -> Job:
        """The job of that id or beginning of one; "" is the newest of ours (`running`: that still
        runs).

        Raises:
            UsageError: there is none, or more than one.
        """
        for watched in session.jobs.watched:
            if watched.id == name:
                return watched
        agent = await session.connected()
        known = await session.jobs.list(agent)
        if not name:
            ours = [one for one in known if one.mine]
            found = [one.id for one in ours if not running or one.state == "running"][:1]
        else:
            found = [one.id for one in known if one.id == name]
            found = found or [one.id for one in known if one.id.startswith(name)]
        if len(found) == 1:
            return session.jobs.find(agent, found[0])
        if found:
            raise UsageError(
                f"{name} begins more than one job's id", ", ".join(found[:8]), "write more of it"
            )
        what = f"There is no job {name}" if name else "There is no job"
        raise UsageError(
            f"{what}{' that runs' if running and not name else ''} on {session.name}",
            "",
            "see `sidecar jobs`",
            code="no-such-job",
        )


async def _refuse_what_is_others(session: Session, job: Job) -> None:
    """Raises UsageError for a job that somebody else started on this account."""
    for one in await session.jobs.list(await session.connected()):
        if one.id == job.id and not one.mine:
            raise UsageError(
                f"Job {job.id} was started by {one.owner or 'another laptop'}",
                "this account is used by others, too",
                "with `--all` it is signalled all the same",
                code="not-yours",
            )


class _Finder:
    """Gives a job over the connection that stands now."""

    def __init__(self, registry: Registry, session: Session, name: str) -> None:
        self._registry, self._session, self._name = registry, session, name

    async def __call__(self) -> Job:
        self._session = await self._registry.present(self._session)
        agent = await self._session.connected(unasked=True)
        return self._session.jobs.find(agent, self._name)


Asked = TypeVar("Asked", api.RunParams, api.DebugParams)


def with_arguments(session: Session, params: Asked, looked: target.Looked) -> Asked:
    """The request, with the arguments of the last run where it asks for them."""
    if not params.recall or not (looked.file or params.module):
        return params
    name = target.name(params, looked, session.root)
    return msgspec.structs.replace(params, args=Arguments(session.root).recall(name, params.args))


async def _lines(
    client: Client, params: api.RunParams, looked: target.Looked
) -> tuple[int, list[str]] | None:
    """Those that are to run, with the first one's number.

    Raises:
        UsageError: there are none such.
    """
    if params.first < 1:
        return None
    text = client.text_of(looked.file)
    if text is None:
        text = await asyncio.to_thread(target.text_of, looked.file)
    return params.first, text.splitlines(keepends=True)[params.first - 1 : params.last]


def _unsaved(client: Client, params: api.RunParams) -> list[str]:
    return sorted({os.path.basename(path) for path in {*params.dirty, *client.unsaved}})


def _headline(
    session: Session,
    python: messages.PythonFound,
    commit: Commit,
    sending: int,
    job: Job,
    unsaved: list[str],
) -> str:
    source = session.host.python if python.source == "as configured" else python.source
    parts = [session.name, f"Python {python.version}, {source}"]
    if commit.id:
        parts.append(str(commit))
    parts.append(f"{sending} sent along" if sending else "in step")
    if unsaved:
        some = ", ".join(unsaved[:3]) + (", …" if len(unsaved) > 3 else "")
        parts.append(f"not saved: {some}")
    parts.append(f"job {job.id}")
    return " · ".join(parts)
