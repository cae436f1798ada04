"""What is left of jobs: processes that live on behind a job's end, or without its supervisor.

While the supervisor lives they are its descendants, for it is a subreaper; behind that they belong
to init, as any daemon does. But whatever a job starts has the job's id in its environment, unless
it was taken out on purpose. Nothing here looks beyond this machine, or at others' processes.
"""

import os
from typing import Dict, Iterable, List, Set

from sidecar.agent import machine
from sidecar.agent.supervisor import records

MARK = b"SIDECAR_JOB="

MOST_ENVIRONMENT = 1 << 18
"""Bytes of a process's environment that are looked through. Kernels allow more; shells rarely."""


def marked() -> Dict[str, List[int]]:
    """Job ids, and our own user's living processes that have them in their environment; on Linux
    only."""
    found: Dict[str, List[int]] = {}
    try:
        names = os.listdir("/proc")
    except OSError:
        return found
    for name in names:
        if not name.isdigit():
            continue
        try:
            with open("/proc/%s/environ" % name, "rb") as file:
                environment = file.read(MOST_ENVIRONMENT)
        except OSError:
            continue  # another user's, or gone
        at = 0 if environment.startswith(MARK) else environment.find(b"\0" + MARK) + 1
        if at or environment.startswith(MARK):
            job = environment[at + len(MARK) :].partition(b"\0")[0].decode("ascii", "replace")
            found.setdefault(job, []).append(int(name))
    return found


def of(
    record: records.Record, state: str, here: machine.Place, known: Dict[str, List[int]]
) -> List[int]:
    """The processes of a job that has ended or is LOST, on this machine, in this boot.

    Args:
        state: as seen from `here`.
        known: what `marked` said a moment ago.
    """
    if state not in (records.EXITED, records.LOST) or record.place != here:
        return []
    pids: Set[int] = set(known.get(record.id, ()))
    pids.update(one.pid for one in record.left if one.alive())
    if record.supervisor.alive():
        pids.update(machine.descendants(record.supervisor.pid))
    if record.process.alive():
        pids.add(record.process.pid)
    for pid in list(pids):
        pids.update(machine.descendants(pid))
    return sorted(pids - {os.getpid(), record.supervisor.pid})


def signal(pids: Iterable[int], number: int) -> bool:
    """Sends the signal to each of them; whether any got it."""
    reached = False
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue
        reached = True
    return reached
