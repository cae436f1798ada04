"""A job's folder: `<state>/jobs/<id>/` with `record.json` and `log`.

The folder outlives the job, the agent and the connection, and may lie on a file system that many
machines share. Its version stands in the record; one that is newer than ours is told, not
guessed at. Only the job's supervisor writes here. Folders are 0700 and files 0600: a command
line or the output may hold what is nobody else's business, and so environment variables are kept
by their names alone.
"""

import json
import os
import re
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from sidecar.agent import machine

VERSION = 1

RUNNING = "running"
EXITED = "exited"
LOST = "lost"
"""Its supervisor is gone without a word: the machine was restarted, or somebody killed it."""
ELSEWHERE = "elsewhere"
"""It runs, as far as the record says, but on another machine: only to be read from here."""

MAX_RECORD = 1 << 20
_ID = re.compile(r"[0-9a-z][0-9a-z-]{0,63}\Z")


class RecordError(Exception):
    """There is no such job, or its record cannot be read; the message says which."""


class Process(NamedTuple):
    """A pid with the start time that tells it from a later process of the same number."""

    pid: int
    start: str

    def alive(self) -> bool:
        return bool(self.start) and machine.start_time(self.pid) == self.start


class Record(NamedTuple):
    """What is known of a job. Times are seconds since the epoch by that machine's clock.

    `variables`: names of what the run set in the environment. `notes`: the sender's own record
    (tree, commit, interpreter, …), as it came. `socket`: where the supervisor listens. `status`:
    exit status, or minus the signal's number, None while it runs; `why` where neither is known.
    `peak_rss`: bytes, of the largest single process. `dropped`: bytes of output that the full log
    did not take. `left`: processes of the job that lived on when it ended.
    """

    id: str
    argv: List[str]
    cwd: str
    variables: List[str]
    terminal: bool
    notes: Dict[str, str]
    place: machine.Place
    host: str
    user: str
    started: float
    supervisor: Process
    process: Process
    socket: str
    ended: Optional[float] = None
    status: Optional[int] = None
    why: str = ""
    peak_rss: int = 0
    dropped: int = 0
    left: List[int] = []  # never changed in place: a record is replaced whole

    @property
    def over(self) -> bool:
        return self.ended is not None


def check_id(job: str) -> str:
    """The id, if it may name a folder.

    Raises:
        RecordError: it may not.
    """
    if not _ID.match(job):
        raise RecordError("%.80r is no job's id" % job)
    return job


def folder(state: str, job: str) -> str:
    return os.path.join(state, "jobs", check_id(job))


def write(path: str, record: Record) -> None:
    """Puts the record into the job's folder `path`; a reader sees the old one or the new one."""
    content = dict(record._asdict(), version=VERSION)
    content["place"] = record.place._asdict()
    content["supervisor"] = record.supervisor._asdict()
    content["process"] = record.process._asdict()
    temporary = os.path.join(path, "record.json.new")
    descriptor = os.open(
        temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
    )
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        json.dump(content, file, indent=1)
    os.rename(temporary, os.path.join(path, "record.json"))


def read(path: str) -> Record:
    """The record in the job's folder `path`.

    Raises:
        RecordError: none there, damaged, or of a later version.
    """
    job = os.path.basename(path)
    try:
        with open(os.path.join(path, "record.json"), encoding="ascii") as file:
            content = json.loads(file.read(MAX_RECORD))
    except FileNotFoundError:
        raise RecordError("there is no job %s on this machine" % job) from None
    except (OSError, ValueError, RecursionError) as error:
        raise RecordError("the record of job %s cannot be read: %s" % (job, error)) from None
    version = content.pop("version", None) if isinstance(content, dict) else None
    if version != VERSION:
        raise RecordError("the record of job %s has version %r, not %d" % (job, version, VERSION))
    try:
        content["place"] = machine.Place(**content["place"])
        content["supervisor"] = Process(**content["supervisor"])
        content["process"] = Process(**content["process"])
        return Record(**content)
    except (KeyError, TypeError) as error:
        raise RecordError("the record of job %s is damaged: %s" % (job, error)) from None


def state(record: Record, here: machine.Place) -> str:
    """RUNNING, EXITED, LOST or ELSEWHERE, as seen from `here`."""
    if record.over:
        return EXITED
    if record.place.machine != here.machine:
        return ELSEWHERE
    if record.place.boot != here.boot:
        return LOST
    if record.place.pids != here.pids:
        return ELSEWHERE  # another container: its pids mean nothing here
    return RUNNING if record.supervisor.alive() else LOST


def refreshed(path: str, here: machine.Place) -> Tuple[Record, str]:
    """The record in `path` and its state, with the moment between the record's last writing and
    the supervisor's end accounted for.

    Raises:
        RecordError: as `read`.
    """
    record = read(path)
    found = state(record, here)
    if found == LOST:
        record = read(path)
        found = EXITED if record.over else LOST
    return record, found


def newest(state_folder: str, limit: int) -> List[str]:
    """Folders of jobs, the one that was made last first."""
    try:
        with os.scandir(os.path.join(state_folder, "jobs")) as entries:
            found = [
                (entry.stat(follow_symlinks=False).st_mtime, entry.path)
                for entry in entries
                if _ID.match(entry.name) and entry.is_dir(follow_symlinks=False)
            ]
    except FileNotFoundError:
        return []
    return [path for _, path in sorted(found, reverse=True)[:limit]]


def describe(record: Record, found: str) -> Dict[str, Any]:
    """A job as messages.JobList tells it."""
    return {
        "id": record.id,
        "argv": record.argv,
        "cwd": record.cwd,
        "state": found,
        "host": record.host,
        "user": record.user,
        "pid": record.process.pid,
        "started": record.started,
        "ended": record.ended,
        "status": record.status,
        "why": record.why,
        "terminal": record.terminal,
        "peak_rss": record.peak_rss,
        "dropped": record.dropped,
        "left": record.left,
        "record": record.notes,
    }
