"""*Base*: what both sides last agreed on, path by path, kept over restarts and crashes.

One file, append-only: a header, then a line per record, each behind its CRC-32. It is written
before it is needed (an intent goes in before its change goes out) and compacted when most of it is
history. What a crash may leave is a torn last line, which is cut off. Anything else that cannot be
read (damage, a newer version) sets the file aside, and the folder is met as for the first time:
everything is compared, nothing is overwritten. Losing base costs time, never content.

Three kinds of records tell of a path: *agreed* (with the identities that both sides had then),
*dropped*, and *intended*: content that we were about to send. After a crash, content found on the
remote that was once intended is an older version of ours, not somebody's edit.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from sidecar.core import identity, paths
from sidecar.core.identity import Entry, Identity, SetDigest, entry_number, short
from sidecar.core.tree import Node

VERSION = 1

COMPACT_ABOVE = 4096
"""Records of history that are tolerated before a file is rewritten (then: as many as there are
entries). 20,000 entries are rewritten in 0.2 s, so it should be rare."""


class Agreed(NamedTuple):
    """A path's content, and the identities that it had here and there when both sides agreed.
    `local` None: agreed, but not seen here since (the next look compares content)."""

    node: Node
    local: Identity | None
    remote: Identity


class Base:
    """The agreed tree of one project on one host. Not shared between threads."""

    def __init__(self, path: Path) -> None:
        """Opens the file, or starts a new one.

        Args:
            path: the journal; its folder must exist. `problem` says what was wrong with an
                earlier file, which then lies beside it as `NAME.set-aside`.
        """
        self._path = path
        self._entries: dict[str, Agreed] = {}
        self._intents: dict[str, set[str]] = {}
        self._digest: SetDigest | None = None
        self._history = 0
        self.marker = self.folder = ""
        self.problem = ""
        clean = False
        try:
            clean = self._load(path.read_bytes())
        except FileNotFoundError:
            pass
        except _Unreadable as error:
            self.problem = str(error)
            self._entries.clear()
            self._intents.clear()
            self.marker = self.folder = ""
            os.replace(path, path.with_name(path.name + ".set-aside"))
        self._file = _appending(path) if clean else self._rewritten()

    # --- reading

    @property
    def entries(self) -> Mapping[str, Agreed]:
        return self._entries

    def nodes(self) -> Mapping[str, Node]:
        """The agreed tree as `reconcile` takes it; a live view."""
        return _Nodes(self._entries)

    def remote_entries(self) -> Iterator[Entry]:
        """What the agent reported of each path: the managed set."""
        return ((path, agreed.remote) for path, agreed in self._entries.items())

    def remote_digest(self) -> str:
        """The identity digest of the managed set (identity.digest), kept while it changes: only
        the first call looks at all entries."""
        if self._digest is None:
            self._digest = SetDigest()
            for path, remote in self.remote_entries():
                self._digest.add(path, remote)
        return self._digest.hexdigest()

    def parting_from(self, folders: Mapping[str, int]) -> tuple[list[Entry], list[str]]:
        """Where the managed set is another one than a peer holds. Blocking, 2 µs an entry.

        Args:
            folders: the peer's folders with their digests (identity.unpack_folders).
        Returns:
            The entries of all folders that differ, and the paths of those that the peer has.
        """
        sums: dict[str, int] = {}
        for path, remote in self.remote_entries():
            folder = paths.parent(path)
            number = entry_number(path, identity.to_bytes(remote))
            sums[folder] = sums.get(folder, 0) + number
        alike = {folder for folder, total in sums.items() if folders.get(folder) == short(total)}
        entries = [entry for entry in self.remote_entries() if paths.parent(entry[0]) not in alike]
        return entries, [folder for folder in folders if folder not in alike]

    def intended(self, path: str) -> frozenset[str]:
        """Digests of contents that were on their way to that path and never agreed on."""
        return frozenset(self._intents.get(path, ()))

    def unanswered(self) -> list[str]:
        """Paths that both sides never agreed on, for which something was on its way."""
        return [path for path in self._intents if path not in self._entries]

    # --- writing; each call is one write, on its way to the disk when the call returns

    def agree(self, path: str, agreed: Agreed) -> None:
        self.agree_many([(path, agreed)])

    def agree_many(self, entries: Iterable[tuple[str, Agreed]]) -> None:
        """What a batch of answers brought, in one write."""
        records = []
        for path, agreed in entries:
            self._enter(path, agreed)
            self._intents.pop(path, None)
            records.append(_agreed_record(path, agreed))
        self._append(records)

    def drop(self, path: str) -> None:
        self.drop_many([path])

    def drop_many(self, paths: Iterable[str]) -> None:
        records = []
        for path in paths:
            self._enter(path, None)
            self._intents.pop(path, None)
            records.append(["drop", path])
        self._append(records)

    def intend(self, path: str, digest: str) -> None:
        self.intend_many([(path, digest)])

    def intend_many(self, intents: Iterable[tuple[str, str]]) -> None:
        """Contents, by digest, that are sent to these paths next."""
        records = []
        for path, digest in intents:
            self._intents.setdefault(path, set()).add(digest)
            records.append(["intend", path, digest])
        self._append(records)

    def _enter(self, path: str, agreed: Agreed | None) -> None:
        """The entry and the digest of all, together."""
        before = self._entries.pop(path, None)
        if agreed is not None:
            self._entries[path] = agreed
        if self._digest is not None:
            if before is not None:
                self._digest.discard(path, before.remote)
            if agreed is not None:
                self._digest.add(path, agreed.remote)

    def reset(self, marker: str, folder: str) -> None:
        """Forgets everything: the folder there is another one than before, or new.

        Args:
            marker: what is in that folder to know it by.
            folder: how the configuration calls it.
        """
        self._entries.clear()
        self._intents.clear()
        self._digest = None
        self.marker, self.folder = marker, folder
        self._renew()

    def close(self) -> None:
        """From here on writing raises ValueError, as it does with any closed file."""
        self._file.close()

    # --- the file

    def _append(self, records: list[list[Any]]) -> None:
        """One write, whatever their number: a crash leaves a part of them, and what it tore."""
        if not records:
            return
        self._put(b"".join(map(_line, records)))
        self._history += len(records)
        if self._history > COMPACT_ABOVE + len(self._entries):
            self._renew()

    def _put(self, data: bytes) -> None:
        """A full disk may take a part and refuse the rest; what is written behind a torn record
        would make the whole file unreadable, so that part is taken back."""
        written = 0
        try:
            while written < len(data):
                written += self._file.write(data[written:])
        except OSError:
            self._file.truncate(self._file.seek(0, os.SEEK_END) - written)
            raise

    def _renew(self) -> None:
        if self._file.closed:
            raise ValueError("the journal is closed")
        fresh = self._rewritten()
        self._file.close()
        self._file = fresh

    def _rewritten(self) -> BinaryIO:
        """The file written anew without history, open for appending."""
        fresh = self._path.with_name(self._path.name + ".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            out.write(_line(["base", VERSION, self.marker, self.folder]))
            for path, agreed in self._entries.items():
                out.write(_line(_agreed_record(path, agreed)))
            for path, digests in self._intents.items():
                out.writelines(_line(["intend", path, digest]) for digest in sorted(digests))
            out.flush()
            os.fsync(out.fileno())
        os.replace(fresh, self._path)
        self._history = 0
        return _appending(self._path)

    def _load(self, data: bytes) -> bool:
        """Replays the file. Returns whether it can be appended to as it is; a torn last line (a
        crash in mid-write) must be cut off first."""
        *lines, torn = data.split(b"\n")
        if not lines:
            raise _Unreadable("it has no header")
        for number, line in enumerate(lines, 1):
            try:
                record = _record(line)
            except ValueError:
                raise _Unreadable(f"line {number} is damaged") from None
            if number == 1:
                self._header(record)
            else:
                self._replay(record, number)
        self._history = max(0, len(lines) - 1 - len(self._entries))
        return not torn

    def _header(self, record: list[Any]) -> None:
        match record:
            case ["base", int(version), str(marker), str(folder)] if version == VERSION:
                self.marker, self.folder = marker, folder
            case ["base", int(version), *_]:
                raise _Unreadable(f"it has version {version}, this sidecar reads {VERSION}")
            case _:
                raise _Unreadable("it has no header")

    def _replay(self, record: list[Any], line: int) -> None:
        try:
            match record:
                case ["agree", str(path), node, local, remote]:
                    self._entries[path] = Agreed(
                        Node(*node), Identity(*local) if local else None, Identity(*remote)
                    )
                    self._intents.pop(path, None)
                case ["drop", str(path)]:
                    self._entries.pop(path, None)
                    self._intents.pop(path, None)
                case ["intend", str(path), str(digest)]:
                    self._intents.setdefault(path, set()).add(digest)
                case _:
                    raise _Unreadable(f"line {line} has an unknown record")
        except TypeError:
            raise _Unreadable(f"line {line} has a malformed record") from None


def _appending(path: Path) -> BinaryIO:
    """Unbuffered: a record is with the kernel when the call that made it returns."""
    return path.open("ab", buffering=0)


class _Unreadable(Exception):
    """Why a file is set aside."""


class _Nodes(Mapping[str, Node]):
    """The entries' nodes without a copy of 200,000 of them."""

    def __init__(self, entries: dict[str, Agreed]) -> None:
        self._entries = entries

    def __getitem__(self, path: str) -> Node:
        return self._entries[path].node

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def _agreed_record(path: str, agreed: Agreed) -> list[Any]:
    return ["agree", path, agreed.node, agreed.local, agreed.remote]


def _line(record: list[Any]) -> bytes:
    text = json.dumps(record, separators=(",", ":")).encode("ascii")
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _record(line: bytes) -> list[Any]:
    """Raises ValueError where the line is not what `_line` made."""
    checksum, _, text = line.partition(b" ")
    if int(checksum, 16) != zlib.crc32(text):
        raise ValueError("checksum")
    record = json.loads(text)
    if isinstance(record, list):
        return record
    raise ValueError("no list")
