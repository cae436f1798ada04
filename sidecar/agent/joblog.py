"""A job's output as it is kept: one file of records, each with its stream and length in front.

An *offset* is the position of a record in the file, and the `end` of a part is the offset of the
next one; so whoever remembers one number misses nothing and gets nothing twice. Each record is
written by one call, in append mode. A record ends within a UTF-8 sequence only where the program
paused there (supervisor.py), and a reader joins neighbours of one stream only as wholes.

The log is bounded. When it is full, one line that says so goes in as its last record and what
comes behind is counted, not kept: the job itself is neither stopped nor slowed. Readers know
offsets as numbers with an order and nothing more, so that a log which drops its middle instead
can take this one's place.
"""

import os
import struct
from typing import Iterable, List, NamedTuple, Optional

from sidecar.core import frames, utf8

STDOUT = 1
STDERR = 2

LOG_MAX = 1 << 30
"""Bytes of one job's log, 1 GiB: days of a talkative training; a home folder's quota is more."""

RECORD_MAX = frames.CHUNK
"""Bytes of output in one record, so that one record always fits one message."""

_HEADER = struct.Struct(">BI")
HEADER_SIZE = _HEADER.size


class LogError(Exception):
    """The log cannot be read from there: no record begins at that offset, or it is damaged."""


class Part(NamedTuple):
    """Output of one stream between two offsets."""

    offset: int
    end: int
    stream: int
    data: bytes


class LogWriter:
    """Appends to the log in a job's folder, which must not have one yet. Owned by one process.

    Raises (append too):
        OSError: the file system refuses; what was begun is taken back, so nothing is half there.
    """

    def __init__(self, folder: str, limit: int = LOG_MAX) -> None:
        self._descriptor = os.open(
            os.path.join(folder, "log"),
            os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC,
            0o600,
        )
        self._limit = limit
        self._full = False
        self.size = 0
        self.dropped = 0

    def append(self, stream: int, data: bytes) -> int:
        """Takes output in, as far as the disk allows.

        Returns:
            How many bytes were taken: less than all only where the disk is full; the rest is to
            be brought again.
        """
        start = 0
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

    def _record(self, stream: int, data: bytes) -> bool:
        if self._full:
            self.dropped += len(data)
            return True
        if self.size + len(data) + HEADER_SIZE > self._limit:
            mark = b"\r\n[sidecar] The log of this job is full (%d bytes). " % self._limit
            mark += b"The job goes on; its output from here on is not kept.\r\n"
            if not self._write(stream, mark):
                return False
            self._full = True
            self.dropped += len(data)
            return True
        return self._write(stream, data)

    def _write(self, stream: int, data: bytes) -> bool:
        record = _HEADER.pack(stream, len(data)) + data
        try:
            written = os.write(self._descriptor, record)
        except OSError:
            os.ftruncate(self._descriptor, self.size)
            raise
        if written < len(record):
            os.ftruncate(self._descriptor, self.size)
            return False
        self.size += written
        return True


def size(folder: str) -> int:
    """The offset of the present end of the log in a job's folder; 0 without one."""
    try:
        return os.lstat(os.path.join(folder, "log")).st_size
    except OSError:
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
        self._bounds = frozenset(bounds)
        self._path = os.path.join(folder, "log")
        try:
            self._descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise LogError("%s: %s" % (self._path, error.strerror)) from None
        size = os.fstat(self._descriptor).st_size
        self.offset = size if offset == -1 else offset
        if not 0 <= self.offset <= size:
            os.close(self._descriptor)
            raise LogError("%s ends before offset %d" % (self._path, offset))

    def read(self) -> Optional[Part]:
        """The next part: neighbouring whole records of one stream, up to RECORD_MAX of data.

        Returns:
            None where no whole record lies behind `offset` (yet).
        Raises:
            LogError: what lies there is no record.
        """
        block = os.pread(self._descriptor, RECORD_MAX + HEADER_SIZE, self.offset)
        position = 0
        joined: List[bytes] = []
        size = first = 0
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
        part = Part(self.offset, self.offset + position, first, b"".join(joined))
        self.offset = part.end
        return part

    def close(self) -> None:
        os.close(self._descriptor)
