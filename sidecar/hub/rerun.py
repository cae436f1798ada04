"""Running again what a job ran: the same command, with today's code or with that job's.

What was asked for is kept in the job's record, by names that mean the same on each laptop. Values
of variables are not kept anywhere, so those that were given with the run are given again.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from sidecar import api
from sidecar.core import messages
from sidecar.errors import RemoteError, UsageError
from sidecar.hub import target
from sidecar.hub.sessions import Session
from sidecar.hub.target import Looked
from sidecar.jobs.listing import Listed

NAMED = 6
"""Files and packages that a difference names."""

MOST_TOLD = 4 << 20
"""Bytes that what is kept of a job unfolds to."""


class Request(msgspec.Struct, frozen=True):
    """What a run was asked for. `target` and `cwd` are relative to the project's root where they
    are in it; `env`: names alone."""

    target: str
    args: list[str] = []
    module: bool = False
    cwd: str = ""
    env: list[str] = []
    gpus: int = 0


class Kept(msgspec.Struct, frozen=True):
    """What is kept beside a job's record (agent/jobs/annex.py)."""

    variables: list[str] = []
    packages: dict[str, str] = {}
    gpus: list[str] = []
    diff: str = ""


class Code(NamedTuple):
    """A job's own code, for a run of it. `copy`: the name of what is kept of it."""

    copy: str
    record: Mapping[str, str]

    @property
    def own(self) -> dict[str, str]:
        """What of the record is about the code: the new job's is the same."""
        of_code = ("tree", "commit", "dirty", "as_is", "differing")
        return {name: self.record.get(name, "") for name in of_code}


def request(params: api.RunParams, looked: Looked, root: str) -> str:
    """What goes into the record; "" for what cannot be run again (the lines of a cell)."""
    if params.first:
        return ""
    asked = Request(
        target=target.name(params, looked, root) if looked.file else params.target,
        args=params.args,
        module=params.module,
        cwd=os.path.relpath(os.path.realpath(params.cwd or root), os.path.realpath(root)),
        env=sorted(params.env),
        gpus=params.gpus,
    )
    return msgspec.json.encode(asked).decode()


def params(
    one: Listed, given: api.RerunParams, root: str, again: str = "sidecar rerun"
) -> api.RunParams:
    """The run that a job was, for this laptop.

    Args:
        again: the command that can be given what is missing.

    Raises:
        UsageError: it cannot be run again so.
    """
    try:
        asked = msgspec.json.decode(one.record.get("request", ""), type=Request)
    except msgspec.MsgspecError:
        raise UsageError(
            f"Job {one.id} cannot be run again",
            "its record does not say what was asked for (a cell, a shell, or an older sidecar)",
            "run it as it was run then",
        ) from None
    missing = [name for name in asked.env if name not in given.env]
    if missing:
        values = " ".join(f"-e {name}=…" for name in missing)
        raise UsageError(
            f"Job {one.id} was given {', '.join(missing)}, whose values are kept nowhere",
            "",
            f"give them again: `{again} {values} {one.id}`",
        )
    cwd = os.path.normpath(os.path.join(root, asked.cwd))
    inside = asked.target.partition("::")[0].endswith(".py") and not asked.module
    return api.RunParams(
        project=given.project,
        host=given.host,
        target=os.path.relpath(os.path.join(root, asked.target), cwd) if inside else asked.target,
        args=asked.args,
        module=asked.module,
        cwd=cwd,
        env=given.env,
        gpus=asked.gpus,
        as_is=given.as_is or given.frozen,
        detach=given.detach,
        terminal=given.terminal,
        rows=given.rows,
        columns=given.columns,
        dirty=given.dirty,
        frozen=True if given.frozen else None,
    )


def code(one: Listed) -> Code:
    """The code that the job ran.

    Raises:
        UsageError: its record does not say.
    """
    copy = one.record.get("frozen") or one.record.get("tree", "")
    if not copy:
        raise UsageError(
            f"What code job {one.id} ran is not known", "it ran what was there", "run today's"
        )
    return Code(copy, one.record)


async def kept(session: Session, job: str) -> Kept:
    """What is kept beside the record.

    Raises:
        RemoteError: there is no such job.
    """
    agent = await session.connected()
    told = await agent.request(lambda number: messages.About(number, job))
    assert isinstance(told, messages.Told)
    return _decoded(told.body)


async def differences(session: Session, one: Listed, new: str) -> list[str]:
    """In lines for people: how the code and the environment of a new job differ from a job's."""
    agent = await session.connected()
    listed = {job.id: job for job in await session.jobs.listed(agent)}
    now, then = listed[new].record, one.record
    lines = []
    commits = then.get("commit", "")[:9], now.get("commit", "")[:9]
    if commits[0] != commits[1]:
        lines.append(f"commit {commits[0] or 'unknown'} → {commits[1] or 'unknown'}")
    if then.get("tree") != now.get("tree"):
        changed = session.changed_since([one.id]).get(one.id)
        lines.append("the code differs" if changed is None else _files(changed))
    if then.get("interpreter") != now.get("interpreter"):
        lines.append(f"{then.get('interpreter')} → {now.get('interpreter')}")
    before = (await kept(session, one.id)).packages
    python, _, version = now.get("interpreter", "").rstrip(")").partition(" (")
    if before and python:
        told = await agent.request(lambda number: messages.Packages(number, python, version))
        assert isinstance(told, messages.Told)
        lines += _packages(before, _decoded(told.body).packages)
    return lines


def _decoded(body: bytes) -> Kept:
    try:
        return msgspec.json.decode(zlib.decompressobj().decompress(body, MOST_TOLD), type=Kept)
    except (zlib.error, msgspec.MsgspecError) as error:
        raise RemoteError("What is kept of a job could not be read", str(error)) from None


def _files(changed: Sequence[str]) -> str:
    if len(changed) == 1:
        return f"1 file changed: {changed[0]}"
    return f"{len(changed)} files changed: {_some(changed)}"


def _packages(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    changed = [
        f"{name} {before[name]} → {now[name]}"
        for name in sorted(before.keys() & now.keys())
        if before[name] != now[name]
    ]
    changed += [f"{name} {now[name]} is new" for name in sorted(now.keys() - before.keys())]
    changed += [f"{name} {before[name]} is gone" for name in sorted(before.keys() - now.keys())]
    return [f"packages: {_some(changed)}"] if changed else []


def _some(names: Sequence[str]) -> str:
    more = f", and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
