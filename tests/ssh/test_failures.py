"""The border: every foreign exception comes out as one of ours."""

from __future__ import annotations

import asyncio
import errno
import inspect
import socket
from collections.abc import Iterator

import asyncssh
import pytest

from sidecar.errors import ConnectError, SidecarError
from sidecar.ssh import codes
from sidecar.ssh.destination import Destination
from sidecar.ssh.failures import FOREIGN, loss_in_words, translate
from sidecar.ssh.resolved import Resolved

HOP = Resolved(destination=Destination("gpu1"), host="gpu1.example", port=2222, user="me")


def foreign() -> Iterator[BaseException]:
    """One of every kind that asyncssh and the system have."""
    for _, kind in inspect.getmembers(asyncssh, inspect.isclass):
        if (
            issubclass(kind, asyncssh.DisconnectError) and kind is not asyncssh.DisconnectError
        ) or issubclass(kind, ValueError):
            yield kind("the words")
    yield asyncssh.DisconnectError(2, "the words")
    yield asyncssh.Error(1, "the words")
    for code in (1, 2, 3, 4):
        yield asyncssh.ChannelOpenError(code, "the words")
    yield asyncssh.ChannelOpenError(2, "Connection refused")
    yield asyncssh.ChannelOpenError(2, "Name or service not known")
    yield asyncssh.ProcessError(None, None, None, 1, None, 1, "", "")
    for number in (
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.EPIPE,
        errno.ETIMEDOUT,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.EADDRNOTAVAIL,
        errno.EMFILE,
        errno.EACCES,
    ):
        yield OSError(number, "the words")
    yield socket.gaierror(socket.EAI_NONAME, "the words")
    yield asyncio.TimeoutError()
    yield asyncio.IncompleteReadError(b"", 1)
    yield EOFError()
    yield ValueError("the words")
    yield UnicodeError("the words")


def documented() -> set[str]:
    lines = (codes.__doc__ or "").splitlines()
    listed = (line.split("    ")[1].split("  ")[0] for line in lines if line.startswith("    "))
    return {code.strip() for word in listed for code in word.split(",")}


@pytest.mark.parametrize("problem", list(foreign()), ids=lambda p: f"{type(p).__name__}")
def test_every_foreign_exception_is_translated(problem: BaseException) -> None:
    assert isinstance(problem, FOREIGN)
    failure = translate(problem, HOP)
    assert isinstance(failure, ConnectError)
    assert failure.code in documented()
    assert failure.what
    assert failure.why
    assert failure.fix
    assert "gpu1" in str(failure)
    words, code = loss_in_words(problem)
    assert words
    assert code in ("lost", "silent", "closed")


@pytest.mark.parametrize(
    ("problem", "code", "asks"),
    [
        (socket.gaierror(-2, "Name or service not known"), "no-such-host", False),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), "refused", False),
        (OSError(errno.EHOSTUNREACH, "No route"), "unreachable", False),
        (TimeoutError(errno.ETIMEDOUT, "timed out"), "unreachable", False),
        (asyncio.TimeoutError(), "unreachable", False),
        (asyncssh.PermissionDenied("no"), "auth-failed", True),
        (asyncssh.HostKeyNotVerifiable("no"), "host-key-unknown", True),
        (asyncssh.KeyExchangeFailed("no"), "no-common-algorithm", True),
        (asyncssh.ProtocolNotSupported("no"), "not-ssh", False),
        (asyncssh.ConnectionLost("lost"), "dropped", False),
        (ConnectionResetError(errno.ECONNRESET, "reset"), "dropped", False),
        (asyncssh.ChannelOpenError(1, "prohibited"), "jump-refused", False),
        (asyncssh.ChannelOpenError(2, "Connection refused"), "refused", False),
        (asyncssh.ChannelOpenError(2, "Name or service not known"), "no-such-host", False),
        (asyncssh.ChannelOpenError(2, "Connection timed out"), "unreachable", False),
        (asyncssh.KeyImportError("bad"), "bad-key", True),
    ],
)
def test_codes_are_stable(problem: BaseException, code: str, asks: bool) -> None:
    failure = translate(problem, HOP)
    assert isinstance(failure, ConnectError)
    assert (failure.code, failure.asks_person) == (code, asks)


def test_ours_pass_unchanged() -> None:
    ours = ConnectError("x")
    assert translate(ours, HOP) is ours
    assert isinstance(ours, SidecarError)


def test_our_own_mistakes_are_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        translate(ZeroDivisionError(), HOP)


def test_what_a_server_says_cannot_move_the_cursor() -> None:
    failure = translate(asyncssh.DisconnectError(2, "bye \x1b[2J\r\n"), HOP)
    assert "\x1b" not in str(failure)
    assert "\\x1b[2J" in failure.why
