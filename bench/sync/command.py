"""`python -m bench sync`."""

from __future__ import annotations

import argparse
import os
import platform
import re
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path

import sidecar
from bench.line import Line, possible
from bench.sync import aims, busy, chart, edits, idle, publish, table, whole
from bench.sync.peers import missing
from bench.sync.results import Report, Result, from_json, to_json
from bench.sync.scene import OPTIONAL, Link, Scene, Terms, scene
from sidecar.errors import SidecarError

RESULTS = Path(__file__).parents[1] / "results"

LINES = {"lan": (0.0, 0.0), "20 ms": (10.0, 100.0), "80 ms": (40.0, 50.0)}
"""Round trips, with one-way delay in ms and the rate in Mbit/s each way."""

WORKLOADS: dict[str, tuple[Callable[[Scene], list[Result]], tuple[str, ...]]] = {
    "save": (edits.save, tuple(LINES)),
    "notebook": (edits.notebook, tuple(LINES)),
    "large": (edits.large, tuple(LINES)),
    "switch": (whole.switch, tuple(LINES)),
    "nothing": (whole.nothing, tuple(LINES)),
    "first": (whole.first, tuple(LINES)),
    "busy": (busy.busy, tuple(LINES)),
    "idle": (idle.idle, ("lan",)),
}
"""What is measured, and on which links."""

ROUNDS, QUICK = 5, 2

FAILURES = (RuntimeError, OSError, SidecarError, subprocess.SubprocessError, StopIteration)
"""What a workload ends with that did not bring everything over."""


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench sync", description=__doc__)
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=", ".join(WORKLOADS))
    parser.add_argument("--links", default=",".join(LINES), help="some of: %(default)s")
    parser.add_argument("--rounds", type=int, help=f"that count; default {ROUNDS}")
    parser.add_argument("--without", default="", help="programs that take no part: unison,sftp,tar")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} rounds, short windows")
    parser.add_argument("--from", dest="file", type=Path, help="show what this file holds")
    parser.add_argument("--publish", action="store_true", help="bring README's part up to date")
    options = parser.parse_args(arguments)
    # Namespaces, servers and folders are taken down when we are told to end, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    names, links = options.workloads or list(WORKLOADS), options.links.split(",")
    if unknown := {*names} - {*WORKLOADS} | {*links} - {*LINES}:
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    if options.file:
        report = from_json(options.file.read_text())
    else:
        count = options.rounds or (QUICK if options.quick else ROUNDS)
        terms = Terms(count, options.quick, frozenset(options.without.split(",")))
        report = measure(names, links, terms)
        RESULTS.mkdir(exist_ok=True)
        name = f"sync-{report.when.replace(':', '')}"
        (RESULTS / f"{name}.json").write_text(to_json(report))
        (RESULTS / f"{name}.svg").write_text(chart.svg(report))
        print(f"kept in {RESULTS / name}.json and .svg\n")
    print(table.text(report))
    print(aims.text(report))
    for missed in report.left_out:
        print(f"left out: {missed}")
    if any("failed" in missed for missed in report.left_out):
        return 1
    if options.publish:
        publish.publish(report)
    return 0


def measure(names: Sequence[str], links: Sequence[str], terms: Terms) -> Report:
    """All of it, said as it goes."""
    machine, results, left_out = _machine(), [], []
    print(", ".join(machine.values()), flush=True)
    if not possible():
        left_out.append("lines with a delay, and bytes on the wire: they need root and Linux")
        links = ["loopback"]
    for program in OPTIONAL:
        if program in terms.without or missing(program):
            left_out.append(f"{program}: not installed, or not wanted")
    for link in links:
        for name in names:
            workload, where = WORKLOADS[name]
            if link not in where and possible():
                continue
            began = time.monotonic()
            try:
                found = _measured(workload, link, terms)
            except FAILURES as error:  # the others are worth having
                left_out.append(f"{name}, {link}: failed: {error}")
                print(traceback.format_exc(), flush=True)
                continue
            print(f"{link}, {name}: {time.monotonic() - began:.0f} s", flush=True)
            print(table.text(Report("", {}, found, [])), flush=True)
            results += found
    machine["load"] = f"load {os.getloadavg()[1]:.1f} at the end"
    when = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return Report(when, machine, results, left_out)


def _measured(workload: Callable[[Scene], list[Result]], link: str, terms: Terms) -> list[Result]:
    if link not in LINES:
        with scene(Link(link, None), terms) as made:
            return workload(made)
    with Line(*LINES[link]) as line, scene(Link(link, line), terms) as made:
        return workload(made)


def _machine() -> dict[str, str]:
    commit = _said("git", "-C", str(RESULTS.parent), "rev-parse", "--short", "HEAD")
    found = {
        "sidecar": f"sidecar {sidecar.__version__} {commit}".strip(),
        "cores": f"{os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": f"CPython {platform.python_version()}",
        "openssh": _version("OpenSSH", "ssh", "-V"),
        "rsync": _version("rsync", "rsync", "--version"),
        "unison": _version("Unison", "unison", "-version"),
        "zstd": _version("zstd", "zstd", "-V"),
    }
    return {name: value for name, value in found.items() if value}


def _version(name: str, *command: str) -> str:
    found = re.search(r"\d+(\.\d+)+(p\d+)?", _said(*command))
    return f"{name} {found[0]}" if found else ""


def _said(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return (done.stdout or done.stderr).strip()
