"""A job's output as it is kept: records, each with its stream and length in front, in a few files.

An *offset* is the position of a record in all that was ever written, and the `end` of a part is
the offset of the next one; so whoever remembers one number misses nothing and gets nothing twice.
Each record is written by one call, in append mode. A record ends within a UTF-8 sequence only
where the program paused there (capture.py), and a reader joins neighbours of one stream only as
wholes.

The log is bounded, and keeps its beginning and its end::

    log                                      log.OFFSET.BYTES …   (PIECES of them, the last grows)
    ├── the first quarter of the limit ──┤ … ├──────────┼──────────┼─────┤
                                          └ dropped: the oldest of them, when the limit is reached

OFFSET is where a piece begins, BYTES how much output came before it. What an attached reader has
not had yet is never dropped: `append` takes nothing then, and the job waits (supervisor.py). A
reader that comes to a gap gets a part of stderr, which says how much is missing; the output's own
bytes are never changed.
"""

import os
import re
import struct
from typing import Iterable, List, NamedTuple, Optional

from sidecar.core import frames, utf8

STDOUT = 1
STDERR = 2

LOG_MAX = 1 << 30
"""Bytes of one job's log, 1 GiB: days of a talkative training; a home folder's quota is more."""

LEAST = 32 * frames.CHUNK
"""Less would be pieces of less than a record."""

HEAD, PIECES = 4, 12
"""Sixteenths of the limit that the beginning has, and that what follows has."""

RECORD_MAX = frames.CHUNK
"""Bytes of output in one record, so that one record always fits one message."""

_HEADER = struct.Struct(">BI")
HEADER_SIZE = _HEADER.size

_NAME = re.compile(r"log\.(\d{1,18})\.(\d{1,18})\Z")


class LogError(Exception):
    """The log cannot be read from there: no record begins at that offset, or it is damaged."""


class Part(NamedTuple):
    """Output of one stream between two offsets."""

    offset: int
    end: int
    stream: int
    data: bytes


class Piece(NamedTuple):
    """One file of a log. `before`: bytes of output that came before it."""

    start: int
    before: int
    path: str


def pieces(folder: str) -> List[Piece]:
    """The files of the log in a job's folder, in their order; the last may grow and be followed."""
    found = []
    for name in os.listdir(folder):
        match = _NAME.match(name)
        if match:
            found.append(Piece(int(match[1]), int(match[2]), os.path.join(folder, name)))
        elif name == "log":
            found.append(Piece(0, 0, os.path.join(folder, name)))
    return sorted(found)


class LogWriter:
    """Appends to the log in a job's folder, which must not have one yet. Owned by one process.

    Attributes:
        size: the offset of the next record.
        dropped: bytes of output that are not kept any more.
        needed: nothing from this offset on may be dropped; None: nobody reads.
        ending: the job is over: what lay in its pipes is taken, be it a piece beyond the limit,
            so that its end need not wait for a reader.
        waits: the last `append` took less than all for a reader's sake, not for the disk's.

    Raises (append too):
        OSError: the file system refuses; what was begun is taken back, so nothing is half there.
    """

    def __init__(self, folder: str, limit: int = LOG_MAX) -> None:
        self._folder = folder
        self._sixteenth = max(limit, LEAST) // (HEAD + PIECES)
        self.size = self.dropped = 0
        self.needed: Optional[int] = None
        self.ending = self.waits = False
        self._written = 0
        """Bytes of output so far, headers not counted."""
        self._pieces: List[Piece] = []
        """Those behind the beginning that are there."""
        self._open(Piece(0, 0, os.path.join(folder, "log")))

    def append(self, stream: int, data: bytes) -> int:
        """Takes output in, as far as the disk and the readers allow.

        Returns:
            How many bytes were taken: less than all only where the disk is full, or where a
            reader must have something first; the rest is to be brought again.
        """
        start, self.waits = 0, False
        while start < len(data):
            piece = data[start : start + RECORD_MAX]
            if start + RECORD_MAX < len(data):
                piece = piece[: utf8.whole_characters(piece)]
            if not self._record(stream, piece):
                break
            start += len(piece)
        return start

    def close(self) -> None:
        os.close(self._descriptor)

    def _open(self, piece: Piece) -> None:
        self._descriptor = os.open(
            piece.path,
            os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC,
            0o600,
        )
        self._start = piece.start

    def _record(self, stream: int, data: bytes) -> bool:
        most = self._sixteenth * (1 if self._pieces else HEAD)
        if self.size - self._start + len(data) + HEADER_SIZE > most and not self._next_piece():
            return False
        record = _HEADER.pack(stream, len(data)) + data
        try:
            written = os.write(self._descriptor, record)
        except OSError:
            os.ftruncate(self._descriptor, self.size - self._start)
            raise
        if written < len(record):
            os.ftruncate(self._descriptor, self.size - self._start)
            return False
        self.size += written
        self._written += len(data)
        return True

    def _next_piece(self) -> bool:
        """Goes on in a new file, and lets go of the oldest where there are enough; False where
        somebody has not read that one."""
        if len(self._pieces) >= PIECES:
            oldest, following = self._pieces[:2]
            if self.needed is None or self.needed >= following.start:
                try:
                    os.unlink(oldest.path)
                except FileNotFoundError:
                    pass  # somebody cleared the job's folder away
                del self._pieces[0]
                self.dropped += following.before - oldest.before
            elif not self.ending or len(self._pieces) > PIECES:
                self.waits = True
                return False
        name = "log.%d.%d" % (self.size, self._written)
        piece = Piece(self.size, self._written, os.path.join(self._folder, name))
        before = self._descriptor
        self._open(piece)
        os.close(before)
        self._pieces.append(piece)
        return True


