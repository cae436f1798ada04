"""`sidecar gpus`: the GPUs there, how busy they are, and by whom."""

from __future__ import annotations

import argparse

import msgspec

from sidecar import api
from sidecar.cli import place, terminal
from sidecar.core.amount import size

MOST_NAMED = 3
"""Processes of a GPU that are named in the table; --json has all."""


def gpus(options: argparse.Namespace) -> int:
    with place.connect(options) as hub:
        params = api.GpusParams(**place.where(options))
        found = hub.call("sidecar/gpus", params, api.GpusResult)
    if options.json:
        print(msgspec.json.encode(_plain(found)).decode())
        return 0
    if found.gpus:
        head = ("GPU", "NAME", "USE", "MEMORY", "FREE", "BY")
        rows = [
            (
                f"{one.parent}:{one.index}" if one.slice else str(one.index),
                f"{one.name} {one.slice}".strip(),
                f"{one.utilization} %" if one.utilization >= 0 else "-",
                _memory(one.memory_used, one.memory_total),
                "yes" if one.free else "no",
                _by(one),
            )
            for one in found.gpus
        ]
        print(terminal.table(head, rows, right=(2,)))
    machine = found.machine
    busy = f"{machine.cpu_percent} % of " if machine.cpu_percent >= 0 else ""
    text = f"{machine.name}: {busy}{machine.cpus} cores, load {machine.load:.1f}"
    if machine.memory_total:
        used = machine.memory_total - machine.memory_available
        text += f", {_memory(used, machine.memory_total)} of memory"
    if found.driver:
        text += f", driver {found.driver}"
    print(text)
    if found.problem:
        terminal.say(f"{found.host}: nvidia-smi tells nothing of GPUs: {found.problem}")
    elif not found.gpus:
        terminal.say(f"{found.host} has no NVIDIA GPU, or no nvidia-smi.")
    return 0


def _by(one: api.Gpu) -> str:
    if not one.processes:
        return one.text or "-"
    named = [
        " ".join(
            part
            for part in (
                process.user,
                f"{process.pid}",
                size(process.memory) if process.memory >= 0 else "",
                f"(job {process.job})" if process.job else process.command.rpartition("/")[2],
            )
            if part
        )
        for process in one.processes[:MOST_NAMED]
    ]
    more = len(one.processes) - MOST_NAMED
    return ", ".join(named) + (f" and {more} more" if more > 0 else "")


def _memory(used: int, total: int) -> str:
    if total < 0:
        return "-"
    return f"{size(used) if used >= 0 else '?'} of {size(total)}"


def _plain(found: api.GpusResult) -> dict[str, object]:
    """For scripts, in the spelling of the command line."""
    return {
        **msgspec.structs.asdict(found),
        "machine": msgspec.structs.asdict(found.machine),
        "gpus": [
            {
                **msgspec.structs.asdict(one),
                "processes": [msgspec.structs.asdict(each) for each in one.processes],
            }
            for one in found.gpus
        ],
    }
