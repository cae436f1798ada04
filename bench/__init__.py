"""Measurements of the whole way: a real editor's bytes in, the remote's files out.

    python -m bench                 all of them
    python -m bench save large      some of them

The laptop's side is the real `sidecar serve`, driven as an editor drives it; the remote is a real
sshd, on loopback or at the far end of a simulated line (root and Linux). Peers are measured in the
same run. Results are printed, and kept as JSON in bench/results/.
"""