def size(folder: str) -> int:
    """The offset of the present end of the log in a job's folder; 0 without one."""
    try:
        last = pieces(folder)[-1]
        return last.start + os.lstat(last.path).st_size
    except (OSError, IndexError):
        return 0


class LogReader:
    """Reads a log from an offset on, also while another process appends to it.

    Args:
        offset: of a record, or -1 for the present end.
        bounds: offsets of records that no part may span.
    Raises:
        LogError: there is no log, or it ends before `offset`.
    """

    def __init__(self, folder: str, offset: int, bounds: Iterable[int] = ()) -> None:
        self._folder, self._bounds = folder, frozenset(bounds)
        self._descriptor = -1
        self._counted: Optional[int] = 0 if offset == 0 else None
        """Bytes of output before `offset`, where that is known."""
        end = size(folder)
        self.offset = end if offset == -1 else offset
        if not 0 <= self.offset <= end:
            raise LogError("the log in %s ends before offset %d" % (folder, offset))
        self._find()

    def read(self) -> Optional[Part]:
        """The next part: neighbouring whole records of one stream, up to RECORD_MAX of data; or
        what says that some are not there any more.

        Returns:
            None where no whole record lies behind `offset` (yet).
        Raises:
            LogError: what lies there is no record.
        """
        part = self._here()
        if part is not None:
            return part
        following = self._following()
        if following is None:
            return None
        # It may have grown before the next file was made. Now it does not any more.
        part = self._here()
        if part is not None:
            return part
        if following.start > self.offset:
            part = self._gap(following)
        self._find()
        return part or self._here()

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _find(self) -> None:
        """Opens the file that has `offset`, or the one before a gap."""
        self.close()
        for piece in reversed(self._files()):
            if piece.start <= self.offset:
                try:
                    self._descriptor = os.open(
                        piece.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
                    )
                except FileNotFoundError:
                    continue  # dropped this moment: the one before it is before the gap
                except OSError as error:
                    raise LogError("%s: %s" % (piece.path, error.strerror)) from None
                self._start, self._path = piece.start, piece.path
                return
        raise LogError("there is no log in %s" % self._folder)

    def _following(self) -> Optional[Piece]:
        later = [piece for piece in self._files() if piece.start > self._start]
        at_or_behind = [piece for piece in later if piece.start >= self.offset]
        # Where what `offset` lies in is gone and was never opened, the next that is there.
        return at_or_behind[0] if at_or_behind else None

    def _files(self) -> List[Piece]:
        try:
            return pieces(self._folder)
        except OSError as error:
            raise LogError("%s: %s" % (self._folder, error.strerror)) from None

    def _here(self) -> Optional[Part]:
        block = self._block()
        position = size = first = 0
        joined: List[bytes] = []
        while position + HEADER_SIZE <= len(block):
            stream, length = _HEADER.unpack_from(block, position)
            if stream not in (STDOUT, STDERR) or not 0 < length <= RECORD_MAX:
                raise LogError(
                    "%s holds no record at offset %d" % (self._path, self.offset + position)
                )
            end = position + HEADER_SIZE + length
            bound = self.offset + position in self._bounds
            if end > len(block) or (joined and (bound or stream != first)):
                break
            first = stream
            joined.append(block[position + HEADER_SIZE : end])
            size += length
            position = end
        if not joined:
            return None
        return self._moved(self.offset + position, size, first, b"".join(joined))

    def _block(self) -> bytes:
        try:
            return os.pread(self._descriptor, RECORD_MAX + HEADER_SIZE, self.offset - self._start)
        except OSError:
            return b""  # ESTALE: another machine has dropped it, and the next one is found

    def _gap(self, following: Piece) -> Part:
        known = self._counted
        missing = following.start - self.offset if known is None else following.before - known
        told = gap_mark(missing, exact=known is not None)
        part = self._moved(following.start, 0, STDERR, told)
        self._counted = following.before
        return part

    def _moved(self, end: int, output: int, stream: int, data: bytes) -> Part:
        part = Part(self.offset, end, stream, data)
        self.offset = end
        if self._counted is not None:
            self._counted += output
        return part


def gap_mark(missing: int, *, exact: bool) -> bytes:
    """What stands where output was dropped. Also for terminals in raw mode."""
    about = "" if exact else "about "
    return (
        "\r\n[sidecar] %s%s bytes of output are not here: the job's log was full (log_max), and "
        "keeps its beginning and its end.\r\n" % (about, "{:,}".format(missing))
    ).encode("ascii")
