"""The local side as the engine sees it: what may have changed, and what is really there.

Unchanged paths are known by their identity alone; content is read only where that differs from
what base, or a change on its way, says it was.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from sidecar import api
from sidecar.core import paths as names
from sidecar.core import tree
from sidecar.core.identity import DIRECTORY, Identity
from sidecar.core.tree import Node
from sidecar.sync import content
from sidecar.sync.content import Content
from sidecar.sync.ignore import Rules
from sidecar.sync.local_files import Changed
from sidecar.sync.scan import Scan, scan
from sidecar.sync.signature import FileSignature


class Unreadable(Exception):
    """A path is there and its content cannot be had; the text says why."""


class Here:
    """The project's folder on this machine.

    Args:
        known: finds the signature of a large file's content before.
        keep: takes the one of a content that was read to be compared.
    """

    def __init__(
        self,
        root: Path,
        rules: Rules,
        known: content.Known,
        keep: Callable[[str, FileSignature], None],
    ) -> None:
        self.root, self.rules, self._known, self._keep = root, rules, known, keep
        self.problems: list[api.PathNote] = []
        """What the last scan could not use."""

    def scan(self) -> Scan:
        """The tree, freshly, by the rules as they are now. Blocking: about 10 µs a file."""
        self.rules.refresh()
        found = scan(self.root, self.rules)
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
            return await content.read(self.root, path, self._known)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except Changed:
            raise Unreadable("it changes while it is read") from None
        except OSError as error:
            raise Unreadable(error.strerror or str(error)) from None
        except names.PathError as error:
            raise Unreadable(str(error)) from None

    async def readable(self, path: str) -> Content | None:
        """What is at a path; None where nothing is, or it cannot be read."""
        try:
            read = await self.read(path)
        except Unreadable:
            return None
        if read is not None and read.revision is not None:
            self._keep(read.node.digest, read.revision.signature)
        return read


def differing(
    found: Scan, known: Iterable[str], expected: Callable[[str], Identity | None]
) -> set[str]:
    """Paths of a scan that are not as expected, and known ones that are gone. What could not be
    looked at is neither."""
    paths = {path for path, here in found.entries.items() if here != expected(path)}
    gone = (path for path in known if path not in found.entries)
    hidden = found.hidden if found.problems else lambda _: False
    paths.update(path for path in gone if not hidden(path))
    return paths
