"""Where on a remote the copies of the code lie that frozen jobs run from: each under its name, in a
folder of our own in the root, so that links between them are possible."""

from sidecar.core.paths import OURS

FROZEN = "frozen"

INSIDE = (OURS, FROZEN)
"""The components of their folder, below a root."""


def place(root: str, name: str) -> str:
    """Of the copy with that name."""
    return "/".join((root.rstrip("/"), OURS, FROZEN, name))
