"""Measurements of the whole way, each one reproducible on one machine.

    python -m bench                 all of them
    python -m bench save large      some of them

Results are printed, and kept as JSON in bench/results/.
"""
