"""A tree seen through a few replaced paths."""

from typing import Iterator, Mapping, Optional

from sidecar.core.tree import Node


class Overlay(Mapping[str, Node]):
    """A tree with some paths replaced (None: taken away), without copying it."""

    def __init__(self, below: Mapping[str, Node], above: Mapping[str, Optional[Node]]) -> None:
        self._below, self._above = below, above

    def __getitem__(self, path: str) -> Node:
        if path not in self._above:
            return self._below[path]
        node = self._above[path]
        if node is None:
            raise KeyError(path)
        return node

    def __iter__(self) -> Iterator[str]:
        yield from (path for path in self._below if path not in self._above)
        yield from (path for path, node in self._above.items() if node is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)
