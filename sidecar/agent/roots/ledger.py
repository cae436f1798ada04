"""The ledger: a root's managed set, kept in `<root>/.sidecar/ledger` from one agent to the next.

An agent that is started again need not be told what it managed: it reads the ledger, and where
the digest of that is the sidecar's, both hold the same set, and only the sweep's differences
cross the line. A hint and no more: what is lost, torn, damaged, of another version or another
marker, or behind the times, has another digest, and then the sidecar tells what is missing.
Nothing waits for it, and that it cannot be written (a full disk, a read-only folder) is no failure.

One file of sections, each behind its length and its BLAKE2b-64: a header, then one for each
folder, then what changed since, path by path. The file was made whole and renamed by the one agent
that appends to it. A second agent on the same root (another laptop, or one whose connection died
and that has not noticed) makes its own and renames that; the first one sees that the name is not
its file's any more, and appends no further. So no file ever has two writers.

Measured, 200,000 files in 5,000 folders: 9.8 MB, written in 0.1 s and read in 0.2, a tenth of both
for a tenth of them; a change appends 90 bytes. An agent that holds and sweeps them has 50 MB.
"""

import contextlib
import json
import os
import stat
import struct
import sys
import threading
import time
from typing import BinaryIO, Iterator, List, Optional, Set, Tuple

from sidecar.agent import memory
from sidecar.agent.failure import Failure, Refusal
from sidecar.agent.roots.folder import decode, encode
from sidecar.agent.roots.managed import Folder, Managed
from sidecar.agent.roots.root import Descriptor, Root
from sidecar.core import identity as identities
from sidecar.core import paths
from sidecar.core.blake2 import blake2b

NAME = b"ledger"
VERSION = 1

QUIET = 1.0
"""Seconds without a change after which the ledger is written; nobody is kept waiting for it."""

PATIENCE = 30.0
"""Seconds after which it is written although changes keep coming."""

TAKE_OVER = 60.0
"""Seconds between two whole files of one agent that another one's replace each time."""

APPENDED = 64 << 10
"""Bytes of changes that a file may have behind its folders, or as many as those have; then it is
made anew."""

LONGEST = 64 << 20
"""Bytes of one section: a folder of a million names."""

_HEAD = struct.Struct("<I8s")
_FOLDER = struct.Struct("<16sII")  # digest, length of the path, number of names
_HEADER, _IN_FOLDER, _CHANGE = b"H", b"F", b"C"


