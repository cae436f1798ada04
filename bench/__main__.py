"""`python -m bench [NAME…]`."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
import time
from pathlib import Path

import sidecar
from bench import figures, world

NAMES = ("save", "run", "large")


def main() -> int:
    parser = argparse.ArgumentParser(description="Measures the whole way on this machine.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    wanted = parser.parse_args().names or NAMES
    unknown = set(wanted) - set(NAMES)
    if unknown:
        parser.error(f"no measurement {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    python = platform.python_version()
    print(f"sidecar {sidecar.__version__}, Python {python}, {machine}; real sshd on loopback")
    results: dict[str, object] = {"machine": machine, "python": python}
    for name in wanted:
        module = importlib.import_module(f"bench.{name}")
        print(f"\n{name}: {module.measure.__doc__.split(':')[0].split('.')[0]}", flush=True)
        with world.world() as made:
            found = module.measure(made)
        print(figures.table(found), flush=True)
        results[name] = [one._asdict() for one in found]
    folder = Path(__file__).with_name("results")
    folder.mkdir(exist_ok=True)
    kept = folder / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
    kept.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(f"\nKept in {kept.relative_to(Path.cwd()) if kept.is_relative_to(Path.cwd()) else kept}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
