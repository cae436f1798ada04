"""Running, measured beside `ssh` and rsync over a ControlMaster: the same work, in the same run.

    python -m bench run                         everything, on every link
    python -m bench run echo start --quick      some of it, few rounds
    python -m bench run --publish               and brings README's figures and chart up to date
    python -m bench run --from FILE --publish   the same from an earlier run's JSON

`scene.py` is where it happens; then come the workloads: `echo.py` (a key's way through a
terminal), `start.py` (save → first output), `status.py`, `output.py` (1 GB, and what it costs in
memory), `cut.py` (the connection ends), `busy.py` (saves and keys beside a job that prints).

All take turns within a round, the first round is not counted, and output that is not what the
program has to print is an error, not a figure.
"""
