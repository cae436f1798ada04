"""Which GPUs were given to which jobs, so that two runs that start at once get different ones.

`<state>/gpus` is a table, {uuid: [job, when]}, changed under a lock on itself. A claim holds while
its job runs, and for a moment before: what was chosen is written down before the job is there.
It is a promise among runs of this account and machine; whoever else uses a GPU shows in the table
of processes.
"""

import fcntl
import json
import os
import time
from typing import Any, Dict, List

from sidecar.agent import machine, private
from sidecar.agent.failure import Failure, explain
from sidecar.agent.jobs import gpus
from sidecar.agent.supervisor import records

STARTING = 60.0
"""Seconds that a job may take from its choice of GPUs until its record is there."""

LOCKED = 10.0
"""Seconds that another run may take to choose: it asks nvidia-smi."""

LARGEST = 1 << 20


class Taken(Failure):
    """Not so many GPUs are free."""


def held(state: str) -> Dict[str, str]:
    """The GPUs that are given away, and the jobs that have them. Takes no lock: a look."""
    try:
        with open(os.path.join(state, "gpus"), encoding="ascii") as file:
            return _alive(state, _table(file.read(LARGEST)))
    except OSError:
        return {}


def choose(state: str, job: str, count: int, busy: bool) -> List[str]:
    """Gives `count` GPUs to a job that is about to start: free ones, those with the most free
    memory first, and of equal ones the first.

    Args:
        busy: take those that are in use, too, where too few are free: the least used first.
    Raises:
        Failure: there are none, or too few that are free; it says who has the others.
    """
    try:
        found = gpus.survey()
    except gpus.GpuError as error:
        raise Failure("gpus", "The GPUs of the remote machine cannot be asked about", str(error),
                      "run it without --gpus") from None  # fmt: skip
    usable = [one for one in found if not one.mig]
    if not usable:
        raise Failure("gpus", "There is no GPU on the remote machine", "nvidia-smi lists none",
                      "run it without --gpus")  # fmt: skip
    if count > 1 and any(one.slice for one in usable):
        whole = [one for one in usable if not one.slice]
        if len(whole) < count:
            raise Failure(
                "gpus",
                "A program can use one slice of a GPU only",
                "the GPUs of the remote machine are cut into slices (MIG)",
                "run it with --gpus 1",
            )
        usable = whole
    private.folder(state, "jobs", make=True)
    with _Locked(state) as file:
        claims = _alive(state, _table(file.read(LARGEST)))
        chosen = pick(usable, claims, count, busy)
        for uuid in chosen:
            claims[uuid] = job
        now = time.time()
        text = json.dumps({uuid: [owner, now] for uuid, owner in claims.items()})
        file.seek(0)
        file.truncate()
        file.write(text)
    return chosen


def pick(usable: List[gpus.Gpu], claims: Dict[str, str], count: int, busy: bool) -> List[str]:
    """The UUIDs of the freest. Raises Taken where fewer are free, unless `busy`."""
    whose = {one.uuid: _whose(one, claims) for one in usable}
    free = [one for one in usable if not whose[one.uuid]]
    if len(free) < count and (not busy or len(usable) < count):
        others = "; ".join(
            "%s: %s" % (_called(one), whose[one.uuid]) for one in usable if whose[one.uuid]
        )
        if len(usable) < count:
            fix = "ask for %d" % len(usable)
        else:
            fix = "wait, ask for fewer, or share those in use (--busy)"
        raise Taken(
            "gpus-busy",
            "%d of %d GPUs %s free, and %d %s wanted"
            % (len(free), len(usable), "is" if len(free) == 1 else "are", count,
               "is" if count == 1 else "are"),
            others,
            fix,
        )  # fmt: skip

    def order(one: gpus.Gpu) -> Any:
        left = one.total - max(one.used, 0) if one.total >= 0 else 0
        # What is free first, then what only others use, then what was given to a job of ours.
        rank = 0 if not whose[one.uuid] else 2 if one.uuid in claims else 1
        return rank, max(one.percent, 0) // 10 if rank else 0, -left, one.parent, one.number

    return [one.uuid for one in sorted(usable, key=order)[:count]]


def _whose(one: gpus.Gpu, claims: Dict[str, str]) -> str:
    return "given to job %s" % claims[one.uuid] if one.uuid in claims else one.busy


def _called(one: gpus.Gpu) -> str:
    return "slice %d of GPU %d" % (one.number, one.parent) if one.slice else "GPU %d" % one.number


def let_go(state: str, job: str) -> None:
    """The job did not start: what it was given is free again."""
    try:
        with _Locked(state) as file:
            table = _table(file.read(LARGEST))
            left = {uuid: claim for uuid, claim in table.items() if claim[0] != job}
            file.seek(0)
            file.truncate()
            file.write(json.dumps(left))
    except (OSError, Failure):
        return  # then it is free in a minute


class _Locked:
    """The open table, with its lock held.

    Raises:
        Failure: it cannot be, on this file system or in time.
    """

    def __init__(self, state: str) -> None:
        self._path = os.path.join(state, "gpus")

    def __enter__(self) -> Any:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            self._file = os.fdopen(os.open(self._path, flags, 0o600), "r+", encoding="ascii")
        except OSError as error:
            code, why = explain(error)
            raise Failure(code, "%s cannot be written" % self._path, why) from None
        until = time.monotonic() + LOCKED
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return self._file
            except BlockingIOError:
                if time.monotonic() > until:
                    self._file.close()
                    why = "another run holds %s" % self._path
                    raise Failure("gpus", "No GPU can be chosen now", why, "try again") from None
                time.sleep(0.02)
            except OSError as error:
                self._file.close()
                code, why = explain(error)
                fix = "set `hosts.X.state` to a folder on a local disk"
                raise Failure(code, "%s cannot be locked" % self._path, why, fix) from None

    def __exit__(self, *_: Any) -> None:
        self._file.close()


def _table(text: str) -> Dict[str, List[Any]]:
    """What is not understood is no claim: the GPUs' own processes still show."""
    try:
        found = json.loads(text) if text.strip() else {}
    except ValueError:
        return {}
    if not isinstance(found, dict):
        return {}
    return {
        uuid: claim
        for uuid, claim in found.items()
        if isinstance(claim, list) and len(claim) == 2 and isinstance(claim[0], str)
    }


def _alive(state: str, table: Dict[str, List[Any]]) -> Dict[str, str]:
    """Claims of jobs that run, or are about to."""
    return {uuid: job for uuid, (job, since) in table.items() if _holds(state, job, since)}


def _holds(state: str, job: str, since: Any) -> bool:
    try:
        folder = records.folder(state, job)
        if os.path.lexists(os.path.join(folder, "record.json")):
            return records.refreshed(folder, machine.here())[1] == records.RUNNING
    except records.RecordError:
        return False
    return isinstance(since, (int, float)) and 0 <= time.time() - since < STARTING
