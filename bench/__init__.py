"""Measurements of the whole way, each one reproducible on one machine.

    python -m bench             save → first output of a run
    python -m bench sync        syncing, beside other programs: bench/sync

Results are printed, and kept as JSON in bench/results/.
"""
