"""NVIDIA's GPUs in this machine, and who computes on them, as `nvidia-smi` tells it.

The one module that asks it. What it prints differs between drivers: a field may be "[N/A]", "[Not
Supported]", "[Unknown Error]" or "[Insufficient Permissions]", units may stand behind numbers, and
a field that a driver does not know makes it refuse the whole question, so that those which came
later (MIG's) are left out in a second one. Of slices, in MIG mode, `-L` alone has the UUIDs, and
`-q -x` alone who is on which. In a container the processes of others, and often all, are not seen.
"""

import os
import pwd
import re
import shutil
import subprocess
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Tuple

PATIENCE = 10.0
"""Seconds; the first call after a boot, with the driver asleep, takes two, one on a machine with
many cards as well, and a driver that hangs must hold up nobody."""

FIELDS = "index,uuid,name,utilization.gpu,memory.used,memory.total,driver_version"
LATER = FIELDS + ",mig.mode.current"
"""MIG came with driver 450."""

APPS = "gpu_uuid,pid,used_memory,process_name"

MIB = 1 << 20

BUSY_MEMORY = 0.1
BUSY_PERCENT = 10
"""A GPU on which nobody is seen to compute counts as busy with more than that in use: who computes
in another container shows by memory alone. An idle one's driver takes up to half a gigabyte."""

_SLICE = re.compile(
    r"\s+MIG\s+(?P<profile>\S+)\s+Device\s+(?P<number>\d+):\s+\(UUID:\s+(?P<uuid>[^)\s]+)\)"
)
_GPU = re.compile(r"GPU\s+(?P<index>\d+):\s+(?P<name>.*?)\s+\(UUID:\s+(?P<uuid>[^)\s]+)\)")


class Process(NamedTuple):
    """`memory`: bytes, -1 where it is not told."""

    pid: int
    memory: int = -1
    name: str = ""


class Gpu(NamedTuple):
    """A GPU, or a slice of one (`slice`: its profile; `parent`: the GPU's number). `percent`, and
    memory in bytes: -1 where they are not told. `mig`: it is cut into slices, and not to be used as
    a whole."""

    number: int
    uuid: str
    name: str
    percent: int = -1
    used: int = -1
    total: int = -1
    driver: str = ""
    mig: bool = False
    slice: str = ""
    parent: int = -1
    processes: Tuple[Process, ...] = ()

    @property
    def busy(self) -> str:
        """Why it should not be given to somebody; "" where it may be."""
        if self.processes:
            return "in use by %s" % ", ".join(
                "%s (%d)" % (user(one.pid) or "process", one.pid) for one in self.processes[:3]
            )
        if self.total > 0 and self.used > self.total * BUSY_MEMORY:
            return "%d of %d GB in use" % (self.used >> 30, self.total >> 30)
        if self.percent >= BUSY_PERCENT:
            return "%d %% busy" % self.percent
        return ""


class GpuError(Exception):
    """The tool is there and tells nothing; the message says why."""


def survey(patience: float = PATIENCE) -> List[Gpu]:
    """All GPUs, each with its slices behind it. None where there is no such tool.

    Raises:
        GpuError: it does not work.
    """
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    try:
        cards = _ask(tool, patience, "--query-gpu=" + LATER)
    except GpuError:
        cards = _ask(tool, patience, "--query-gpu=" + FIELDS)
    found = parse(cards)
    if any(one.mig for one in found):
        found = with_slices(found, _ask(tool, patience, "-L"))
    try:
        found = with_processes(found, _ask(tool, patience, "--query-compute-apps=" + APPS))
        if any(one.slice for one in found):
            found = with_details(found, _ask(tool, patience, "-q", "-x"))
    except GpuError:
        pass  # who computes is not for everybody's eyes everywhere
    return found


def in_use() -> Dict[int, List[int]]:
    """Pids of this machine, and the numbers of the GPUs that each computes on. In a container the
    tool sees none, or other numbers: then nothing is said."""
    try:
        found = survey()
    except GpuError:
        return {}
    held: Dict[int, List[int]] = {}
    for gpu in found:
        number = gpu.parent if gpu.slice else gpu.number
        for one in gpu.processes:
            if number not in held.setdefault(one.pid, []):
                held[one.pid].append(number)
    return {pid: sorted(numbers) for pid, numbers in held.items()}


# --- what it prints --------------------------------------------------------------------------


def parse(text: str) -> List[Gpu]:
    """The table of GPUs (FIELDS or LATER) as CSV without a head. Lines that are none are left
    out."""
    found: List[Gpu] = []
    for line in text.splitlines():
        values = [value.strip() for value in line.split(",")]
        if len(values) < 7 or not values[0].isdigit() or not values[1].startswith(("GPU-", "MIG-")):
            continue
        found.append(
            Gpu(
                int(values[0]),
                values[1],
                values[2],
                _number(values[3]),
                _bytes(values[4]),
                _bytes(values[5]),
                _told(values[6]),
                values[7:8] == ["Enabled"],
            )
        )
    return found


