"""git's index, written: what a repository has staged, and by what each file is known to be that.

The format is git's own (gitformat-index), version 2, or 3 where an entry has a flag that needs it;
no extensions: git makes anew what it misses. An entry whose stat is `UNSEEN` is one that git looks
at itself, by content, before it says anything of it. One whose stat is the file's is believed: so
20,000 files are found unchanged without one being read, and also where a clean filter of the other
machine (git-lfs, nbstripout) would make something else of them.
"""

import os
import struct
from typing import Callable, Dict, Iterable, NamedTuple, Tuple

REGULAR, EXECUTABLE, LINK, SUBMODULE = 0o100644, 0o100755, 0o120000, 0o160000
MODES = frozenset((REGULAR, EXECUTABLE, LINK, SUBMODULE))

ASSUME_UNCHANGED = 0x8000
SKIP_WORKTREE = 0x4000 << 16
INTENT_TO_ADD = 0x2000 << 16
"""Flags of an entry: the upper half is what version 3 has room for."""

_FLAGS = ASSUME_UNCHANGED | SKIP_WORKTREE | INTENT_TO_ADD
_EXTENDED = 0x4000

LENGTHS: Dict[str, int] = {"sha1": 20, "sha256": 32}
"""Bytes of an object's name, by the repository's object format."""

MOST_ENTRIES = 2000000
"""As many as one project may have paths (agent/roots/managed.py)."""


class Stat(NamedTuple):
    """What `lstat` says of an entry's file, as far as git keeps it; times in nanoseconds."""

    ctime_ns: int
    mtime_ns: int
    device: int
    inode: int
    user: int
    group: int
    size: int


UNSEEN = Stat(0, 0, 0, 0, 0, 0, 0)


class Entry(NamedTuple):
    """`stage` is 0, or 1 to 3 for the sides of a merge conflict."""

    path: bytes
    mode: int
    oid: bytes
    stage: int = 0
    flags: int = 0
    stat: Stat = UNSEEN


class NoIndex(ValueError):
    """Entries of which no index can be made; the message says why."""


_HEAD = struct.Struct(">4sLL")
_STAT = struct.Struct(">10L")
_WORD, _SECOND = 0xFFFFFFFF, 10**9


def encode(entries: Iterable[Entry], algorithm: str) -> bytes:
    """A whole index file.

    Args:
        entries: in any order.
        algorithm: the repository's object format: "sha1" or "sha256".
    Raises:
        NoIndex: an entry that git would refuse to read, or that would lead out of the tree.
    """
    if algorithm not in LENGTHS:
        raise NoIndex("objects are named by %.20r, which is not known" % algorithm)
    ordered = sorted(entries, key=lambda one: (one.path, one.stage))
    if len(ordered) > MOST_ENTRIES:
        raise NoIndex("%d entries" % len(ordered))
    _check_order(ordered)
    version = 3 if any(one.flags >> 16 for one in ordered) else 2
    parts = [_HEAD.pack(b"DIRC", version, len(ordered))]
    length = LENGTHS[algorithm]
    parts.extend(_entry(one, length) for one in ordered)
    content = b"".join(parts)
    return content + _digest(algorithm)(content)


def _entry(entry: Entry, length: int) -> bytes:
    path, mode, oid, stage, flags, stat = entry
    if mode not in MODES or len(oid) != length or not 0 <= stage <= 3 or flags & ~_FLAGS:
        raise NoIndex("an entry that git does not have: %.200r" % (entry,))
    check_path(path)
    seconds = (*divmod(stat.ctime_ns, _SECOND), *divmod(stat.mtime_ns, _SECOND))
    numbers = (*seconds, stat.device, stat.inode, mode, stat.user, stat.group, stat.size)
    short = min(len(path), 0xFFF) | stage << 12 | flags & ASSUME_UNCHANGED
    extended = flags >> 16
    if extended:
        tail = struct.pack(">HH", short | _EXTENDED, extended)
    else:
        tail = struct.pack(">H", short)
    raw = _STAT.pack(*[number & _WORD for number in numbers]) + oid + tail + path
    return raw + b"\0" * (8 - len(raw) % 8)  # one at least ends the path


def check_path(path: bytes) -> None:
    """Refuses what git refuses as well, and would be harmful to whoever checks the index out.

    Raises:
        NoIndex: the path leads out of the tree, or into a repository's own folder.
    """
    if not path or b"\0" in path:
        raise NoIndex("a path that none is: %.200r" % path)
    for name in path.split(b"/"):
        if name in (b"", b".", b"..") or name.lower() == b".git":
            raise NoIndex("a path that git does not take: %.200r" % path)


def _check_order(entries: "Iterable[Entry]") -> None:
    before: Tuple[bytes, int] = (b"", 0)
    for one in entries:
        if one.path == before[0] and (one.stage == before[1] or not before[1]):
            raise NoIndex("two entries for one path: %.200r" % one.path)
        before = one.path, one.stage


def _digest(algorithm: str) -> Callable[[bytes], bytes]:
    # Loaded late: it costs 4 MB, and most of what imports this module never writes an index.
    import hashlib

    return lambda content: getattr(hashlib, algorithm)(content).digest()


def stat_of(status: os.stat_result) -> Stat:
    """What an entry keeps of what `lstat` said."""
    return Stat(
        status.st_ctime_ns,
        status.st_mtime_ns,
        status.st_dev,
        status.st_ino,
        status.st_uid,
        status.st_gid,
        status.st_size,
    )
