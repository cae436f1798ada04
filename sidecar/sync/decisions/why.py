"""Why a path is synced or not: which rule decided, and what would happen next."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from sidecar import api
from sidecar.core import identity, tree
from sidecar.core import paths as names
from sidecar.core.identity import OTHER, Identity
from sidecar.core.reconcile import THEIRS
from sidecar.sync.disk import local_files
from sidecar.sync.guarding.notes import version
from sidecar.sync.rules.ignore import Rules
from sidecar.sync.rules.pulls import Pulls
from sidecar.sync.trees.base import Agreed


def why(
    root: Path,
    rules: Rules,
    path: str,
    host: str,
    agreed: Agreed | None,
    note: api.PathNote | None,
    pulls: Pulls,
) -> api.WhyResult:
    """What is to be said of a path relative to the root, "" for the root itself. Blocking.

    Args:
        agreed: what base has of it; None: nothing, or base is not at hand.
        note: what the last sync said of it.
        pulls: what of the remote's comes here.
    """
    here = _look(root, path)
    was_folder = agreed is not None and agreed.node == tree.FOLDER
    is_folder = here.kind == tree.FOLDER.kind if here else was_folder or path.endswith("/")
    path = path.rstrip("/")
    decision = rules.decide(path, is_folder)
    problem = "" if not path else _never_here(root, path, here)
    pulled = pulls.rule(path, is_folder) if path else ""
    if pulled and not problem and pulls.of(path, is_folder) & THEIRS:
        problem = f"nothing by what is here: it is the remote's, and comes from {host or 'there'}"
    return api.WhyResult(
        path=path or ".",
        here=version(here),
        synced=(not decision.ignored and not problem) or bool(pulled),
        rule=decision.rule,
        source=decision.source,
        managed=agreed is not None,
        next=problem or _next(host, here, agreed, note, decision.ignored),
        note=note,
        pulled=pulled,
    )


def _look(root: Path, path: str) -> Identity | None:
    if not path.strip("/"):
        return identity.from_stat(os.stat(root))
    try:
        return local_files.lookup(root, path.rstrip("/"))
    except (OSError, names.PathError):
        return None


def _never_here(root: Path, path: str, here: Identity | None) -> str:
    """Why a path cannot be synced whatever the rules say; "" where it can."""
    for above in tree.ancestors(path):
        try:
            if stat.S_ISLNK(os.lstat(root / above).st_mode):
                return f"nothing: {above} is a link, and links are synced as links, not followed"
        except OSError:
            continue
    if here is not None and here.kind == OTHER:
        return "nothing: it is neither a file nor a folder nor a link"
    try:
        names.check(path)
    except names.PathError as error:
        return f"nothing: {error}"
    return ""


def _next(
    host: str,
    here: Identity | None,
    agreed: Agreed | None,
    note: api.PathNote | None,
    ignored: bool,
) -> str:
    if ignored:
        left = f"; what is on {host} stays" if host else ""
        return f"nothing: it is not synced{left}"
    if note is not None:
        return f"nothing before you decide: {note.text}"
    if not host:
        return "it would be sent" if here else "nothing: it is not there"
    if here is None and agreed is None:
        return "nothing: it is not there; were it made, it would be sent"
    if here is None:
        return f"it is removed on {host}"
    if agreed is None:
        return f"it is sent to {host}"
    if agreed.local == here:
        return f"nothing: both sides are the same, as far as {host} was last heard of"
    return f"it is compared, and sent to {host} if it has changed"
