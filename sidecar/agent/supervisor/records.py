"""A job's folder: `<state>/jobs/<id>/` with `record.json` and `log`.

The folder outlives the job, the agent and the connection, and may lie on a file system that many
machines share: each has its own below the same folder, and reads what the others have. Its version
stands in the record: that before ours is read, one that is newer is told, not guessed at. Only the
job's supervisor writes here. Folders are 0700 and files 0600: a command line or the output may hold
what is nobody else's business, and so environment variables are kept by their names alone.
"""

import json
import os
import re
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Tuple

from sidecar.agent import machine

VERSION = 2
"""1 had bare numbers in `left`, and one file of log."""

RUNNING = "running"
EXITED = "exited"
LOST = "lost"
"""Its supervisor is gone without a word: the machine was restarted, or somebody killed it."""
ELSEWHERE = "elsewhere"
"""It runs, as far as the record says, but on another machine: only to be read from here."""
NEWER = "newer"
"""Its record is of a later version: that it is there is all that is known."""

MAX_RECORD = 1 << 20
MOST_MACHINES = 100
"""State folders of other machines that are looked through: the login nodes of a cluster are few."""

_ID = re.compile(r"[0-9a-z][0-9a-z-]{0,63}\Z")


class RecordError(Exception):
    """There is no such job, or its record cannot be read; the message says which."""


class RecordNewer(RecordError):
    """A later version of the sidecar wrote it."""


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
    left: List[Process] = []  # never changed in place: a record is replaced whole

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
    content["left"] = [one._asdict() for one in record.left]
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
        RecordError: none there, or damaged; RecordNewer: of a later version.
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
    if isinstance(version, int) and version > VERSION:
        raise RecordNewer(
            "the record of job %s has version %d, and this sidecar reads up to %d"
            % (job, version, VERSION)
        )
    if version not in (VERSION, VERSION - 1):
        raise RecordError("the record of job %s has version %r, not %d" % (job, version, VERSION))
    try:
        if version == 1:
            content["left"] = [{"pid": pid, "start": ""} for pid in content.get("left", [])]
        content["left"] = [Process(**one) for one in content["left"]]
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


def states(state_folder: str) -> List[str]:
    """The state folders that may hold jobs, this machine's first: behind one name there may be
    several machines that share a home, and each has its own, called after it (main.py)."""
    base, name = os.path.split(state_folder)
    if name != os.uname().nodename:
        return [state_folder]
    try:
        with os.scandir(base) as entries:
            others = sorted(
                entry.path
                for entry in entries
                if entry.name != name and entry.is_dir(follow_symlinks=False)
            )
    except OSError:
        others = []
    return [state_folder, *others[:MOST_MACHINES]]


def newest(state_folders: Iterable[str], limit: int) -> List[str]:
    """Folders of jobs, the one that was made last first."""
    found: List[Tuple[float, str]] = []
    for state_folder in state_folders:
        try:
            with os.scandir(os.path.join(state_folder, "jobs")) as entries:
                found += [
                    (entry.stat(follow_symlinks=False).st_mtime, entry.path)
                    for entry in entries
                    if _ID.match(entry.name) and entry.is_dir(follow_symlinks=False)
                ]
        except (FileNotFoundError, NotADirectoryError):
            continue
    return [path for _, path in sorted(found, reverse=True)[:limit]]


def describe(record: Record, found: str, left: List[int]) -> Dict[str, Any]:
    """A job as messages.JobList tells it. `left`: its processes that live on behind its end."""
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
        "left": left,
        "record": record.notes,
    }


def describe_unread(path: str, why: str) -> Dict[str, Any]:
    """The same for one whose record is of a later version."""
    try:
        started = os.lstat(path).st_mtime
    except OSError:
        started = 0.0
    job = os.path.basename(path)
    return {"id": job, "argv": [], "cwd": "", "state": NEWER, "started": started, "why": why}
