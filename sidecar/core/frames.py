"""Frames: how messages are cut out of a byte stream, on both ends of the agent's wire.

A frame is::

    u32 length    of everything behind it, big-endian, at most MAX_FRAME
    u8  lane      0..3, see below
    u32 header    length of the header that follows
    header        JSON, UTF-8 (messages.py)
    body          raw bytes, may be empty

Lanes are priorities, not channels: whatever waits to be sent goes out lowest lane first, and
frames of one lane keep their order. BULK and STREAMS are acknowledged by the receiver after it
*processed* them (messages.Ack), since neither SSH nor TCP tells the sender when to hold back
before megabytes are queued in front of the next keystroke.
"""

import struct
from typing import List, NamedTuple

VERSION = 1
"""Version of frames and messages together; named in the hello, before the first frame."""

CONTROL = 0
"""Requests, answers, acknowledgements, keystrokes."""
SAVES = 1
"""Small changes of files, and the runs that must stay behind them."""
STREAMS = 2
"""Output of jobs, forwards, debug traffic."""
BULK = 3
"""Parts of large files; the only lane that may wait for seconds."""
LANES = (CONTROL, SAVES, STREAMS, BULK)

MAX_FRAME = 1 << 20
"""One frame's length limit. Lists and files are cut well below it; what is longer is garbage."""

CHUNK = 32 * 1024
"""Body size of BULK and STREAMS frames: 5 ms of a 50 Mbit/s line, what a save may wait for."""

_PREFIX = struct.Struct(">IBI")
PREFIX_SIZE = _PREFIX.size


class FrameError(Exception):
    """The bytes are no frame of ours. The stream cannot be trusted any further."""


class Frame(NamedTuple):
    lane: int
    header: bytes
    body: bytes

    @property
    def size(self) -> int:
        """Bytes that this frame takes on the wire."""
        return PREFIX_SIZE + len(self.header) + len(self.body)


def encode(frame: Frame) -> bytes:
    """The frame as wire bytes.

    Raises:
        FrameError: longer than MAX_FRAME, which would be an error of ours.
    """
    length = PREFIX_SIZE - 4 + len(frame.header) + len(frame.body)
    if length > MAX_FRAME:
        raise FrameError("a frame of %d bytes is over the limit of %d" % (length, MAX_FRAME))
    return _PREFIX.pack(length, frame.lane, len(frame.header)) + frame.header + frame.body


class FrameDecoder:
    """Fed with chunks of any size, returns the frames that became whole.

    After an error every further call raises the same error: there is no way to find the next
    frame's start in a stream that was once misread.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._error = ""

    @property
    def pending(self) -> int:
        """Bytes held back because their frame is not whole yet."""
        return len(self._buffer)

    def feed(self, chunk: bytes) -> List[Frame]:
        """Takes the next bytes of the stream.

        Returns:
            Whole frames in their order, possibly none.
        Raises:
            FrameError: the stream holds something that is no frame; close it.
        """
        if self._error:
            raise FrameError(self._error)
        buffer = self._buffer
        buffer += chunk
        frames = []
        start = 0
        while len(buffer) - start >= PREFIX_SIZE:
            length, lane, header_length = _PREFIX.unpack_from(buffer, start)
            self._check(length, lane, header_length)
            end = start + 4 + length
            if len(buffer) < end:
                break
            split = start + PREFIX_SIZE + header_length
            frames.append(
                Frame(lane, bytes(buffer[start + PREFIX_SIZE : split]), bytes(buffer[split:end]))
            )
            start = end
        if start:
            del buffer[:start]
        return frames

    def _check(self, length: int, lane: int, header_length: int) -> None:
        if length > MAX_FRAME:
            self._error = "a frame claims %d bytes, the limit is %d" % (length, MAX_FRAME)
        elif length < PREFIX_SIZE - 4 + header_length:
            self._error = "a frame's header (%d bytes) is longer than the frame" % header_length
        elif lane not in LANES:
            self._error = "a frame names lane %d, there are %d" % (lane, len(LANES))
        if self._error:
            raise FrameError(self._error)
