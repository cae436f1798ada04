"""The agreed tree in memory: what both sides had at each path when they were last alike.

Held by folder and packed: a name, and one `bytes` with the node and both identities. 200,000 files
in 5,000 folders take 43 MB so; as tuples in one dictionary by path they were 172. (A hub with base,
a scan and the watch of those has 150 MB at its peak, its imports' 50 among them.) Reading one entry
makes the tuples again, in 2 µs; who asks about all of them at once (the look at the local side, the
digests) works on the packed form, and compares without making any.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from sidecar.core import identity
from sidecar.core.identity import DIRECTORY, FILE, OTHER, PACKED_SIZE, SYMLINK, Identity
from sidecar.core.tree import FOLDER, Node
from sidecar.sync.trees.packed_tree import PackedTree


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


def is_folder(packed: bytes) -> bool:
    return packed[0] & _KIND == 1


def node_of(packed: bytes) -> Node:
    """The node alone: what a plan asks of most paths."""
    head, digest = packed[0], packed[_DIGEST:]
    if head & (_KIND | _EXECUTABLE) == 1 and not digest:
        return FOLDER
    text = digest.hex() if head & _HEX else digest.decode("utf-8", "surrogatepass")
    return Node(_KINDS[head & _KIND], bool(head & _EXECUTABLE), text)


class AgreedTree(PackedTree[Agreed]):
    """What is agreed on, by path."""

    unpack = staticmethod(unpack)


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
