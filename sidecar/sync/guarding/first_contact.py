"""First contact: base knows nothing and the folder there holds something. Look, then ask.

Nothing is written before the answer. Paths that exist here are compared by content; what only the
remote has is counted at its top and not entered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Literal, NamedTuple

from sidecar.core.amount import size
from sidecar.core.identity import DIRECTORY, FILE, SYMLINK, Identity
from sidecar.core.paths import OURS
from sidecar.errors import SyncError
from sidecar.questions import Choice, Person
from sidecar.sync.delta.content import Content
from sidecar.sync.trees.agreed import Agreed, AgreedTree, pack
from sidecar.sync.trees.there import LOOKUP, There

NAMED = 5
"""Paths that a summary names before it counts the rest."""

AT_ONCE = 32
"""Small files that are read before others have their turn: about 3 ms."""

SLICE = LOOKUP
"""Paths that are compared at a time: a question for what is there, one for the digests."""

LISTED = 100
"""Folders that both sides have in which is looked for what only the remote has; in the others it
is left alone without being counted."""

Prefer = Literal["", "local", "remote", "newer"]

PUSH_MINE = "Push mine (theirs to the trash)"
TAKE_NEWER = "Take theirs where newer"
LOOK_AT_EACH = "Look at each"
NOT_NOW = "Not now"

ANSWERS: dict[str, Prefer] = {PUSH_MINE: "local", TAKE_NEWER: "newer", LOOK_AT_EACH: ""}
"""What wins where both sides differ; "" leaves each such path as a conflict."""


class Comparison(NamedTuple):
    """`equal`: what both sides agree on. `different`: what is there instead. `only_there`: names of
    files and, with a slash behind them, of folders; `removed`: those of them that have no place
    there in mirror mode. `all_ignored`: the rules keep all that is there out of the sync."""

    local: Mapping[str, Identity]
    equal: Mapping[str, Agreed]
    different: dict[str, Identity]
    only_here: list[str]
    only_there: list[str]
    removed: list[str] = []
    all_ignored: bool = False


NOTHING_THERE = Comparison({}, {}, {}, [], [])


class _Slice(NamedTuple):
    """Some paths, what is there at them, and the digests of those that may be equal."""

    paths: list[str]
    found: dict[str, Identity]
    digests: dict[str, str]


async def compare(
    there: There,
    local: Mapping[str, Identity],
    read_here: Callable[[str], Awaitable[Content | None]],
    *,
    left: Callable[[int], None] = lambda count: None,
    goes: Callable[[str, bool], bool] = lambda path, is_folder: False,
    ignored: Callable[[str, bool], bool] = lambda path, is_folder: False,
) -> Comparison:
    """Compares every local path with the remote folder, by content where size and kind agree. In
    slices, so that of a large tree's digests few are held: while one is read here, the remote
    reads the next.

    Args:
        local: the scanned tree here.
        read_here: reads a local path; None where it cannot be read. What it finds counts, not the
            scan: a file may have been written since, within the same tick of the clock.
        left: told now and then how many paths are to be compared yet.
        goes: whether a path that only the remote has is removed there.
        ignored: whether the rules keep such a path out of the sync.
    """
    equal = AgreedTree()  # packed: of a large tree it is most of what is held meanwhile
    different: dict[str, Identity] = {}
    only_here: list[str] = []
    folders: list[str] = []
    whole = list(local)
    reading = asyncio.ensure_future(_read_there(there, local, whole[:SLICE]))
    try:
        for start in range(0, len(whole), SLICE):
            left(len(whole) - start)
            some = await reading
            rest = whole[start + SLICE : start + 2 * SLICE]
            reading = asyncio.ensure_future(_read_there(there, local, rest))
            for number, path in enumerate(some.paths):
                if number % AT_ONCE == 0:
                    await asyncio.sleep(0)
                remote = some.found.get(path)
                if remote is None:
                    only_here.append(path)
                    continue
                read = await read_here(path) if _may_be_equal(local[path], remote) else None
                alike = read is not None and read.node.digest == some.digests.get(path, "")
                if read is not None and alike and read.node.executable == remote.executable:
                    seen = None if read.fresh else read.identity
                    equal.put(path, pack(Agreed(read.node, seen, remote)))
                    if remote.kind == DIRECTORY:
                        folders.append(path)
                else:
                    different[path] = remote
    finally:
        left(0)
        if not reading.cancel() and not reading.cancelled():
            reading.exception()  # which is not the first, and so not the one to tell
    entries = await _only_there(there, ["", *sorted(folders)[:LISTED]], local)
    removed = [_name(*one) for one in entries if goes(*one)]
    names = [_name(*one) for one in entries]
    met = bool(equal or different)
    all_ignored = not met and bool(entries) and all(ignored(*one) for one in entries)
    return Comparison(local, equal, different, only_here, names, removed, all_ignored)


async def _read_there(there: There, local: Mapping[str, Identity], paths: list[str]) -> _Slice:
    found = await there.lookup(paths)
    content = [
        path
        for path, remote in found.items()
        if remote.kind in (FILE, SYMLINK) and _may_be_equal(local[path], remote)
    ]
    return _Slice(paths, found, await there.digests(content))


def _may_be_equal(here: Identity, there: Identity) -> bool:
    return here.kind == there.kind and (here.kind != FILE or here.size == there.size)


async def _only_there(
    there: There, folders: Iterable[str], local: Mapping[str, Identity]
) -> list[tuple[str, bool]]:
    """Paths that only the remote has, and whether each is a folder."""
    listed = await asyncio.gather(*(there.listed(folder) for folder in folders))
    return sorted(
        (path, one.kind == DIRECTORY)
        for entries in listed
        for path, one in entries.items()
        if path not in local and path != OURS
    )


def _name(path: str, is_folder: bool) -> str:
    return f"{path}/" if is_folder else path


async def decide(
    comparison: Comparison,
    place: str,
    claimed_by: str,
    prefer: Prefer,
    person: Person,
    doubt: str = "",
) -> Prefer:
    """The one question of a first contact.

    Args:
        place: what the folder is, for people: "gpu1:~/code/model".
        claimed_by: who else keeps that folder in step, "" if nobody says so.
        prefer: the answer, where it was given beforehand.
        doubt: why this is no longer taken for the folder that it was.
    Returns:
        What wins where both sides differ; "": nothing, each is shown as a conflict.
    Raises:
        SyncError: nobody answered, or the answer was not now.
    """
    if prefer:
        return prefer
    nothing_to_write = not (comparison.different or comparison.only_here or comparison.removed)
    if nothing_to_write and not claimed_by:
        return "local"
    # An environment that was made there first, say: nothing that is sent meets any of it.
    if comparison.all_ignored and not (comparison.removed or claimed_by or doubt):
        return "local"
    summary = describe(comparison, place, claimed_by)
    answer = await person.choose(
        Choice(
            f"{doubt}. {summary}" if doubt else summary,
            (*ANSWERS, NOT_NOW),
            "sidecar sync --prefer local|remote|newer",
        )
    )
    if answer in ANSWERS:
        return ANSWERS[answer]
    raise SyncError(
        f"{doubt or f'{place} already holds something'}, and nothing was written there",
        summary,
        "decide with `sidecar sync --prefer local` (theirs go to the trash there), "
        "`--prefer remote` (yours go to the trash here) or `--prefer newer`",
        code="first-contact",
    )


def describe(comparison: Comparison, place: str, claimed_by: str) -> str:
    """The summary, in one line."""
    local, different = comparison.local, comparison.different
    parts = [f"{_files(comparison.equal, local)} equal"]
    biggest = sorted(different, key=lambda path: (-_larger(path, local, different), path))
    named = [_both(path, local, different) for path in biggest[:NAMED]]
    parts.append(f"{len(different)} different{_named(named, len(different))}")
    only_here = sum(local[path].size for path in comparison.only_here)
    parts.append(
        f"{_files(comparison.only_here, local)} only here"
        + (f" ({size(only_here)})" if only_here else "")
    )
    theirs = comparison.only_there
    parts.append(f"{len(theirs)} only there{_named(theirs[:NAMED], len(theirs))}")
    if comparison.removed:
        removed = comparison.removed
        which = _named(removed[:NAMED], len(removed))
        parts.append(f"of which mirror mode removes {len(removed)}{which}, to the trash there")
    whose = f"; it is kept in step by {claimed_by}" if claimed_by else ""
    return f"{place} compared with here: {', '.join(parts)}{whose}"


def _files(paths: Iterable[str], local: Mapping[str, Identity]) -> int:
    """Folders are not worth a word where all is well with what is in them."""
    return sum(local[path].kind != DIRECTORY for path in paths)


def _larger(path: str, local: Mapping[str, Identity], different: Mapping[str, Identity]) -> int:
    return max(local[path].size, different[path].size)


def _both(path: str, local: Mapping[str, Identity], different: Mapping[str, Identity]) -> str:
    here, there = local[path], different[path]
    if here.kind != FILE or there.kind != FILE:
        return path
    if here.size == there.size:
        return f"{path}: {size(here.size)}"
    return f"{path}: {size(here.size)} here, {size(there.size)} there"


def _named(paths: list[str], count: int) -> str:
    if not paths:
        return ""
    more = f"; and {count - len(paths)} more" if count > len(paths) else ""
    return f" ({'; '.join(paths)}{more})"
