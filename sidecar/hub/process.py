"""How a face finds the hub, and starts it where there is none.

Imports little: a command line that only asks for `status` pays for this module. Two faces that
start at once meet at a lock, so one of them starts the hub and the other finds it. The hub is a
process of its own: own OS session, no terminal, not a child of the face, so that an editor which
ends its children by tree takes nothing from the others.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

import sidecar
from sidecar import api
from sidecar.config import places
from sidecar.errors import SidecarError
from sidecar.hub.peer import other_user

START_SECONDS = 20
"""For a new hub to listen: imports on a cold disk, and an old hub's end, fit well within."""

HELLO_SECONDS = 15
MAX_VARIABLE = 16 * 1024
"""Characters of an environment variable that go into a hello."""

ATTEMPTS = 4
"""A hub may end just as we knock; each attempt then starts a new one."""


class HubError(SidecarError):
    """The hub cannot be reached or started."""

    code = "hub"


def meet(
    face: Literal["lsp", "rpc", "dap", "end"], client: str, *, pid: int = 0, start: bool = True
) -> tuple[socket.socket, api.Welcome]:
    """A connection to the hub, past the hello. Starts the hub where there is none.

    Raises:
        HubError: none could be started, none is there (`start` false), or it will not talk.
    """
    path = places.socket_path()
    hello = api.Hello(
        version=api.VERSION,
        face=face,
        client=client,
        pid=pid or os.getpid(),
        cwd=_cwd(),
        environ=_environ(),
    )
    for _ in range(ATTEMPTS):
        connection = _connect(path)
        if connection is None:
            if not start:
                raise HubError("No hub is running", "", "nothing: the next command starts one")
            connection = _start(path)
        welcome = _greet(connection, hello)
        if welcome is None:  # it ended while we knocked
            connection.close()
            continue
        if welcome.version < api.VERSION and face != "end":
            connection.close()
            _replace(path, welcome)
            continue
        if welcome.problem and face != "end":
            connection.close()
            raise HubError("The sidecar hub refuses", welcome.problem)
        return connection, welcome
    raise HubError(
        "The sidecar hub ends as soon as it is asked",
        f"tried {ATTEMPTS} times",
        f"look at {log_path()}",
    )


def log_path() -> Path:
    return places.state_dir() / "hub.log"


def stderr_path() -> Path:
    """What the interpreter itself says when a hub dies; overwritten by each new hub."""
    return places.state_dir() / "hub.stderr"


def _cwd() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:  # the folder was removed under us
        return ""


def _environ() -> dict[str, str]:
    """This face's variables. Absurdly long ones and such that are no UTF-8 are left out: JSON
    cannot carry the latter, and nothing that we take from here looks like that."""
    return {
        key: value
        for key, value in os.environ.items()
        if len(value) <= MAX_VARIABLE and _is_text(key + value)
    }


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _connect(path: Path) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(HELLO_SECONDS)
    try:
        connection.connect(os.fspath(path))
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    except OSError as error:
        connection.close()
        raise HubError(f"The socket {path} cannot be used", error.strerror or str(error)) from None
    stranger = other_user(connection)
    if stranger is not None:
        # Our whole environment is in the hello, and tokens in that.
        connection.close()
        raise HubError(
            f"User {stranger} listens on {path}",
            "only a hub of our own may hear what is said there",
            "remove that socket, or name another folder by SIDECAR_RUNTIME_DIR",
        )
    return connection


def _greet(connection: socket.socket, hello: api.Hello) -> api.Welcome | None:
    """The hub's welcome; None where it closed without one."""
    try:
        connection.sendall(msgspec.json.encode(hello) + b"\n")
        line = _line(connection)
    except (BrokenPipeError, ConnectionResetError):
        return None
    except TimeoutError:
        raise HubError(
            "The sidecar hub does not answer",
            f"nothing came within {HELLO_SECONDS} s",
            "end it with `sidecar hub stop --force`; nothing is lost",
        ) from None
    if not line:
        return None
    try:
        welcome = msgspec.json.decode(line, type=api.Welcome)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise HubError("What listens on our socket is no sidecar hub", str(error)) from None
    connection.settimeout(None)
    return welcome


def _line(connection: socket.socket) -> bytes:
    """Bytes up to a newline, and not one more: what follows belongs to the face's protocol."""
    line = b""
    while not line.endswith(b"\n"):
        ahead = connection.recv(4096, socket.MSG_PEEK)
        if not ahead or len(line) > 1 << 16:
            return b""
        line += connection.recv(ahead.find(b"\n") + 1 or len(ahead))
    return line


def _replace(path: Path, welcome: api.Welcome) -> None:
    """Asks a hub of an older version to end."""
    connection = _connect(path)
    if connection is None:
        return
    with connection:
        answer = _greet(connection, api.Hello(version=api.VERSION, face="end", client="sidecar"))
        if answer is None or not answer.problem:
            until_closed(connection)
            return
    raise HubError(
        f"A hub of an older sidecar ({welcome.sidecar}, pid {welcome.pid}) is running",
        f"this one is {sidecar.__version__}; it says: {answer.problem}",
        "close the editors that use it, or run `sidecar hub stop --force`",
    )


def until_closed(connection: socket.socket) -> None:
    connection.settimeout(HELLO_SECONDS)
    with contextlib.suppress(OSError):
        while connection.recv(4096):
            pass


def _start(path: Path) -> socket.socket:
    """Starts a hub, unless another face just did; returns a connection to it."""
    with _starting(path):
        connection = _connect(path)
        if connection is not None:
            return connection
        problem = _spawn()
        connection = _connect(path)
    if connection is None:
        last = problem or _tail(stderr_path())
        raise HubError(
            "The sidecar hub could not be started",
            last or "it ended without a word",
            f"look at {log_path()}",
        )
    return connection


@contextlib.contextmanager
def _starting(path: Path) -> Iterator[None]:
    """One face at a time starts hubs. The wait is bounded by the holder's own START_SECONDS."""
    lock = os.open(f"{path}.start", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _spawn() -> str:
    """Starts the process and waits until it listens. Returns what it says went wrong, or ""."""
    import subprocess  # once a day; a command that finds its hub needs not load it

    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    stderr = os.open(stderr_path(), flags, 0o600)
    ours, theirs = os.pipe()
    try:
        # The process forks once more and this one ends, so that the hub is nobody's child.
        subprocess.run(
            [sys.executable, "-m", "sidecar.daemon", "--ready-fd", str(theirs)],
            stdin=subprocess.DEVNULL,
            stdout=stderr,
            stderr=stderr,
            pass_fds=(theirs,),
            start_new_session=True,
            cwd="/",
            timeout=START_SECONDS,
            check=False,
        )
        os.close(theirs)
        theirs = -1
        return _await_ready(ours)
    except subprocess.TimeoutExpired:
        return f"python did not start within {START_SECONDS} s"
    except OSError as error:
        return str(error)
    finally:
        os.close(ours)
        os.close(stderr)
        if theirs >= 0:
            os.close(theirs)


def _await_ready(pipe: int) -> str:
    said = b""
    end = time.monotonic() + START_SECONDS
    while True:
        readable, _, _ = select.select([pipe], [], [], max(0.0, end - time.monotonic()))
        if not readable:
            return f"it does not listen after {START_SECONDS} s"
        data = os.read(pipe, 4096)
        said += data
        if not data or len(said) > 1 << 16:
            text = said.decode("utf-8", "replace").strip()
            return "" if text == "ready" else text


def _tail(path: Path) -> str:
    """The last line that a dead hub left behind."""
    try:
        lines = path.read_text("utf-8", "replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1][:500] if lines else ""
