"""Guards: the moments at which going on might lose something, so nothing is done.

Each has a sentence for a name; none has an effect on files.
"""

from __future__ import annotations

from sidecar.core.messages import Opened
from sidecar.errors import SyncError


def refuse_a_folder_that_is_no_project(opened: Opened, host: str, user: str) -> None:
    """Raises SyncError for a home, `/`, or a folder that the user cannot write to."""
    place = f"{host}:{opened.path}"
    if opened.refused:
        raise SyncError(
            f"{place} cannot be a project's folder",
            opened.refused,
            f"set hosts.{host}.path to a folder of the project's own",
            code="root-refused",
        )
    if not opened.writable:
        raise SyncError(
            f"{place} is not writable for {user}",
            "nothing was sent",
            f"choose another hosts.{host}.path, or ask for the rights there",
            code="not-writable",
        )


def refuse_a_side_that_was_emptied(
    known: int, here: int, root: str, opened: Opened, marker: str, host: str
) -> None:
    """An empty folder where there was a full one is never read as "everything was deleted".

    Args:
        known: paths that both sides agreed on.
        here: entries found in `root` now.
        marker: that of the folder there in which they agreed.
    """
    if not known:
        return
    if not here:
        raise SyncError(
            f"{root} is empty, but {known} files of it are known",
            "it may be unmounted, or another folder in its place; nothing was removed there",
            "bring the folder back, or say `sidecar sync --prefer local` to remove them there",
            code="root-emptied",
        )
    if opened.marker != marker and not opened.entries:
        raise SyncError(
            f"{host}:{opened.path} is gone or empty, but held {known} files of ours",
            "it may be unmounted, or another machine answers to the name",
            "say `sidecar sync --prefer local` to push everything again",
            code="remote-emptied",
        )


def refuse_a_root_that_is_gone(root: str, exists: bool) -> None:
    """A folder that is not there is not a folder in which all was deleted."""
    if not exists:
        raise SyncError(
            f"{root} is gone",
            "it may be unmounted or renamed; nothing was removed on the other side",
            "bring the folder back, or open the project where it is now",
            code="root-gone",
        )
