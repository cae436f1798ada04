"""The agent's list of jobs: read, checked, and told as the editor's wire has it."""

from __future__ import annotations

import shlex
from datetime import datetime, timezone
from typing import Any, Literal

import msgspec

from sidecar import api
from sidecar.errors import RemoteError
from sidecar.jobs import cell
from sidecar.jobs.output import signal_name

State = Literal["running", "exited", "lost", "unknown"]


class Listed(msgspec.Struct, frozen=True):
    """One job, with the fields of agent/records.describe. Fields that are not known here are
    left aside: the agent's version may be another one."""

    id: str
    argv: list[str]
    cwd: str
    state: str
    started: float
    host: str = ""
    user: str = ""
    pid: int = 0
    ended: float | None = None
    status: int | None = None
    why: str = ""
    terminal: bool = False
    peak_rss: int = 0
    log_bytes: int = 0
    dropped: int = 0
    left: list[int] = []
    gpus: list[int] = []
    record: dict[str, str] = {}


_decoder = msgspec.json.Decoder(list[Listed])


def decode(body: bytes) -> list[Listed]:
    """The jobs in a messages.JobList, newest first.

    Raises:
        RemoteError: it is not what an agent of ours sends.
    """
    try:
        return _decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise RemoteError("The list of jobs could not be read", str(error)) from None


def describe(one: Listed, host: str, laptop: str = "") -> api.Job:
    """The job for people and editors.

    Args:
        host: the configuration's name for it.
        laptop: which one this is; a job that says of none whose it is counts as ours.
    """
    state: State = "running"  # also where it runs on another machine, which `machine` names
    if one.state in ("exited", "lost"):
        state = "exited" if one.state == "exited" else "lost"
    elif one.state == "newer":
        state = "unknown"
    signalled = one.status is not None and one.status < 0
    return api.Job(
        id=one.id,
        host=host,
        command=shlex.join(cell.shown(one.argv)),
        state=state,
        started=_time(one.started),
        exit_status=None if one.status is None else max(one.status, -1),
        signal=signal_name(-one.status) if one.status is not None and signalled else "",
        pid=one.pid,
        tree=one.record.get("tree", ""),
        commit=one.record.get("commit", ""),
        dirty=_number(one.record.get("dirty", "")),
        interpreter=one.record.get("interpreter", ""),
        terminal=one.terminal,
        machine=one.host,
        elsewhere=one.state == "elsewhere",
        ended="" if one.ended is None else _time(one.ended),
        peak_memory=one.peak_rss,
        dropped=one.dropped,
        left=one.left,
        gpus=one.gpus,
        mine=one.record.get("laptop", laptop) == laptop,
        owner=one.record.get("owner", ""),
        why=one.why,
        as_is=bool(one.record.get("as_is")),
        differing=[path for path in one.record.get("differing", "").split("\n") if path],
        without=[path for path in one.record.get("without", "").split("\n") if path],
        frozen=bool(one.record.get("frozen")),
    )


def _time(seconds: float) -> str:
    """As ISO 8601; "" for a time that there is not, which a damaged record may have: one such job
    must not hide the others."""
    try:
        return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return ""


def _number(text: Any) -> int:
    return int(text) if isinstance(text, str) and text.isdecimal() and len(text) < 10 else 0
