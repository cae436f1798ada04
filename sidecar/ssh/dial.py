"""Dials a host: resolves what the person calls it, picks the transport, connects."""

from __future__ import annotations

from collections.abc import Callable

from sidecar.questions import Person
from sidecar.ssh.asyncssh_transport import AsyncsshTransport
from sidecar.ssh.codes import connect_error
from sidecar.ssh.master import has_live_master
from sidecar.ssh.openssh_transport import OpensshTransport
from sidecar.ssh.resolve import resolve, ssh_program
from sidecar.ssh.resolved import Resolved
from sidecar.ssh.transport import Transport

ASYNCSSH, OPENSSH = "asyncssh", "openssh"


def _silent(step: str) -> None:
    """For callers who show no progress."""


async def dial(
    destination: str,
    person: Person,
    *,
    transport: str = "",
    progress: Callable[[str], None] = _silent,
) -> Transport:
    """Connects, once. Whoever calls decides about another try, by the error's `asks_person`.

    Args:
        destination: what one would type after `ssh`.
        person: asked for passphrases, passwords, codes, and about unknown host keys.
        transport: "asyncssh", "openssh", or "" for our choice.
        progress: told each step, in words.

    Raises:
        ConnectError: with a code of codes.py.
    """
    progress(f"Resolving {destination}")
    target = await resolve(destination)
    if (transport or await _choice(target)) == OPENSSH:
        return await OpensshTransport.connect(target, progress)
    if target.only_openssh and not ssh_program():
        raise connect_error(
            f"{target.name} needs the ssh program",
            f"its configuration has {', '.join(target.only_openssh)}",
            "install OpenSSH",
            "no-ssh",
        )
    return await AsyncsshTransport.connect(target, person, progress)


async def _choice(target: Resolved) -> str:
    """The ssh program where only it can follow the configuration, or where a connection of the
    person's is up already: then nothing is asked again. Otherwise asyncssh."""
    if target.only_openssh or await has_live_master(target):
        return OPENSSH
    return ASYNCSSH
