"""First contact: base knows nothing and the folder there holds something. Look, then ask.

Nothing is written before the answer. Paths that exist here are compared by content; what only the
remote has is counted at its top and not entered.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Literal, NamedTuple

from sidecar.core.identity import FILE, SYMLINK, Identity
from sidecar.core.tree import Node
from sidecar.errors import SyncError
from sidecar.questions import Choice, Person
from sidecar.sync.there import There

NAMED = 8
"""Differing paths that a summary names before it counts the rest."""

Prefer = Literal["", "local", "remote", "newer"]

PUSH_MINE = "Push mine (theirs to the trash)"
KEEP_THEIRS = "Keep theirs where they differ"
NOT_NOW = "Not now"


class Comparison(NamedTuple):
    """`equal`: the content, and its identity there. `different`: what is there instead."""

    equal: dict[str, tuple[Node, Identity]]
    different: dict[str, Identity]
    only_here: list[str]
    entries_there: int


NOTHING_THERE = Comparison({}, {}, [], 0)


async def compare(
    there: There,
    local: Mapping[str, Identity],
    entries_there: int,
    node_here: Callable[[str], Awaitable[Node | None]],
) -> Comparison:
    """Compares every local path with the remote folder, by content where size and kind agree.

    Args:
        local: the scanned tree here.
        entries_there: how many things the remote folder holds at its top.
        node_here: reads a local path; None where it cannot be read.
    """
    found = await there.lookup(local)
    equal: dict[str, tuple[Node, Identity]] = {}
    different: dict[str, Identity] = {}
    unsure: list[str] = []
    for path, remote in found.items():
        here = local[path]
        if remote.kind != here.kind or (here.kind == FILE and remote.size != here.size):
            different[path] = remote
        elif here.kind in (FILE, SYMLINK):
            unsure.append(path)
        else:
            equal[path] = (Node(here.kind, False, ""), remote)
    digests = await there.digests(unsure)
    for path in unsure:
        node = await node_here(path)
        remote = found[path]
        alike = node is not None and node.digest == digests[path]
        if node is not None and alike and node.executable == remote.executable:
            equal[path] = (node, remote)
        else:
            different[path] = remote
    only_here = [path for path in local if path not in found]
    return Comparison(equal, different, only_here, entries_there)


async def decide(
    comparison: Comparison, place: str, claimed_by: str, prefer: Prefer, person: Person
) -> Prefer:
    """The one question of a first contact.

    Args:
        place: "gpu1:~/code/model".
        claimed_by: who else keeps that folder in step, "" if nobody says so.
        prefer: the answer, where it was given beforehand.
    Returns:
        What wins where both sides differ.
    Raises:
        SyncError: nobody answered, or the answer was not now.
    """
    if prefer:
        return prefer
    nothing_to_write = not comparison.different and not comparison.only_here
    if nothing_to_write and not claimed_by:
        return "local"
    summary = describe(comparison, place, claimed_by)
    answer = await person.choose(
        Choice(summary, (PUSH_MINE, KEEP_THEIRS, NOT_NOW), "sidecar sync --prefer local|remote")
    )
    if answer == PUSH_MINE:
        return "local"
    if answer == KEEP_THEIRS:
        return "remote"
    raise SyncError(
        f"{place} already holds something, and nothing was written there",
        summary,
        "decide with `sidecar sync --prefer local` (theirs go to the trash there), "
        "`--prefer remote` or `--prefer newer`",
        code="first-contact",
    )


def describe(comparison: Comparison, place: str, claimed_by: str) -> str:
    """The summary, in one line."""
    parts = []
    if claimed_by:
        parts.append(f"kept in step by {claimed_by}")
    parts.append(f"{len(comparison.equal)} equal")
    parts.append(f"{len(comparison.different)} different{_named(sorted(comparison.different))}")
    parts.append(f"{len(comparison.only_here)} only here")
    return f"{place} holds {comparison.entries_there} things at its top: " + ", ".join(parts)


def _named(paths: Sequence[str]) -> str:
    if not paths:
        return ""
    more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
    return f" ({', '.join(paths[:NAMED])}{more})"
