"""Trees: what is at each path, as far as two machines can agree about it.

A tree is a mapping from relative paths ('/'-separated, the root itself left out) to nodes. Equal
nodes are agreement: times, inodes and permission bits besides the executable one belong to one
machine and are no part of a node (identity.py has those). *Base* is the tree that both sides last
agreed on, *local* what is here, *remote* what the agent told of; reconcile.py compares them.
"""

from typing import Dict, Iterator, Mapping, NamedTuple

from sidecar.core import delta
from sidecar.core.blake2 import blake2b
from sidecar.core.identity import DIRECTORY, FILE, OTHER, SYMLINK

UNREAD = "?"
"""The digest of a content that nobody has read yet. It stands in a remote tree only, where it is
like no known content: a file that changed there is left alone until it was looked at."""


class Node(NamedTuple):
    """One path's kind, whether it is executable (files only), and the digest of its content: of
    a link, of its target's bytes; of a directory, nothing."""

    kind: str
    executable: bool
    digest: str


Tree = Mapping[str, Node]

FOLDER = Node(DIRECTORY, False, "")
"""Every directory: one is like any other, for what is in it has paths of its own."""

STRANGE = Node(OTHER, False, "")
"""A FIFO, a socket, a device: never synced, never replaced."""


def file(digest: str, executable: bool = False) -> Node:
    """A file whose content has that digest (delta.ContentDigest), or is UNREAD."""
    return Node(FILE, executable, digest)


def link(target: str) -> Node:
    """A symbolic link with that target, as `os.readlink` gives it."""
    return Node(SYMLINK, False, delta.content_digest(target.encode("utf-8", "surrogateescape")))


def intent(node: Node) -> str:
    """How the journal of what is about to be sent calls a node: by its content; a directory, which
    has none, by a sign that is no digest."""
    return "/" if node.kind == DIRECTORY else node.digest


def ancestors(path: str) -> Iterator[str]:
    """The folders above a path, deepest first, without the root."""
    at = path.rfind("/")
    while at > 0:
        path = path[:at]
        yield path
        at = path.rfind("/")


def line(name: str, node: Node) -> bytes:
    """What an entry of a folder adds to the folder's digest. No name holds a NUL."""
    head = "%s%d %s " % (node.kind, node.executable, node.digest)
    return head.encode("ascii") + name.encode("utf-8", "surrogateescape") + b"\0"


def folder_digest(names: Mapping[str, Node]) -> bytes:
    """Of what is directly in one folder."""
    whole = blake2b(digest_size=delta.DIGEST_SIZE)
    for name in sorted(names):
        whole.update(line(name, names[name]))
    return whole.digest()


def whole_digest(folders: Mapping[str, bytes]) -> str:
    """The *content digest* of a tree, hex, from those of its folders that hold something, by their
    paths with the slash behind ("" is the root): which
    code is this? Equal on every machine. In two stages, so that a save costs the digest of one
    folder and not of the tree (20,000 files in 500 folders: 90 ms anew, 0.6 after a save)."""
    whole = blake2b(digest_size=delta.DIGEST_SIZE)
    for path in sorted(folders):
        whole.update(folders[path] + path.encode("utf-8", "surrogateescape") + b"\0")
    return whole.hexdigest()


def digest(tree: Tree) -> str:
    """The content digest of a whole tree."""
    folders: Dict[str, Dict[str, Node]] = {}
    for path, node in tree.items():
        at = path.rfind("/") + 1
        folders.setdefault(path[:at], {})[path[at:]] = node
    return whole_digest({path: folder_digest(names) for path, names in folders.items()})
