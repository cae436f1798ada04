"""Which machine this is, since when it is up, and which process a number means.

A pid says nothing by itself: home folders are shared by many machines, containers count pids on
their own, a machine restarts, and numbers are used again. So whoever wrote a pid down wrote a
`Place` and the process's start time beside it, and nobody signals a pid unless all three are as
they were.
"""

import os
import sys
from typing import Dict, List, NamedTuple, Optional

_LINUX = sys.platform.startswith("linux")


class Place(NamedTuple):
    """Where a pid means something. `machine`: its host name and, where there is one, its
    machine id. `boot`: this run of its kernel. `pids`: the pid namespace, for containers."""

    machine: str
    boot: str
    pids: str


def here() -> Place:
    """The place of this process."""
    machine = os.uname().nodename
    identity = _first_line("/etc/machine-id")
    if identity:
        machine += "/" + identity[:12]
    return Place(machine, _boot(), _pid_namespace())


def start_time(pid: int) -> str:
    """When the process started, in a form that is only good for comparing; "" where there is no
    such process, or only what is left of one until its parent asks."""
    if pid <= 0:
        return ""
    if not _LINUX:
        return _asked("ps", "-o", "lstart=", "-p", str(pid))
    fields = _stat(pid)
    return fields[_START] if fields and fields[_STATE] not in "ZX" else ""


def descendants(pid: int) -> List[int]:
    """All living processes that come from `pid`, itself not included; on Linux only.

    They are complete only where `pid` is a subreaper: else a process whose parent has ended
    belongs to init.
    """
    if not _LINUX:
        return []
    children: Dict[int, List[int]] = {}
    for name in os.listdir("/proc"):
        fields = _stat(int(name)) if name.isdigit() else None
        if fields and fields[_STATE] not in "ZX":
            children.setdefault(int(fields[_PARENT]), []).append(int(name))
    found: List[int] = []
    waiting = [pid]
    while waiting:
        below = children.pop(waiting.pop(), [])
        found += below
        waiting += below
    return found


_STATE, _PARENT, _START = 0, 1, 19
"""Positions in /proc/PID/stat, counted from behind the command's name."""


def _stat(pid: int) -> Optional[List[str]]:
    try:
        with open("/proc/%d/stat" % pid, "rb") as file:
            text = file.read()
    except OSError:
        return None  # it ended meanwhile, or never was
    # The name stands in parentheses and may hold anything, parentheses included.
    return text[text.rfind(b")") + 2 :].decode("ascii", "replace").split()


def _boot() -> str:
    if _LINUX:
        return _first_line("/proc/sys/kernel/random/boot_id")
    return _asked("sysctl", "-n", "kern.boottime")


def _pid_namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _first_line(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.readline(256).strip()
    except OSError:
        return ""


def _asked(*command: str) -> str:
    """What a system's own tool says where there is no /proc; "" where it fails."""
    import subprocess  # takes as long to load as all the rest, and Linux does not need it

    try:
        answer = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.decode("utf-8", "replace").strip() if answer.returncode == 0 else ""
