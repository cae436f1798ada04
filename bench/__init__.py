"""Measurements of the whole way on this machine: a real editor's bytes in, the remote's files out.

    python -m bench                 all of them
    python -m bench save large      some of them

The laptop's side is the real `sidecar serve`, driven as an editor drives it; the remote is a real
sshd on loopback, so the figures are the sidecar's own part of a save without a line's delay.
Results are printed, and kept as JSON in bench/results/.
"""
