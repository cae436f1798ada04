"""The content digest of the managed set, kept while the set changes.

The managed set is base without what is the remote's own. Its digest (core.tree) goes into the
record of every run, so a run must not pay for all of the tree: what changed costs its folder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from sidecar.core import tree
from sidecar.core.tree import Node
from sidecar.sync.trees.agreed import AgreedTree, node_of

Replaced = Mapping[str, Node | None]
"""Paths that are about to hold something else; None: nothing."""


class ManagedDigest:
    """Of one agreed tree, by one thread.

    Args:
        is_theirs: whether a path is the remote's own.
    """

    def __init__(self, agreed: AgreedTree, is_theirs: Callable[[str], bool]) -> None:
        self._agreed, self._is_theirs = agreed, is_theirs
        self._folders: dict[str, bytes] = {}

    def changed(self, path: str) -> None:
        """What is at the path, or whose it is, is another."""
        self._folders.pop(path.rpartition("/")[0], None)

    def clear(self) -> None:
        self._folders.clear()

    def prepare(self) -> Iterator[None]:
        """Digests the folders that were not yet, one at each turn (2 µs a file), so that the first
        digest of a large tree need not hold up everything else."""
        for folder in [one for one in self._agreed.folders if one not in self._folders]:
            names = self._names(folder)
            if names:
                self._folders[folder] = tree.folder_digest(names)
            yield

    def hexdigest(self, replaced: Replaced) -> str:
        """The digest of the set as it will be with these."""
        for _ in self.prepare():
            pass
        folders = {
            _prefix(folder): found
            for folder, found in self._folders.items()
            if folder in self._agreed.folders
        }
        above: dict[str, dict[str, Node | None]] = {}
        for path, node in replaced.items():
            if not self._is_theirs(path):
                folder, _, name = path.rpartition("/")
                above.setdefault(folder, {})[name] = node
        for folder, changes in above.items():
            names = self._names(folder)
            for name, node in changes.items():
                names.pop(name, None)
                if node is not None:
                    names[name] = node
            folders.pop(_prefix(folder), None)
            if names:
                folders[_prefix(folder)] = tree.folder_digest(names)
        return tree.whole_digest(folders)

    def _names(self, folder: str) -> dict[str, Node]:
        prefix = _prefix(folder)
        return {
            name: node_of(packed)
            for name, packed in self._agreed.folders.get(folder, {}).items()
            if not self._is_theirs(prefix + name)
        }


def _prefix(folder: str) -> str:
    return f"{folder}/" if folder else ""