class Ledger:
    """Of one root and one agent. `load` at first, then `save` now and then."""

    def __init__(self, root: Root, managed: Managed) -> None:
        self._root, self._managed = root, managed
        self._file: Optional[Descriptor] = None
        self._whole = self._appended = 0
        self._made = float("-inf")
        self._saving = threading.Lock()
        self.problem = ""
        """Why it could not be written the last time; "" where it was."""

    def load(self, marker: str) -> None:
        """Begins a set with what the ledger has; an empty one where it has nothing for us."""
        self._managed.replace()
        try:
            descriptor = os.open(NAME, os.O_RDONLY | _SAFE, dir_fd=self._root.ours)
        except (OSError, Refusal):
            return
        with open(descriptor, "rb", 1 << 18) as file:
            status = os.fstat(descriptor)
            mine = status.st_uid == os.geteuid() and not status.st_mode & 0o022
            if not stat.S_ISREG(status.st_mode) or not mine:
                return
            try:
                self._read(file, status.st_size, marker)
            except (OSError, ValueError, struct.error, identities.PackError, Failure):
                pass  # what came before it is as good as any hint
        self._managed.take_unsaved()

    def save(self, *, last: bool = False) -> None:
        """Writes what changed since.

        Args:
            last: nothing comes after this; then a file that another agent replaced a moment ago
                is replaced all the same.
        """
        if self._saving.acquire(blocking=False):  # else a disk that hangs has another thread
            try:
                self._save(last)
            finally:
                self._saving.release()

    def _save(self, last: bool) -> None:
        unsaved = self._managed.take_unsaved()
        if not self._root.marker or (unsaved is not None and not unsaved):
            return
        try:
            self._root.check()
            if self._is_ours() and unsaved is not None and self._append(unsaved):
                pass
            elif last or time.monotonic() - self._made >= TAKE_OVER or self._is_ours():
                self._write_whole()
                # Much has changed, and more memory was used for it than will be again soon.
                memory.give_back()
            else:
                self._managed.put_back(unsaved)
            self.problem = ""
        except (OSError, Refusal) as error:
            self._managed.put_back(None)
            self._file, self._made = None, time.monotonic()
            self.problem = str(error)

    # --- reading

    def _read(self, file: BinaryIO, size: int, marker: str) -> None:
        header = json.loads(next(_sections(file, size, _HEADER), b"").decode("ascii"))
        if header != _header(marker):
            return
        for section in _sections(file, size, _IN_FOLDER + _CHANGE):
            kind, body = section[:1], section[1:]
            if kind == _CHANGE:
                path, _, packed = body.partition(b"\0")
                entry = decode(path), identities.from_bytes(packed)
                self._managed.adopt([entry])
            elif not self._managed.load(*_folder(body)):
                return

    # --- writing

    def _is_ours(self) -> bool:
        """Whether the file of that name is the one that we made, and nobody else's."""
        if self._file is None:
            return False
        mine = os.fstat(self._file.number)
        try:
            named = os.stat(NAME, dir_fd=self._root.ours, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return (mine.st_dev, mine.st_ino) == (named.st_dev, named.st_ino)

    def _append(self, unsaved: Set[str]) -> bool:
        """Whether there is room for these changes behind the folders, and so they are there."""
        with self._managed.lock:
            changes = [(encode(path), self._managed.packed(path)) for path in unsaved]
        data = b"".join(_section(_CHANGE, path + b"\0" + packed) for path, packed in changes)
        if self._appended + len(data) > max(APPENDED, self._whole):
            return False
        assert self._file is not None
        _write(self._file.number, data)
        self._appended += len(data)
        return True

    def _write_whole(self) -> None:
        """A file of our own, renamed when it is whole. No `fsync`: after a crash of the machine it
        may be torn, and is told again."""
        ours = self._root.ours
        temporary = b"tmp/%s.%s" % (NAME, os.urandom(8).hex().encode("ascii"))
        self._made, self._file = time.monotonic(), None
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | _SAFE
        file = Descriptor(os.open(temporary, flags, 0o600, dir_fd=ours))
        try:
            self._whole = _write(file.number, _section(_HEADER, _dumped(self._root.marker)))
            pending: List[bytes] = []
            for section in self._folder_sections():
                pending.append(section)
                if len(pending) == 64:
                    self._whole += _write(file.number, b"".join(pending))
                    del pending[:]
            self._whole += _write(file.number, b"".join(pending))
            os.rename(temporary, NAME, src_dir_fd=ours, dst_dir_fd=ours)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=ours)
            raise
        self._file, self._appended = file, 0

    def _folder_sections(self) -> Iterator[bytes]:
        """Each folder as it is when its turn comes. What changes in one after that is unsaved, and
        appended the next time; a folder that is gone then is told by its paths."""
        for path, folder in self._managed.held():
            with self._managed.lock:
                names, packed = list(folder.names), list(folder.names.values())
                total = folder.total
            if not names:
                continue
            raw = encode(path)
            head = _FOLDER.pack(total.to_bytes(16, "big"), len(raw), len(names))
            joined = b"\0".join(map(encode, names))
            yield _section(_IN_FOLDER, b"".join([head, raw, *packed, joined]))


_SAFE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def _header(marker: str) -> object:
    return {"version": VERSION, "marker": marker, "order": sys.byteorder}


def _dumped(marker: str) -> bytes:
    return json.dumps(_header(marker)).encode("ascii")


def _section(kind: bytes, body: bytes) -> bytes:
    payload = kind + body
    return _HEAD.pack(len(payload), _sum(payload)) + payload


def _sum(payload: bytes) -> bytes:
    return blake2b(payload, digest_size=8).digest()


def _sections(file: BinaryIO, size: int, kinds: bytes) -> Iterator[bytes]:
    """The sections from where the file stands, as long as they are whole and of these kinds.

    Raises:
        ValueError: one is not.
    """
    while True:
        head = file.read(_HEAD.size)
        if not head:
            return
        length, checksum = _HEAD.unpack(head)
        if length > min(size, LONGEST):
            raise ValueError("a section is too long")
        payload = file.read(length)
        if len(payload) < length or _sum(payload) != checksum or payload[:1] not in kinds:
            raise ValueError("a section is damaged")
        yield payload[1:] if kinds == _HEADER else payload


def _folder(body: bytes) -> Tuple[str, Folder]:
    """A folder's path and what is managed in it.

    Raises:
        ValueError, PathError: it is none that we wrote.
    """
    total, length, count = _FOLDER.unpack_from(body)
    at = _FOLDER.size + length
    path = decode(body[_FOLDER.size : at])
    if path:
        paths.check(path)
    end = at + count * identities.PACKED_SIZE
    names = decode(body[end:]).split("\0")
    if len(names) != count or b"/" in body[end:]:
        raise ValueError("a folder has other names than it says")
    if not {"", ".", ".."}.isdisjoint(names) or (not path and paths.OURS in names):
        raise ValueError("a name is none")
    folder = Folder()
    step = identities.PACKED_SIZE
    folder.names = dict(zip(names, [body[start : start + step] for start in range(at, end, step)]))
    folder.total = int.from_bytes(total, "big")
    return path, folder


def _write(descriptor: int, data: bytes) -> int:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    return len(data)
