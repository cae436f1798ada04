"""A local path's content, read once for all that a push will need of it."""

from __future__ import annotations

import asyncio
import functools
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from sidecar.core import delta, tree
from sidecar.core.identity import DIRECTORY, FILE, SYMLINK, Identity
from sidecar.core.tree import Node
from sidecar.sync.delta import revision
from sidecar.sync.delta.revision import Delta, Revision
from sidecar.sync.delta.signature import FileSignature
from sidecar.sync.disk import local_files
from sidecar.sync.disk.local_files import Changed, Source

SMALL = 64 * 1024
"""Files up to this size go whole, compressed: a delta would save less than a packet. They are
read on the event loop, which takes less time than handing them to a thread (0.05 ms)."""


Known = Callable[[str], FileSignature | None]
"""The signature of the content that a path had before, where one is kept. May block."""


Early = Callable[[str, Source, Delta], None]
"""Told how a path's content differs from the one before, while its digest is being made."""


def nothing_known(path: str) -> None:
    return None


class Content(NamedTuple):
    """What is at a path. `data` is kept of small files and of links (their target), the `revision`
    of larger ones; of some, both."""

    node: Node
    identity: Identity
    data: bytes | None = None
    revision: Revision | None = None
    fresh: bool = False
    """It was written so short a time ago that another write may hide behind the same times."""


def nobody(path: str, source: Source, delta: Delta) -> None:
    """Nobody wants to know early."""


async def read(
    root: Path, path: str, known: Known = nothing_known, early: Early = nobody
) -> Content:
    """Reads a path of the project.

    Args:
        known, early: called for large files, on another thread.
    Raises:
        FileNotFoundError: nothing is there.
        Changed: it does not stay the same while it is read.
        OSError: it cannot be read.
    """
    with local_files.Folders(root) as folders:
        found, data = _found(folders, path)
    if found.kind == FILE and found.size > SMALL:
        return await asyncio.to_thread(_read_large, root, path, known, early)
    return _read_rest(root, path, found, data)


def read_now(
    root: Path,
    path: str,
    known: Known = nothing_known,
    early: Early = nobody,
    whole: int = SMALL,
    folders: local_files.Folders | None = None,
) -> Content:
    """As `read`, on this thread.

    Args:
        folders: of the root, where more is read.
        whole: bytes up to which the data of a large file is kept, too.
    """
    if folders is not None:
        found, data = _found(folders, path)
    else:
        with local_files.Folders(root) as folders:
            found, data = _found(folders, path)
    if found.kind != FILE or found.size <= SMALL:
        return _read_rest(root, path, found, data)
    read = _read_large(root, path, known, early)
    if read.identity.size > whole:
        return read
    again, data = local_files.read(root, path, whole)
    if again != read.identity:
        raise Changed("the file does not stay the same while it is read")
    return read._replace(data=data)


def _found(folders: local_files.Folders, path: str) -> tuple[Identity, bytes | None]:
    found, data = local_files.look(folders, path, SMALL)
    if found is None:
        raise FileNotFoundError(path)
    return found, data


def _read_rest(root: Path, path: str, found: Identity, data: bytes | None) -> Content:
    """What is no large file."""
    if found.kind == DIRECTORY:
        return Content(tree.FOLDER, found)
    if found.kind == SYMLINK:
        found, target = local_files.read_link(root, path)
        return Content(tree.link(target), found, os.fsencode(target))
    if found.kind != FILE:
        return Content(tree.STRANGE, found)
    if data is None:  # it changed under our eyes
        found, data = local_files.read(root, path, 2 * SMALL)
    fresh = local_files.may_hide_a_change(found, time.time_ns())
    node = tree.file(delta.content_digest(data), found.executable)
    return Content(node, found, data, fresh=fresh)


def _read_large(root: Path, path: str, known: Known, early: Early) -> Content:
    before = known(path)
    for _ in range(local_files.ATTEMPTS):
        with local_files.open_source(root, path) as source:
            try:
                read = revision.read(source, before, functools.partial(early, path, source))
            except Changed:
                continue
            node = tree.file(read.digest, source.identity.executable)
            fresh = local_files.may_hide_a_change(source.identity, time.time_ns())
            return Content(node, source.identity, None, read, fresh)
    raise Changed("the file does not stay the same while it is read")
