"""Guards: the moments at which going on might lose something, so nothing is done.

Each has a sentence for a name; none has an effect on files.
"""

from __future__ import annotations

from collections.abc import Container, Mapping

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
            "bring the files back, or say `sidecar sync --prefer local` to remove them there",
            code="root-emptied",
        )
    if not opened.entries and (known > 1 or opened.marker != marker):
        raise remote_emptied(known, f"{host}:{opened.path}")


def remote_emptied(known: int, place: str) -> SyncError:
    """All is gone that both sides agreed on: a cleaned disk is not to be filled again unasked."""
    return SyncError(
        f"{place} is gone or empty, but held {known} files of ours",
        "it may be unmounted, or another machine answers to the name",
        "say `sidecar sync --prefer local` to push everything again",
        code="remote-emptied",
    )


def is_emptied(agreed: Container[str], known: int, gone: Mapping[str, object]) -> bool:
    """Whether nothing of what both sides agreed on is there any more.

    Args:
        gone: paths that are not as they were, with what is there (None: nothing).
    """
    if known < 2 or len(gone) < known:
        return False
    return sum(there is None and path in agreed for path, there in gone.items()) >= known


def root_replaced(root: str) -> SyncError:
    """Both sides are to be compared before anything of the new folder goes there."""
    return SyncError(
        f"{root} is another folder than it was",
        "it was replaced, or its disk was mounted anew; nothing of it was sent",
        "run `sidecar sync`, which compares both sides",
        code="root-replaced",
    )


def remote_lost(host: str, why: str) -> SyncError:
    """The folder there as a whole is not what it was while we were at it."""
    return SyncError(
        f"{host} said: {why}",
        "nothing was changed there, and what changed here waits",
        "bring the folder back: syncing goes on by itself; `sidecar sync` looks at once",
        code="remote-lost",
    )


def taken_over(place: str, owner: str) -> SyncError:
    """Two that push into one folder would undo one another's work."""
    return SyncError(
        f"{place} was taken over by {owner}",
        "it keeps that folder in step now; nothing was changed there",
        "let it, or take the folder over again with `sidecar sync --take-over`",
        code="second-owner",
    )


def shown_twice(host: str, other: str, place: str) -> SyncError:
    """Two machines that share a file system are one folder, synced once."""
    return SyncError(
        f"{host} and {other} show the same folder",
        f"{place} is kept in step through {other}",
        f"sync through {other} (`-H {other}`); runs on {host} work, and wait for what goes there",
        code="shown-twice",
    )
