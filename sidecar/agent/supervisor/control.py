"""The socket by which an agent reaches a job's supervisor: where it is, who may be there, and
what is said.

It lies in a folder that is ours alone, on a local file system: $XDG_RUNTIME_DIR/sidecar, else
/tmp/sidecar-UID. The folder's owner and mode are checked each time, never through a link, for
/tmp is everybody's; and each end asks the kernel who the other is, where the kernel can say.

What is said are frames (core/frames.py) with a JSON list as header. To the supervisor::

    ["input", offset, eof] + bytes      answered by ["took", offset]
    ["resize", rows, columns]
    ["signal", tag, name]               answered by ["signalled", tag, problem]
    ["watch", offset]                   answered once, by ["grew", size] when the log is longer
                                        than `offset`, or by ["ended"] when the job has ended
    ["reads", offset]                   somebody there has the output before `offset`, and wants
                                        the rest: none of it may be dropped; -1: nobody does

Unasked, it says ["stuck", why] when the log's disk takes nothing, so that the job waits, and with
"" for why when it does again.

The supervisor speaks first: ["hello", VERSION, job, taken], `taken` being how much of stdin it
has. A word that one end does not know is ignored, so that either may be the newer one.
"""

import json
import os
import socket
import stat
import struct
import sys
from typing import Any, Dict, List, NamedTuple

from sidecar.core import frames

VERSION = 1

MAX_SOCKET_PATH = 100
"""macOS allows 104 bytes with the ending NUL, Linux 108."""

SHARED = "/tmp"  # noqa: S108 - owner and mode of what is in it are checked
NAMES = 16
"""Names that are tried there."""

_PEER = struct.Struct("3i")


class ControlError(Exception):
    """The socket's folder or its other end is not what it must be; the message says how."""


class Word(NamedTuple):
    """One thing said on the socket."""

    name: str
    values: List[Any]
    body: bytes = b""


def encode(name: str, *values: Any, body: bytes = b"") -> bytes:
    header = json.dumps([name, *values], separators=(",", ":")).encode("ascii")
    return frames.encode(frames.Frame(frames.CONTROL, header, body))


def decode(frame: frames.Frame) -> Word:
    """What a frame says.

    Raises:
        ControlError: it is none of our frames.
    """
    try:
        values = json.loads(frame.header.decode("ascii"))
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, list) or not values or not isinstance(values[0], str):
        raise ControlError("a frame that says nothing: %.80r" % frame.header)
    return Word(values[0], values[1:], frame.body)


def runtime_folder(environ: Dict[str, str]) -> str:
    """The folder for sockets, made where it is missing. Records name the socket, so that any will
    do: where somebody else has made the one in /tmp, to keep us from having jobs, the next name
    is taken.

    Raises:
        ControlError: none can be made that is ours alone.
    """
    base = environ.get("XDG_RUNTIME_DIR", "")
    if base:
        try:
            check_folder(base)
        except ControlError:
            pass  # the variable outlived the folder, or came along with `su`
        else:
            return _made(os.path.join(base, "sidecar"))
    first = os.path.join(SHARED, "sidecar-%d" % os.geteuid())
    for path in [first] + ["%s-%d" % (first, number) for number in range(1, NAMES)]:
        try:
            return _made(path)
        except ControlError as error:
            problem = error
    raise ControlError("%s; have it removed" % problem)


def _made(path: str) -> str:
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise ControlError("%s cannot be made: %s" % (path, error.strerror)) from None
    check_folder(path)
    return path


def check_folder(path: str) -> None:
    """Raises ControlError unless `path` is a folder, no link, of our user and for it alone."""
    try:
        status = os.lstat(path)
    except OSError as error:
        raise ControlError("%s: %s" % (path, error.strerror)) from None
    if not stat.S_ISDIR(status.st_mode):
        raise ControlError("%s is not a folder" % path)
    if status.st_uid != os.geteuid():
        raise ControlError("%s belongs to user %d, not to us" % (path, status.st_uid))
    if status.st_mode & 0o077:
        raise ControlError("%s is open to others (mode %o)" % (path, status.st_mode & 0o7777))


def socket_path(folder: str, name: str) -> str:
    """Where the socket of that name lies.

    Raises:
        ControlError: the path is too long for a socket.
    """
    path = os.path.join(folder, name)
    if len(os.fsencode(path)) >= MAX_SOCKET_PATH:
        raise ControlError("%s is too long a path for a socket" % path)
    return path


def listen(path: str) -> socket.socket:
    """A listening socket at `path`: whoever finds it there is let in. Whatever lay there is of a
    supervisor that is gone."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        making = path + "~"
        if os.path.lexists(making):
            os.unlink(making)
        listener.bind(making)
        os.chmod(making, 0o600)
        listener.listen(16)
        os.rename(making, path)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def connect(path: str, timeout: float) -> socket.socket:
    """A connection to the supervisor that listens at `path`.

    Raises:
        ControlError: somebody else's folder or process.
        OSError: nobody listens there.
    """
    check_folder(os.path.dirname(path))
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        connection.connect(path)
        check_peer(connection)
    except (OSError, ControlError):
        connection.close()
        raise
    return connection


def check_peer(connection: socket.socket) -> None:
    """Raises ControlError where the kernel says that the other end is another user's. Where it
    cannot say, the folder's mode is the guard."""
    if not sys.platform.startswith("linux"):
        return
    packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    _, user, _ = _PEER.unpack(packed)
    if user not in (os.geteuid(), 0):
        raise ControlError("the other end of the socket is user %d" % user)
