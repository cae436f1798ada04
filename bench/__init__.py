"""Measurements of the whole way, each one reproducible on one machine.

    python -m bench sync        syncing, beside rsync, Unison, tar and sftp: bench/sync
    python -m bench run         running, beside ssh and rsync: bench/run

Results are printed, and kept as JSON and as a chart in bench/results/. The order of reading:
`links.py` and `line.py` say what lies between the two ends, `remote.py` what is at the far one,
`results.py` what a measurement is, `suite.py` how a run goes, `table.py`, `chart.py`, `verdict.py`
and `publish.py` what is made of it.
"""
