"""What an index says, told by what it has other than the tree of a commit.

That is little: what was added since the commit, a conflict's stages, flags, and which files are
not as the index says. Both ends have the commit, so an index of 100,000 entries travels in some
hundred bytes. Here the difference is made, and over there the index is made of it again. What git
prints of a tree and of an index is read here, too.
"""

import json
import zlib
from typing import AbstractSet, Any, Dict, List, NamedTuple, Tuple

from sidecar.core import gitindex
from sidecar.core.gitindex import Entry, NoIndex

UNFOLDED_LIMIT = 256 << 20
"""Bytes of JSON that a peer may make us unfold: a first commit of 1,000,000 files, all staged."""

Tree = Dict[bytes, Tuple[int, bytes]]
"""By path: mode and object of what a commit holds, folders left aside."""


class Staged(NamedTuple):
    """An index, by what it has other than a commit's tree.

    `entries`: all entries of the paths that have others than the tree. `gone`: paths of the tree
    that the index does not have. `unlike`: paths whose file is not known to be what is staged, so
    that git must look.
    """

    entries: List[Entry]
    gone: List[bytes]
    unlike: List[bytes]


def read_tree(listed: bytes) -> Tree:
    """What `git ls-tree -r -z` printed.

    Raises:
        NoIndex: it printed something else.
    """
    tree: Tree = {}
    for line in listed.split(b"\0"):
        if line:
            traits, tab, path = line.partition(b"\t")
            words = traits.split(b" ")
            if not tab or len(words) != 3:
                raise NoIndex("no line of a tree: %.200r" % line)
            # Trees of old versions of git have files of mode 100664, which an index calls 100644.
            mode = int(words[0], 8)
            if mode & 0o170000 == 0o100000:
                mode = gitindex.EXECUTABLE if mode & 0o100 else gitindex.REGULAR
            tree[path] = mode, _oid(words[2])
    return tree


def read_index(listed: bytes, intended: AbstractSet[bytes] = frozenset()) -> List[Entry]:
    """What `git ls-files -v -s -z` printed.

    Args:
        intended: paths that are to be added, and of which nothing is staged yet.
    Raises:
        NoIndex: it printed something else.
    """
    entries = []
    for line in listed.split(b"\0"):
        if line:
            traits, tab, path = line.partition(b"\t")
            words = traits.split(b" ")
            if not tab or len(words) != 4 or len(words[0]) != 1:
                raise NoIndex("no line of an index: %.200r" % line)
            tag, mode, oid, stage = words
            flags = gitindex.ASSUME_UNCHANGED if tag.islower() else 0
            if tag in b"Ss":
                flags |= gitindex.SKIP_WORKTREE
            if path in intended:
                flags |= gitindex.INTENT_TO_ADD
            entries.append(Entry(path, int(mode, 8), _oid(oid), int(stage), flags))
    return entries


def difference(tree: Tree, index: List[Entry], unlike: AbstractSet[bytes]) -> Staged:
    """What must be told of an index to who has the tree."""
    same = set()
    for one in index:
        if not one.stage and not one.flags and tree.get(one.path) == (one.mode, one.oid):
            same.add(one.path)
    there = {one.path for one in index}
    entries = [one for one in index if one.path not in same]
    gone = sorted(path for path in tree if path not in there)
    return Staged(entries, gone, sorted(unlike & there))


def applied(tree: Tree, staged: Staged) -> List[Entry]:
    """The index's entries again. Their stat is for who has the files."""
    entries = list(staged.entries)
    other = {one.path for one in entries}.union(staged.gone)
    entries.extend(
        Entry(path, mode, oid) for path, (mode, oid) in tree.items() if path not in other
    )
    return entries


def pack(staged: Staged) -> bytes:
    """For a message's body."""
    rows = [
        [_text(one.path), one.mode, one.oid.hex(), one.stage, one.flags] for one in staged.entries
    ]
    whole = [rows, [_text(path) for path in staged.gone], [_text(path) for path in staged.unlike]]
    return zlib.compress(json.dumps(whole, separators=(",", ":")).encode("ascii"), 6)


def unpack(packed: bytes) -> Staged:
    """The reverse of `pack`, every value checked.

    Raises:
        NoIndex: not what that makes, or too long.
    """
    unfold = zlib.decompressobj()
    try:
        text = unfold.decompress(packed, UNFOLDED_LIMIT)
        if not unfold.eof or unfold.unused_data:
            raise NoIndex("what is staged is cut off, too long, or has bytes behind it")
        rows, gone, unlike = json.loads(text.decode("ascii"))
        return Staged([_entry(row) for row in rows], _paths(gone), _paths(unlike))
    except NoIndex:
        raise
    except (zlib.error, ValueError, TypeError, RecursionError) as error:
        raise NoIndex("what is staged cannot be read: %s" % error) from None


def _entry(row: Any) -> Entry:
    path, mode, oid, stage, flags = row
    if not all(type(number) is int for number in (mode, stage, flags)) or type(oid) is not str:
        raise NoIndex("a staged entry is malformed: %.200r" % (row,))
    (raw,) = _paths([path])
    return Entry(raw, mode, bytes.fromhex(oid), stage, flags)


def _paths(names: Any) -> List[bytes]:
    if type(names) is not list or not all(type(name) is str for name in names):
        raise NoIndex("a list of paths is none")
    found = [name.encode("utf-8", "surrogateescape") for name in names]
    for path in found:
        gitindex.check_path(path)
    return found


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


def _oid(word: bytes) -> bytes:
    return bytes.fromhex(word.decode("ascii"))
