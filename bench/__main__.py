"""`python -m bench [NAME…]`, and `python -m bench sync …`, which has options of its own."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import sidecar
from bench import run
from bench.figures import Figure, table
from bench.line import Line, possible
from bench.sync import command

RESULTS = Path(__file__).with_name("results")

LINES = {"20 ms": (10.0, 100.0), "80 ms": (40.0, 50.0)}
"""Round trips, with one-way delay in ms and the rate in Mbit/s."""

Measure = Callable[[Line | None, str], list[Figure]]

MEASUREMENTS: dict[str, tuple[Measure, tuple[str, ...]]] = {
    "run": (run.measure, ("loopback", "80 ms")),
}


def main() -> int:
    if sys.argv[1:2] == ["sync"]:
        return command.main(sys.argv[2:])
    parser = argparse.ArgumentParser(description="Measures the whole way on this machine.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(MEASUREMENTS))
    names = parser.parse_args().names or list(MEASUREMENTS)
    unknown = set(names) - set(MEASUREMENTS)
    if unknown:
        parser.error(f"no measurement {', '.join(sorted(unknown))}")
    figures: list[Figure] = []
    machine = _machine()
    print(", ".join(machine.values()))
    for name in names:
        measure, lines = MEASUREMENTS[name]
        for line in lines:
            if line != "loopback" and not possible():
                print(f"\n{name}, {line}: left out, a line with a delay needs root and Linux")
                continue
            found = _measured(measure, line)
            print(f"\n{table(found)}", flush=True)
            figures += found
    RESULTS.mkdir(exist_ok=True)
    now = datetime.now(timezone.utc)
    result = {
        "when": now.isoformat(timespec="seconds"),
        "machine": machine,
        "figures": [figure._asdict() for figure in figures],
    }
    path = RESULTS / f"{now:%Y%m%d-%H%M%S}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"\nkept in {path}")
    return 0


def _measured(measure: Measure, line: str) -> list[Figure]:
    if line == "loopback":
        return measure(None, line)
    with Line(*LINES[line]) as made:
        return measure(made, line)


def _machine() -> dict[str, str]:
    ssh = subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=False).stderr
    return {
        "sidecar": f"sidecar {sidecar.__version__}",
        "system": platform.platform(),
        "cores": f"{os.cpu_count()} cores",
        "python": f"Python {platform.python_version()}",
        "ssh": ssh.strip(),
    }


if __name__ == "__main__":
    sys.exit(main())
