"""Debugging, measured beside debugpy's own adapter on this machine: the same program, the same
requests, in the same run.

    python -m bench debug                       everything, on every link
    python -m bench debug step --quick          some of it, few rounds
    python -m bench debug --publish             and brings README's figures and chart up to date

`client.py` is the editor; then come the workloads: `start.py` (from Debug to the first breakpoint)
and `step.py`. Where it stops and what a variable is worth there is checked in every round.
"""
