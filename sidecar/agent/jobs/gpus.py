"""Which GPUs which processes have in use, as NVIDIA's own tool says, where there is one."""

import shutil
import subprocess
from typing import Dict, List, Optional

PATIENCE = 5.0
"""Seconds; the first call after a boot, with the driver asleep, takes two."""

_APPS = "--query-compute-apps=pid,gpu_uuid"
_CARDS = "--query-gpu=uuid,index"


def in_use() -> Dict[int, List[int]]:
    """Pids of this machine, and the numbers of the GPUs that each computes on. In a container the
    tool sees none, or other numbers: then nothing is said."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return {}
    apps = _asked(tool, _APPS)
    if not apps:
        return {}
    cards = _asked(tool, _CARDS)
    return parse(apps, cards) if cards else {}


def parse(apps: str, cards: str) -> Dict[int, List[int]]:
    """The two tables, as CSV without a head: "pid, uuid" and "uuid, index". Lines that are not
    ("[N/A]", "No running processes found") are left out."""
    indices: Dict[str, int] = {}
    for line in cards.splitlines():
        uuid, _, index = line.partition(",")
        if index.strip().isdigit():
            indices[uuid.strip()] = int(index)
    found: Dict[int, List[int]] = {}
    for line in apps.splitlines():
        pid, _, uuid = line.partition(",")
        number = indices.get(uuid.strip())
        if pid.strip().isdigit() and number is not None:
            held = found.setdefault(int(pid), [])
            if number not in held:
                held.append(number)
                held.sort()
    return found


def _asked(tool: str, query: str) -> Optional[str]:
    try:
        answer = subprocess.run(
            [tool, query, "--format=csv,noheader"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.decode("utf-8", "replace") if answer.returncode == 0 else None
