"""Where the processes of jobs listen, found without root: the kernel's table of sockets, and the
descriptors of our own processes.

The table alone is read at each beat. Whose a socket is takes a look through many files, and is
asked only when the listening sockets of our user are others than before.
"""

import os
import re
import threading
from typing import Any, Callable, Dict, FrozenSet, Iterable, List, Optional, Sequence, Set

from sidecar.agent import machine, sockets
from sidecar.agent.jobs import remains
from sidecar.agent.outbox import LinkClosed
from sidecar.agent.supervisor import records

BEATS = (0.5, 0.5, 1.0, 1.0, 2.0, 4.0)
"""Seconds between two looks: servers come up soon after a job's start, or much later."""

MOST_PORTS = 200
"""That are told; a program that opens more has no use for this."""

MOST_DESCRIPTORS = 4096
"""Of one process, that are looked through."""

MOST_COMMAND = 4096
"""Bytes of a command line that are told."""

_SOCKET = re.compile(r"socket:\[(\d+)\]\Z")


def of(jobs: Dict[str, Set[int]], table: Iterable[sockets.Listening]) -> List[Dict[str, Any]]:
    """The ports on which processes of these jobs listen, as objects with `job`, `host`, `port`,
    `pid` and `command` (its words).

    Args:
        jobs: ids, and the processes of each.
        table: the sockets that listen on this machine.
    """
    listening = {one.inode: one for one in table}
    found: Dict[Any, Dict[str, Any]] = {}
    for job, pids in sorted(jobs.items()):
        # The first process that has a socket opened it, as a rule; its children inherited it.
        for pid in sorted(pids):
            for inode in _inodes(pid):
                one = listening.get(inode)
                if one is None or (job, one.port) in found or len(found) >= MOST_PORTS:
                    continue
                found[job, one.port] = {
                    "job": job,
                    "host": one.host,
                    "port": one.port,
                    "pid": pid,
                    "command": _command(pid),
                }
    return [found[key] for key in sorted(found)]


def sockets_of(jobs: Dict[str, Set[int]]) -> List[Dict[str, str]]:
    """The Unix sockets at which processes of these jobs listen: objects with `job` and `path`."""
    paths: Dict[int, str] = {}
    try:
        with open("/proc/net/unix", errors="surrogateescape") as rows:
            for row in rows:
                # Number, references, protocol, flags (one says that it listens), type, state,
                # inode, path.
                fields = row.rstrip("\n").split(None, 7)
                if len(fields) == 8 and fields[3] == "00010000" and fields[7].startswith("/"):
                    paths[int(fields[6])] = fields[7]
    except (OSError, ValueError):
        return []
    return [
        {"job": job, "path": paths[inode]}
        for job, pids in sorted(jobs.items())
        for inode in sorted({inode for pid in pids for inode in _inodes(pid)} & set(paths))
    ][:MOST_PORTS]


def processes(state: str, wanted: Sequence[str]) -> Dict[str, Set[int]]:
    """The running jobs of this machine, or those `wanted` of them, and the processes of each."""
    known, here = remains.marked(), machine.here()
    found: Dict[str, Set[int]] = {}
    for job in wanted or sorted(known):
        try:
            record, how = records.refreshed(records.folder(state, job), here)
        except records.RecordError:
            continue
        if how == records.RUNNING and record.place == here:
            pids = set(known.get(job, ())) | set(machine.descendants(record.supervisor.pid))
            found[job] = pids - {os.getpid(), record.supervisor.pid}
    return found


def _inodes(pid: int) -> List[int]:
    folder = "/proc/%d/fd" % pid
    try:
        names = os.listdir(folder)
    except OSError:
        return []  # it ended, or is not ours to look into
    found: List[int] = []
    for name in names[:MOST_DESCRIPTORS]:
        try:
            match = _SOCKET.match(os.readlink("%s/%s" % (folder, name)))
        except OSError:
            continue
        if match:
            found.append(int(match.group(1)))
    return found


def _command(pid: int) -> List[str]:
    try:
        with open("/proc/%d/cmdline" % pid, "rb") as file:
            words = file.read(MOST_COMMAND).split(b"\0")
    except OSError:
        return []
    return [word.decode("utf-8", "replace") for word in words if word]


class Watch:
    """Looks at the ports of some jobs at a beat, and tells when they change. Its thread is there
    only while one of the jobs runs.

    Args:
        state: this machine's state folder.
        jobs: ids.
        tell: called with what `of` says, from the thread.
    """

    def __init__(
        self, state: str, jobs: Sequence[str], tell: Callable[[List[Dict[str, Any]]], None]
    ) -> None:
        self._state, self._jobs, self._tell = state, list(jobs), tell
        self._stopped = threading.Event()
        threading.Thread(target=self._run, name="ports", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def _run(self) -> None:
        before: Optional[FrozenSet[int]] = None
        told: List[Dict[str, Any]] = []
        beat, user = 0, os.geteuid()
        while not self._stopped.wait(BEATS[min(beat, len(BEATS) - 1)]):
            beat += 1
            table = [one for one in sockets.listening() if one.user == user]
            inodes = frozenset(one.inode for one in table)
            if inodes == before and beat % 8:
                continue
            # A socket that was there before may be inherited by a job later, and a job may end
            # without having had one: now and then all of it is looked at, whatever the table says.
            jobs = processes(self._state, self._jobs)
            before, found = inodes, of(jobs, table)
            if found != told and not self._stopped.is_set():
                told = found
                try:
                    self._tell(found)
                except LinkClosed:
                    return
            if not jobs:
                return
