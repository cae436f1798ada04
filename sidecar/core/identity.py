"""Which file this is, as one `lstat` tells it: the cheap question behind every guard.

A path is *still what the plan saw* while its identity is equal. Content may be equal under a
different identity (a `touch`, a `chmod`); then a digest decides. Identities are only comparable
on the machine that reported them.
"""

import hashlib
import json
import os
import stat
import zlib
from typing import Iterable, List, NamedTuple, Optional, Tuple

FILE = "f"
DIRECTORY = "d"
SYMLINK = "l"
OTHER = "o"
"""FIFOs, sockets, devices: seen, said, never synced."""


class Identity(NamedTuple):
    """What `lstat` says of one path. Times in nanoseconds of that machine's clock."""

    kind: str
    mode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @property
    def executable(self) -> bool:
        return self.kind == FILE and bool(self.mode & stat.S_IXUSR)


def from_stat(status: os.stat_result) -> Identity:
    """The identity in an `lstat` result. A directory's size and times change with its entries and
    say nothing about it, so they are left out."""
    mode = status.st_mode
    if stat.S_ISREG(mode):
        kind = FILE
    elif stat.S_ISDIR(mode):
        return Identity(DIRECTORY, stat.S_IMODE(mode), 0, 0, 0, status.st_ino)
    elif stat.S_ISLNK(mode):
        kind = SYMLINK
    else:
        kind = OTHER
    return Identity(
        kind,
        stat.S_IMODE(mode),
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_ino,
    )


Entry = Tuple[str, Optional[Identity]]
"""A path relative to the root ('/' separated) and what is there; None: nothing."""

UNPACKED_LIMIT = 64 << 20
"""What one packed list may unfold to: 64 MiB holds 500,000 entries; more is a bomb."""


class PackError(Exception):
    """A packed list of entries is damaged."""


def pack(entries: Iterable[Entry]) -> bytes:
    """Entries as compressed JSON, for a message's body. Names that are no UTF-8 come as lone
    surrogates (PEP 383), which JSON carries as escapes."""
    return zlib.compress(json.dumps(list(entries), separators=(",", ":")).encode("ascii"), 6)


def unpack(packed: bytes) -> List[Entry]:
    """The reverse of `pack`, with every value checked.

    Raises:
        PackError: not what `pack` makes, or too long.
    """
    unfold = zlib.decompressobj()
    try:
        text = unfold.decompress(packed, UNPACKED_LIMIT)
        if not unfold.eof or unfold.unused_data:
            raise PackError("a list of entries is cut off, too long, or has bytes behind it")
        rows = json.loads(text.decode("ascii"))
    except (zlib.error, ValueError, RecursionError) as error:
        raise PackError("a list of entries cannot be read: %s" % error) from None
    if not isinstance(rows, list):
        raise PackError("a list of entries is no list")
    return [_entry(row) for row in rows]


def _entry(row: object) -> Entry:
    if isinstance(row, list) and len(row) == 2 and isinstance(row[0], str):
        path, fields = row
        if fields is None:
            return path, None
        if (
            isinstance(fields, list)
            and len(fields) == 6
            and fields[0] in (FILE, DIRECTORY, SYMLINK, OTHER)
            and all(type(value) is int for value in fields[1:])
        ):
            return path, Identity(*fields)
    raise PackError("an entry is malformed: %.80r" % (row,))


def digest(entries: Iterable[Entry]) -> str:
    """The *identity digest* of a set of paths: BLAKE2b-128 over the sorted entries, in hex.

    Both ends compute it, each over what it holds; equal digests mean that both hold the same set.
    """
    whole = hashlib.blake2b(digest_size=16)
    for path, identity in sorted(entries, key=lambda entry: entry[0]):
        whole.update(path.encode("utf-8", "surrogateescape"))
        whole.update(b"\0%s\n" % ("-" if identity is None else repr(tuple(identity))).encode())
    return whole.hexdigest()
