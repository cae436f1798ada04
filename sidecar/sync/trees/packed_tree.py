"""A mapping from paths to packed values, held by folder: how whole trees stay small.

A folder's path is held once, a value is one `bytes`, and who asks about all of a tree works on
that. What is asked for by its path is unpacked then.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from sidecar.core import identity
from sidecar.core.identity import Identity

Value = TypeVar("Value")


class PackedTree(Mapping[str, Value]):
    """One thread changes it; others may read it meanwhile, and see each path as it was or is."""

    def __init__(self) -> None:
        self.folders: dict[str, dict[str, bytes]] = {}
        """Packed values by name, by folder; for looking only."""
        self._count = 0

    @staticmethod
    @abstractmethod
    def unpack(packed: bytes) -> Value: ...

    def __getitem__(self, path: str) -> Value:
        packed = self.packed(path)
        if packed is None:
            raise KeyError(path)
        return self.unpack(packed)

    def __contains__(self, path: object) -> bool:
        return isinstance(path, str) and self.packed(path) is not None

    def __iter__(self) -> Iterator[str]:
        for folder, names in list(self.folders.items()):
            for name in list(names):
                yield f"{folder}/{name}" if folder else name

    def __len__(self) -> int:
        return self._count

    def packed(self, path: str) -> bytes | None:
        """The value as it is held."""
        folder, _, name = path.rpartition("/")
        names = self.folders.get(folder)
        return None if names is None else names.get(name)

    def all_packed(self) -> Iterator[tuple[str, bytes]]:
        for folder, names in list(self.folders.items()):
            for name, packed in list(names.items()):
                yield (f"{folder}/{name}" if folder else name), packed

    def has_all_of(self, other: PackedTree[Any]) -> bool:
        """Whether every path of the other tree is in this one."""
        return all(
            names.keys() <= self.folders.get(folder, {}).keys()
            for folder, names in list(other.folders.items())
        )

    def put(self, path: str, packed: bytes | None) -> bytes | None:
        """Enters, or takes away where it is None; returns what was there."""
        folder, _, name = path.rpartition("/")
        names = self.folders.get(folder)
        before = None if names is None else names.get(name)
        if packed is not None:
            if names is None:
                names = self.folders[folder] = {}
            names[name] = packed
            self._count += before is None
        elif names is not None and before is not None:
            del names[name]
            self._count -= 1
            if not names:
                del self.folders[folder]
        return before

    def put_folder(self, folder: str, names: dict[str, bytes]) -> None:
        """Enters all that is directly in a folder, which is the tree's from here on."""
        if names:
            self._count += len(names) - len(self.folders.get(folder, ()))
            self.folders[folder] = names

    def clear(self) -> None:
        self.folders, self._count = {}, 0


class IdentityTree(PackedTree[Identity]):
    """Identities, as identity.to_bytes packs them."""

    @staticmethod
    def unpack(packed: bytes) -> Identity:
        found = identity.from_bytes(packed)
        assert found is not None
        return found
