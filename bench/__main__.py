"""`python -m bench SUITE …`; without one, all of them."""

from __future__ import annotations

import sys

from bench.debug.suite import SUITE as DEBUG
from bench.forward.suite import SUITE as FORWARD
from bench.run.suite import SUITE as RUN
from bench.sync.suite import SUITE as SYNC

SUITES = {suite.name: suite for suite in (RUN, SYNC, DEBUG, FORWARD)}


def main() -> int:
    names = sys.argv[1:2] or list(SUITES)
    if unknown := set(names) - set(SUITES):
        print(f"There is no {unknown.pop()}; there are {', '.join(SUITES)}.", file=sys.stderr)
        return 2
    return max([SUITES[name].main(sys.argv[2:]) for name in names])


if __name__ == "__main__":
    sys.exit(main())
