"""The border where foreign failures of connecting become ours, with the codes of codes.py."""

from __future__ import annotations

import asyncio
import socket

import asyncssh

from sidecar.errors import ConnectError, Disconnected, SidecarError
from sidecar.ssh.codes import connect_error
from sidecar.ssh.last_words import escaped
from sidecar.ssh.resolved import Resolved

FOREIGN = (asyncssh.Error, OSError, ValueError, EOFError, asyncio.TimeoutError)
"""Everything that asyncssh and sockets raise for reasons that are not our mistakes."""


def translate(problem: BaseException, hop: Resolved) -> SidecarError:
    """A failure of getting to `hop`, in our words. Ours pass unchanged.

    Args:
        problem: one of FOREIGN; anything else is a mistake of ours and raised again.
    """
    if isinstance(problem, SidecarError):
        return problem
    if not isinstance(problem, FOREIGN):
        raise problem
    name, words = hop.name, _words(problem)
    check = f"see what `ssh {name}` says"
    if isinstance(problem, socket.gaierror):
        return no_such_host(hop, words)
    if isinstance(problem, asyncio.TimeoutError) and not getattr(problem, "errno", None):
        return no_answer(hop, hop.connect_timeout)
    if isinstance(problem, ConnectionRefusedError):
        return refused(hop)
    if isinstance(problem, asyncssh.PermissionDenied):
        return connect_error(f"{name} does not let {hop.user} in", words, check, "auth-failed")
    if isinstance(problem, asyncssh.HostKeyNotVerifiable):
        return connect_error(
            f"The host key of {name} cannot be verified", words, check, "host-key-unknown"
        )
    if isinstance(problem, asyncssh.KeyExchangeFailed):
        return connect_error(
            f"{name} and sidecar have no algorithm in common",
            words,
            'set `transport = "openssh"` for this host to use the ssh program',
            "no-common-algorithm",
        )
    if isinstance(
        problem,
        (
            asyncssh.ProtocolNotSupported,
            asyncssh.ProtocolError,
            asyncssh.MACError,
            asyncssh.CompressionError,
        ),
    ):
        return connect_error(
            f"What listens at {hop.address} does not speak SSH as expected",
            words,
            f"check HostName and Port of {name} in the ssh configuration",
            "not-ssh",
        )
    if isinstance(problem, asyncssh.IllegalUserName):
        return connect_error(
            f"{hop.user!r} cannot be a user name on {name}",
            words,
            "correct User in the ssh configuration",
            "bad-config",
        )
    if isinstance(problem, asyncssh.ChannelOpenError):
        if problem.code == asyncssh.OPEN_CONNECT_FAILED:
            return seen_from_jump(hop, words)
        return connect_error(
            f"The jump host does not pass us on to {hop.address}",
            words,
            f"check that {hop.address} is its name and port as the jump host sees them, and that "
            "the jump host allows TCP forwarding",
            "jump-refused",
        )
    if isinstance(problem, (asyncssh.KeyImportError, asyncssh.KeyEncryptionError)):
        return connect_error(
            f"A key for {name} cannot be used", words, "check IdentityFile", "bad-key"
        )
    if isinstance(problem, (asyncssh.Error, ConnectionError, EOFError)):
        return connect_error(
            f"{name} closed the connection before we were signed in",
            words,
            f"try again later; if it stays so, {check}",
            "dropped",
        )
    if isinstance(problem, OSError):
        return connect_error(
            f"{name} cannot be reached at {hop.address}",
            words,
            "check the network and the VPN",
            "unreachable",
        )
    # What is left is a ValueError: asyncssh's word for an option that it cannot take.
    return connect_error(
        f"The ssh configuration of {name} cannot be used", words, check, "bad-config"
    )


def no_such_host(hop: Resolved, why: str) -> ConnectError:
    named = "" if hop.host == hop.name else f" (HostName {hop.host})"
    return connect_error(
        f"The name {hop.name}{named} cannot be found",
        why,
        "check its spelling, the Hosts of the ssh configuration, the network and the VPN",
        "no-such-host",
    )


def refused(hop: Resolved) -> ConnectError:
    return connect_error(
        f"{hop.name} refuses connections",
        f"nothing listens at {hop.address}",
        "check Port in the ssh configuration, and that an SSH server runs there",
        "refused",
    )


def no_answer(hop: Resolved, seconds: float) -> ConnectError:
    return connect_error(
        f"{hop.name} does not answer",
        f"nothing came from {hop.address} within {seconds:.0f} s",
        "check the network and the VPN; ConnectTimeout in the ssh configuration gives it longer",
        "unreachable",
    )


def seen_from_jump(hop: Resolved, words: str) -> ConnectError:
    """The jump host tried, and says in its own words why it got nowhere."""
    lowered = words.lower()
    if "refused" in lowered:
        code, what = "refused", f"{hop.name} refuses connections from the jump host"
    elif any(sign in lowered for sign in ("resol", "not known", "no address")):
        code, what = "no-such-host", f"The jump host does not know the name {hop.host}"
    else:
        code, what = "unreachable", f"The jump host cannot reach {hop.name} at {hop.address}"
    return connect_error(
        what,
        words,
        f"check that {hop.address} is its name and port as the jump host sees them",
        code,
    )


def disconnected(name: str, reason: str, code: str = "lost") -> Disconnected:
    """For a connection that was up."""
    return Disconnected(f"The connection to {name} is gone", reason, code=code)


def loss_in_words(problem: BaseException | None) -> tuple[str, str]:
    """Why a connection that was up ended: words, and a code of Disconnected."""
    if problem is None:
        return "it was closed", "closed"
    if isinstance(problem, asyncssh.ConnectionLost) and "keepalive" in str(problem):
        return "the other side does not answer any more", "silent"
    if isinstance(problem, asyncssh.ConnectionLost):
        return "the line was cut", "lost"
    return _words(problem), "lost"


def _words(problem: BaseException) -> str:
    """What the other side or the system said, safe to show, without a full stop."""
    if isinstance(problem, OSError) and problem.strerror:
        text = problem.strerror
    else:
        text = str(problem) or type(problem).__name__
    return escaped(text.encode("utf-8", "surrogateescape")).strip().rstrip(".")
