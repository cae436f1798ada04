"""The local side as the engine sees it: what may have changed, and what is really there.

Unchanged paths are known by their identity alone; content is read only where that differs from
what base, or a change on its way, says it was.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from sidecar import api
from sidecar.core import batch, identity, tree
from sidecar.core import paths as names
from sidecar.core.identity import DIRECTORY, FILE, Identity
from sidecar.core.tree import Node
from sidecar.sync.delta import content
from sidecar.sync.delta.content import Content
from sidecar.sync.delta.signature import FileSignature
from sidecar.sync.disk import local_files
from sidecar.sync.disk.local_files import Changed
from sidecar.sync.rules.ignore import Rules
from sidecar.sync.trees.agreed import LOCAL, AgreedTree
from sidecar.sync.trees.scan import Scan, scan

WHOLE = batch.LARGEST
"""Bytes up to which a new file is read to travel whole, with others."""


class Unreadable(Exception):
    """A path is there and its content cannot be had; the text says why."""


class Here:
    """The project's folder on this machine.

    Args:
        known: finds the signature of a large file's content before.
        keep: takes the one of a content that was read to be compared.
        agreed: what base holds; of that the rules are asked once.
        early: told of what changed in a large file, while it is still being read.
    """

    def __init__(
        self,
        root: Path,
        rules: Rules,
        known: content.Known,
        keep: Callable[[str, FileSignature], None],
        agreed: AgreedTree | None = None,
        early: content.Early = content.nobody,
    ) -> None:
        self.root, self.rules, self._known, self._keep = root, rules, known, keep
        self._early = early
        self._agreed = AgreedTree() if agreed is None else agreed
        self._asked = -1  # the rules' generation that all of base was decided by
        self.problems: list[api.PathNote] = []
        """What the last scan could not use."""

    def scan(self) -> Scan:
        """The tree, freshly, by the rules as they are now. Blocking: about 4 µs a file, 6 where
        the rules have changed since the last time."""
        self.rules.refresh()
        generation = self.rules.generation
        known = self._agreed if generation == self._asked else None
        found = scan(self.root, self.rules, known=known)
        if known is None:
            # What is in base and was ignored must be found so again, until it was dealt with.
            whole = found.entries.has_all_of(self._agreed)
            self._asked = generation if whole else -1
        self.problems = [
            api.PathNote(
                path=problem.path,
                kind="unreadable" if problem.hides else "skipped",
                text=problem.text,
            )
            for problem in found.problems
        ]
        return found

    def relative(self, absolute: str) -> str:
        """The path in the root, or "" where it is not in it. Editors may spell the root's parents
        in another way than its real path; the last component may be a link of the project's."""
        relative = self._below(absolute)
        if not relative:
            folder, name = os.path.split(absolute)
            relative = self._below(os.path.join(os.path.realpath(folder), name))
        return relative

    def _below(self, absolute: str) -> str:
        relative = os.path.relpath(absolute, self.root)
        if relative == os.curdir or relative.split(os.sep, 1)[0] == os.pardir:
            return ""
        return relative.replace(os.sep, "/")

    def widened(
        self, paths: Iterable[str], agreed: Mapping[str, Node], limit: Callable[[str], bool]
    ) -> set[str]:
        """The paths, and what has to be looked at with them: folders above that are not agreed
        on yet, all in a folder that is new (as far as `limit` says so) or gone, and what is gone
        from one that is there: it may be another folder of that name."""
        wide = set(paths)
        gone: set[str] = set()
        there: set[str] = set()
        for path in list(wide):
            for above in tree.ancestors(path):
                if above in agreed or above in wide:
                    break
                wide.add(above)
            full = os.path.join(self.root, path)
            is_folder = os.path.isdir(full) and not os.path.islink(full)
            known = agreed.get(path)
            if known is not None and known.kind == DIRECTORY:
                (there if is_folder else gone).add(path)
            elif is_folder and known is None and limit(path):
                wide.update(scan(self.root, self.rules, path).entries)
        if gone or there:
            for below in agreed:
                folders = set(tree.ancestors(below))
                if folders & gone or (
                    folders & there and not os.path.lexists(os.path.join(self.root, below))
                ):
                    wide.add(below)
        return wide

    async def read(self, path: str) -> Content | None:
        """What is at the path; None: nothing.

        Raises:
            Unreadable: something is, but its content cannot be had.
        """
        try:
            return await content.read(self.root, path, self._known, self._early)
        except _FAILURES as error:
            if problem := _problem(error):
                raise problem from None
            return None

    def read_some(
        self, paths: Sequence[str], whole: Callable[[str], bool], enough: int
    ) -> list[tuple[str, Content | Unreadable | None]]:
        """What is at these paths, from the first on, until that is `enough` bytes; at least one.
        Blocking: 0.05 ms a small file, where a hand-over to a thread for each takes twice that.

        Args:
            whole: whether the data of a file up to WHOLE is wanted, where it is a large one.
        """
        read: list[tuple[str, Content | Unreadable | None]] = []
        size = 0
        with local_files.Folders(self.root) as folders:
            for path in paths:
                found: Content | Unreadable | None
                limit = WHOLE if whole(path) else content.SMALL
                try:
                    found = content.read_now(
                        self.root, path, self._known, self._early, limit, folders
                    )
                except _FAILURES as error:
                    found = _problem(error)
                read.append((path, found))
                if isinstance(found, Content) and found.data:
                    size += len(found.data)
                    if size >= enough:
                        break
        return read

    def sizes(self, paths: Iterable[str]) -> dict[str, int]:
        """The bytes of those of the paths that are files. Blocking: 10 µs a path."""
        sizes = {}
        for path in paths:
            try:
                found = local_files.lookup(self.root, path)
            except (OSError, names.PathError):
                continue  # reading it says why
            if found is not None and found.kind == FILE:
                sizes[path] = found.size
        return sizes

    async def readable(self, path: str) -> Content | None:
        """What is at a path; None where nothing is, or it cannot be read."""
        try:
            read = await self.read(path)
        except Unreadable:
            return None
        if read is not None and read.revision is not None:
            self._keep(read.node.digest, read.revision.signature)
        return read


_FAILURES = (OSError, Changed, names.PathError)


def _problem(error: Exception) -> Unreadable | None:
    """Why a read failed; None where nothing is there."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return None
    if isinstance(error, Changed):
        return Unreadable("it changes while it is read")
    return Unreadable(getattr(error, "strerror", "") or str(error))


def differing(
    found: Scan, agreed: AgreedTree, on_their_way: Mapping[str, Identity | None]
) -> set[str]:
    """Paths of a scan that are not as base says, and known ones that are gone; of what is on its
    way, whether it is as it was sent. What could not be looked at is neither. 0.2 µs a path."""
    paths: set[str] = set()
    known_folders = dict(agreed.folders)  # answers may come meanwhile
    for folder, entries in found.entries.folders.items():
        prefix = f"{folder}/" if folder else ""
        known = known_folders.pop(folder, {}).copy()
        for name, packed in entries.items():
            was = known.pop(name, None)
            if was is None or not was.startswith(packed, LOCAL):
                paths.add(prefix + name)
        paths.update(prefix + name for name in known)
    for folder, known in known_folders.items():
        prefix = f"{folder}/" if folder else ""
        paths.update(prefix + name for name in list(known))
    for path, sent in on_their_way.items():
        if found.entries.packed(path) == identity.to_bytes(sent):
            paths.discard(path)
        else:
            paths.add(path)
    if found.problems:
        paths = {path for path in paths if path in found.entries or not found.hidden(path)}
    return paths
