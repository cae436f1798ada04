"""How busy this machine is: cores and memory, as the kernel counts them."""

import os
import time
from typing import Any, Dict, Optional, Tuple

BETWEEN = 0.1
"""Seconds between two counts of what the cores did: ten ticks of the kernel's clock."""


def here() -> Dict[str, Any]:
    """`name`, `cpus`, `cpu_percent` (-1 where that is not known), `load`, `memory_total` and
    `memory_available` in bytes."""
    total, available = _memory()
    return {
        "name": os.uname().nodename,
        "cpus": _cpus(),
        "cpu_percent": _busy(),
        "load": round(_load(), 2),
        "memory_total": total,
        "memory_available": available,
    }


def _cpus() -> int:
    """Those that our processes may use: a container or a batch system often gives some only."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _load() -> float:
    try:
        return os.getloadavg()[0]
    except OSError:
        return 0.0


def _busy() -> int:
    first = _ticks()
    if first is None:
        return -1
    time.sleep(BETWEEN)
    second = _ticks()
    if second is None or second[1] <= first[1]:
        return -1
    idle, all_of_it = second[0] - first[0], second[1] - first[1]
    return max(0, min(100, round(100 - 100 * idle / all_of_it)))


def _ticks() -> Optional[Tuple[int, int]]:
    """Of all cores together: idle ones (what waits for a disk counts as idle), and all."""
    try:
        with open("/proc/stat") as file:
            numbers = [int(one) for one in file.readline().split()[1:9]]
    except (OSError, ValueError):
        return None
    return sum(numbers[3:5]), sum(numbers)


def _memory() -> Tuple[int, int]:
    found: Dict[str, int] = {}
    try:
        with open("/proc/meminfo") as file:
            for line in file:
                name, _, rest = line.partition(":")
                if name in ("MemTotal", "MemAvailable"):
                    found[name] = int(rest.split()[0]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    if "MemTotal" not in found and "SC_PHYS_PAGES" in os.sysconf_names:
        found["MemTotal"] = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return found.get("MemTotal", 0), found.get("MemAvailable", 0)