def with_slices(gpus: Iterable[Gpu], text: str) -> List[Gpu]:
    """The same, with the slices that `-L` lists behind their GPUs."""
    slices: Dict[str, List[Tuple[str, int, str]]] = {}
    uuid = ""
    for line in text.splitlines():
        gpu, part = _GPU.match(line), _SLICE.match(line)
        if gpu:
            uuid = gpu.group("uuid")
        elif part:
            known = slices.setdefault(uuid, [])
            known.append((part.group("profile"), int(part.group("number")), part.group("uuid")))
    found: List[Gpu] = []
    for one in gpus:
        found.append(one)
        for profile, number, part_uuid in slices.get(one.uuid, ()):
            part_of = Gpu(number, part_uuid, one.name, driver=one.driver)
            found.append(part_of._replace(slice=profile, parent=one.number))
    return found


def with_processes(gpus: Iterable[Gpu], text: str) -> List[Gpu]:
    """The same, with who computes on them (APPS). Of a GPU in MIG mode they are told as its own,
    or, by some drivers, as its slices'."""
    known: Dict[str, List[Process]] = {}
    for line in text.splitlines():
        # The name comes last, since it may hold anything.
        values = [value.strip() for value in line.split(",", 3)]
        if len(values) < 2 or not values[1].isdigit():
            continue
        values += [""] * (4 - len(values))
        one = Process(int(values[1]), _bytes(values[2]), _told(values[3]))
        if one.pid not in [other.pid for other in known.setdefault(values[0], [])]:
            known[values[0]].append(one)
    return [gpu._replace(processes=tuple(known.get(gpu.uuid, ()))) for gpu in gpus]


def with_details(gpus: Iterable[Gpu], text: str) -> List[Gpu]:
    """The same, with the memory of each slice and who computes on it, from the report in XML."""
    from xml.etree import ElementTree  # where there are slices only

    found = list(gpus)
    try:
        # The tool's own words, from this machine: nothing that a stranger wrote but names.
        report = ElementTree.fromstring(text)  # noqa: S314
    except ElementTree.ParseError:
        return found
    slices = {(one.parent, one.number): at for at, one in enumerate(found) if one.slice}
    numbers = {one.uuid: one.number for one in found if not one.slice}
    for gpu in report.findall("gpu"):
        parent = numbers.get(gpu.findtext("uuid", ""), -1)
        for part in gpu.findall("mig_devices/mig_device"):
            at = slices.get((parent, _number(part.findtext("index", ""))))
            if at is None:
                continue
            instance = part.findtext("gpu_instance_id", "")
            found[at] = found[at]._replace(
                used=_bytes(part.findtext("fb_memory_usage/used", "")),
                total=_bytes(part.findtext("fb_memory_usage/total", "")),
                processes=tuple(
                    Process(
                        _number(one.findtext("pid", "")),
                        _bytes(one.findtext("used_memory", "")),
                        _told(one.findtext("process_name", "")),
                    )
                    for one in gpu.findall("processes/process_info")
                    if one.findtext("gpu_instance_id", "") == instance
                ),
            )
    return found


def _told(text: str) -> str:
    return "" if text.startswith("[") else text


def _number(text: str) -> int:
    digits = re.match(r"\d+", text)
    return int(digits.group()) if digits else -1


def _bytes(text: str) -> int:
    """With "nounits" MiB are meant; some older drivers write the unit all the same."""
    number = _number(text)
    return number * MIB if number >= 0 else -1


def _ask(tool: str, patience: float, *question: str) -> str:
    table = question[0].startswith("--query")
    try:
        answer = subprocess.run(
            [tool, *question, *(["--format=csv,noheader,nounits"] if table else [])],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=patience,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise GpuError("nvidia-smi said nothing for %.0f seconds" % patience) from None
    except OSError as error:
        raise GpuError("nvidia-smi cannot be started: %s" % error) from None
    text = answer.stdout.decode("utf-8", "replace")
    if answer.returncode != 0:
        words = text.strip() or answer.stderr.decode("utf-8", "replace").strip()
        raise GpuError(words.splitlines()[0][:300] if words else "nvidia-smi failed")
    return text


def user(pid: int) -> str:
    """Whose process it is, "" where that cannot be seen."""
    try:
        number = os.stat("/proc/%d" % pid).st_uid
    except OSError:
        return ""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def described(gpu: Gpu, jobs: Dict[int, str], claimed: str) -> Dict[str, Any]:
    """A GPU as messages tell it.

    Args:
        jobs: processes of ours, and the jobs that they belong to.
        claimed: the job that it was given to, "" for none.
    """
    if gpu.mig:
        why = "it is cut into slices"
    elif claimed:
        why = "given to job %s" % claimed
    else:
        why = gpu.busy
    return {
        "index": gpu.number,
        "uuid": gpu.uuid,
        "name": gpu.name,
        "utilization": gpu.percent,
        "memory_used": gpu.used,
        "memory_total": gpu.total,
        "processes": [
            {
                "pid": one.pid,
                "user": user(one.pid),
                "command": one.name,
                "memory": one.memory,
                "job": jobs.get(one.pid, ""),
            }
            for one in gpu.processes
        ],
        "slice": gpu.slice,
        "parent": gpu.parent,
        "claimed": claimed,
        "free": not why,
        "text": why,
    }


def driver(gpus: Iterable[Gpu]) -> Optional[str]:
    return next((one.driver for one in gpus if one.driver), None)
