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
from typing import Iterable, Iterator, List, NamedTuple, Optional, Tuple

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
    if isinstance(row, list) and len(row) == 2 and _is_name(row[0]):
        path, fields = row
        if fields is None:
            return path, None
        if (
            isinstance(fields, list)
            and len(fields) == 6
            and fields[0] in (FILE, DIRECTORY, SYMLINK, OTHER)
            and all(type(value) is int and _LOW <= value < _HIGH for value in fields[1:])
        ):
            return path, Identity(*fields)
    raise PackError("an entry is malformed: %.80r" % (row,))


def _is_name(value: object) -> bool:
    """Whether a file system could hold it: text, or bytes that are no UTF-8 (PEP 383)."""
    if not isinstance(value, str):
        return False
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


PART_LIMIT = 256 << 10
"""Bytes of JSON in one part of a long list: at most a quarter of a frame, whatever the names."""

_LOW, _HIGH = -(1 << 63), 1 << 64

_FIELDS_LIMIT = 128
"""What an entry's numbers and punctuation take at most: five numbers of 64 bits."""


def pack_parts(entries: Iterable[Entry]) -> Iterator[Tuple[bool, bytes]]:
    """A list of any length as packed parts that fit into frames.

    Yields:
        (last, packed): the last part, which alone may be empty, comes with True.
    """
    part: List[Entry] = []
    room = PART_LIMIT
    for entry in entries:
        size = len(json.dumps(entry[0])) + _FIELDS_LIMIT
        if part and size > room:
            yield False, pack(part)
            part, room = [], PART_LIMIT
        part.append(entry)
        room -= size
    yield True, pack(part)


class SetDigest:
    """The *identity digest* of a set of paths, kept while the set changes.

    The sum of the entries' BLAKE2b-128 modulo 2^128, so that a change costs one entry and not the
    set (20,000 entries anew: 60 ms; one: 3 µs). It tells whether two ends that follow one another
    are in step; against somebody who *wants* two sets to look alike it is no proof, and none is
    needed: each end looks at its own disk.
    """

    def __init__(self, total: int = 0) -> None:
        self.total = total

    def add(self, path: str, identity: Optional[Identity]) -> None:
        self.total = (self.total + _entry_number(path, identity)) % _SUM

    def discard(self, path: str, identity: Optional[Identity]) -> None:
        """Takes away an entry that was added."""
        self.total = (self.total - _entry_number(path, identity)) % _SUM

    def hexdigest(self) -> str:
        return "%032x" % self.total


_SUM = 1 << 128


def _entry_number(path: str, identity: Optional[Identity]) -> int:
    name = path.encode("utf-8", "surrogateescape")
    fields = (
        b"-" if identity is None else b"%s %d %d %d %d %d" % (identity[0].encode(), *identity[1:])
    )
    return int.from_bytes(hashlib.blake2b(name + b"\0" + fields, digest_size=16).digest(), "big")


def digest(entries: Iterable[Entry]) -> str:
    """The identity digest of a set of paths, in hex (SetDigest). Both ends compute it, each over
    what it holds; equal digests mean that both hold the same set."""
    whole = SetDigest()
    for path, identity in entries:
        whole.add(path, identity)
    return whole.hexdigest()
