"""The agreed tree in memory: what both sides had at each path when they were last alike.

Held by folder and packed: a name, and one `bytes` with the node and both identities. 200,000 files
in 5,000 folders take 43 MB so; as tuples in one dictionary by path they were 172. Reading one entry
makes the tuples again, in 2 µs; who asks about all of them at once (the look at the local side, the
digests) works on the packed form, and compares without making any.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from sidecar.core import identity, paths
from sidecar.core.identity import DIRECTORY, FILE, OTHER, PACKED_SIZE, SYMLINK, Identity
from sidecar.core.tree import FOLDER, Node


class Agreed(NamedTuple):
    """A path's content, and the identities that it had here and there when both sides agreed.
    `local` None: agreed, but not seen here since (the next look compares content)."""

    node: Node
    local: Identity | None
    remote: Identity


LOCAL, REMOTE = 1, 1 + PACKED_SIZE
"""Where in a packed entry the identities stand (identity.to_bytes). The one here may be zeros,
which no identity is."""

_DIGEST = REMOTE + PACKED_SIZE
_UNSEEN = bytes(PACKED_SIZE)
_KINDS = (FILE, DIRECTORY, SYMLINK, OTHER)
_KIND, _EXECUTABLE, _HEX = 0b11, 0b100, 0b1000


def pack(agreed: Agreed) -> bytes:
    """An entry in some 90 bytes."""
    node, local, remote = agreed
    head = _KINDS.index(node.kind) | _EXECUTABLE * node.executable
    digest = node.digest.encode("utf-8", "surrogatepass")
    try:
        raw = bytes.fromhex(node.digest)
        if raw.hex() == node.digest:
            head, digest = head | _HEX, raw
    except ValueError:
        pass  # no digest that we make; kept as it is
    here = identity.to_bytes(local) or _UNSEEN
    return b"%c%s%s%s" % (head, here, identity.to_bytes(remote), digest)


def unpack(packed: bytes) -> Agreed:
    """The reverse of `pack`.

    Raises:
        ValueError: it is none of ours.
    """
    local = None
    try:
        if not packed.startswith(_UNSEEN, LOCAL):
            local = identity.from_bytes(packed[LOCAL:REMOTE])
        remote = identity.from_bytes(packed[REMOTE:_DIGEST])
        node = node_of(packed)
    except (identity.PackError, IndexError) as error:
        raise ValueError(str(error)) from None
    if remote is None:
        raise ValueError("no identity there")
    return Agreed(node, local, remote)


def node_of(packed: bytes) -> Node:
    """The node alone: what a plan asks of most paths."""
    head, digest = packed[0], packed[_DIGEST:]
    if head & (_KIND | _EXECUTABLE) == 1 and not digest:
        return FOLDER
    text = digest.hex() if head & _HEX else digest.decode("utf-8", "surrogatepass")
    return Node(_KINDS[head & _KIND], bool(head & _EXECUTABLE), text)


class AgreedTree(Mapping[str, Agreed]):
    """A mapping from paths to entries, by folder. One thread changes it; others may read it
    meanwhile, and see each path as it was or as it is."""

    def __init__(self) -> None:
        self.folders: dict[str, dict[str, bytes]] = {}
        """Packed entries by name, by folder; for looking only."""
        self._count = 0

    def __getitem__(self, path: str) -> Agreed:
        return unpack(self.folders[paths.parent(path)][path[path.rfind("/") + 1 :]])

    def __contains__(self, path: object) -> bool:
        return isinstance(path, str) and self.packed(path) is not None

    def get(self, path: str, default: Agreed | None = None) -> Agreed | None:  # type: ignore[override]
        packed = self.packed(path)
        return default if packed is None else unpack(packed)

    def __iter__(self) -> Iterator[str]:
        for folder, names in list(self.folders.items()):
            for name in list(names):
                yield f"{folder}/{name}" if folder else name

    def __len__(self) -> int:
        return self._count

    def packed(self, path: str) -> bytes | None:
        """The entry as it is held."""
        folder, _, name = path.rpartition("/")
        names = self.folders.get(folder)
        return None if names is None else names.get(name)

    def all_packed(self) -> Iterator[tuple[str, bytes]]:
        for folder, names in list(self.folders.items()):
            for name, packed in list(names.items()):
                yield (f"{folder}/{name}" if folder else name), packed

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
        """Enters all of a folder that has no entries yet."""
        if names:
            self._count += len(names) - len(self.folders.get(folder, ()))
            self.folders[folder] = names

    def clear(self) -> None:
        self.folders, self._count = {}, 0


class Nodes(Mapping[str, Node]):
    """A tree's nodes, as `reconcile` takes them; a live view."""

    def __init__(self, tree: AgreedTree) -> None:
        self._tree = tree

    def __getitem__(self, path: str) -> Node:
        packed = self._tree.packed(path)
        if packed is None:
            raise KeyError(path)
        return node_of(packed)

    def __contains__(self, path: object) -> bool:
        return path in self._tree

    def __iter__(self) -> Iterator[str]:
        return iter(self._tree)

    def __len__(self) -> int:
        return len(self._tree)
