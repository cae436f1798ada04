"""A suite: workloads that are measured in one run, and what is made of it.

`python -m bench sync …` and `python -m bench run …` are one of these each.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple, TypeVar

import sidecar
from bench import chart, publish, table, verdict
from bench.line import Line, possible
from bench.links import LINES, Link, Terms
from bench.results import Report, Result, from_json, to_json
from bench.verdict import Verdict
from sidecar.errors import SidecarError

RESULTS = Path(__file__).with_name("results")

FAILURES = (RuntimeError, OSError, SidecarError, subprocess.SubprocessError, StopIteration)
"""What a workload ends with that did not do what was to be measured."""

Workload = Callable[[Link, Terms], list[Result]]

Scene = TypeVar("Scene")


def within(
    make: Callable[[Link, Terms], AbstractContextManager[Scene]],
    measure: Callable[[Scene], list[Result]],
) -> Workload:
    """A workload that has a scene of its own on each link."""

    def measured(link: Link, terms: Terms) -> list[Result]:
        with make(link, terms) as scene:
            return measure(scene)

    return measured


class Suite(NamedTuple):
    """Attributes:
    name: of the folder in bench/, too.
    workloads: each with the links that it is measured over.
    verdicts: holds a report against the aims.
    pages: where its figures are shown.
    rounds, quick: how many count, by default and with --quick.
    optional: programs that take part where they are installed.
    """

    name: str
    workloads: dict[str, tuple[Workload, tuple[str, ...]]]
    verdicts: Callable[[Report], list[Verdict]]
    pages: publish.Pages
    rounds: int
    quick: int
    optional: tuple[str, ...] = ()

    def main(self, arguments: Sequence[str]) -> int:
        parser = argparse.ArgumentParser(prog=f"python -m bench {self.name}")
        known = ", ".join(self.workloads)
        parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=known)
        parser.add_argument("--links", default=",".join(LINES), help="some of: %(default)s")
        parser.add_argument("--rounds", type=int, help=f"that count; default {self.rounds}")
        if self.optional:
            programs = ",".join(self.optional)
            parser.add_argument("--without", default="", help=f"who takes no part: {programs}")
        parser.add_argument("--quick", action="store_true", help="few rounds, short windows")
        parser.add_argument("--from", dest="file", type=Path, help="show what this file holds")
        parser.add_argument("--publish", action="store_true", help="bring README's part up to date")
        options = parser.parse_args(arguments)
        # Namespaces, servers and folders are taken down when we are told to end, too.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        names, links = options.workloads or list(self.workloads), str(options.links).split(",")
        unknown = {*names} - {*self.workloads} | {*links} - {*LINES}
        if unknown:
            parser.error(f"there is no {', '.join(sorted(unknown))}")
        if options.file:
            report = from_json(options.file.read_text())
        else:
            count = options.rounds or (self.quick if options.quick else self.rounds)
            without = frozenset(options.without.split(",")) if self.optional else frozenset()
            report = self.measure(names, links, Terms(count, options.quick, without))
            self._keep(report)
        print(table.text(report))
        print(verdict.text(self.verdicts(report)))
        for missed in report.left_out:
            print(f"left out: {missed}")
        if any("failed" in missed for missed in report.left_out):
            return 1
        if options.publish:
            self.pages.publish(report)
        return 0

    def measure(self, names: Sequence[str], links: Sequence[str], terms: Terms) -> Report:
        """All of it, said as it goes."""
        machine, results, left_out = _machine(), [], []
        print(", ".join(machine.values()), flush=True)
        if not possible():
            left_out.append("lines with a delay, and bytes on the wire: they need root and Linux")
            links = ["loopback"]
        for program in self.optional:
            if program in terms.without or shutil.which(program) is None:
                left_out.append(f"{program}: not installed, or not wanted")
        for link in links:
            for name in names:
                workload, where = self.workloads[name]
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

    def _keep(self, report: Report) -> None:
        RESULTS.mkdir(exist_ok=True)
        name = f"{self.name}-{report.when.replace(':', '')}"
        (RESULTS / f"{name}.json").write_text(to_json(report))
        (RESULTS / f"{name}.svg").write_text(chart.svg(report))
        print(f"kept in {RESULTS / name}.json and .svg\n")


def _measured(workload: Workload, link: str, terms: Terms) -> list[Result]:
    if link not in LINES:
        return workload(Link(link, None), terms)
    with Line(*LINES[link]) as line:
        return workload(Link(link, line), terms)


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
