"""Syncing, measured beside rsync, Unison, tar and sftp: the same work, in the same run.

    python -m bench sync                        everything, on every link
    python -m bench sync save switch --quick    some of it, few rounds
    python -m bench sync --publish              and brings README's figures up to date
    python -m bench sync --from FILE --publish  the same from an earlier run's JSON

The order of reading: `results.py` says what a measurement is, `peers.py` and `ours.py` who takes
part, `scene.py` where it happens, then the workloads (`edits.py`, `whole.py`, `busy.py`,
`idle.py`), then what is made of it (`table.py`, `chart.py`, `aims.py`, `publish.py`).

What holds for all of them:

- Each peer works on a copy of its own or, where it remembers nothing, on one that is shared in
  turn. All take turns within a round, so that a busy moment of the machine meets each of them.
- The first round warms everything up and is not counted.
- After each measurement both sides are compared. What did not arrive whole is an error, not a
  figure.
- Bytes are those of the remote's network interface, both ways, with everything around them: TCP,
  SSH, acknowledgements.
"""
