"""Asks OpenSSH what it would do for a destination: the person's set-up is the truth.

`ssh -G` evaluates Host, Match, Include and the rest, so `ssh NAME` and we go the same way. Where
there is no ssh program, asyncssh's own parser reads the same files; it knows fewer options, and
then the safe defaults hold.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import shutil
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import asyncssh
from asyncssh.config import SSHClientConfig

from sidecar.errors import ConnectError
from sidecar.ssh.codes import connect_error
from sidecar.ssh.deadline import within
from sidecar.ssh.destination import Destination, parse_destination
from sidecar.ssh.last_words import escaped
from sidecar.ssh.resolved import Resolved, build, parse_options

CONFIG_VARIABLE = "SIDECAR_SSH_CONFIG"
"""Names a file that is used instead of the person's and the system's, as `ssh -F` does."""

# `Match exec` may run something slow, such as a VPN's question; longer than this is a hang.
ANSWER_WITHIN = 30.0

_SYSTEM_CONFIG = Path("/etc/ssh/ssh_config")

# What only the ssh program knows how to print; by its path, as it cannot change while we run.
_defaults: dict[str, dict[str, list[str]]] = {}


def configured_file() -> str:
    """The file to use instead of the usual ones, or nothing."""
    return os.environ.get(CONFIG_VARIABLE, "")


def ssh_program() -> str:
    """The ssh program, or nothing."""
    return shutil.which("ssh") or ""


async def resolve(destination: str | Destination, *, config_file: str | None = None) -> Resolved:
    """What ssh would do.

    Args:
        config_file: used instead of the person's configuration; None: as CONFIG_VARIABLE says.

    Raises:
        ConnectError: `bad-destination` or `bad-config`.
    """
    if isinstance(destination, str):
        destination = parse_destination(destination)
    file = configured_file() if config_file is None else config_file
    program = ssh_program()
    if program:
        # Both at once: each is some 20 ms on the way to every first connection.
        printed, _ = await asyncio.gather(
            _ask(program, file, destination), _learn_defaults(program)
        )
        options = parse_options(printed)
        defaults: Mapping[str, list[str]] = _defaults[program]
    else:
        options = await asyncio.to_thread(_parse, file, destination)
        defaults = {}
    return build(
        destination,
        options,
        defaults=defaults,
        environment=os.environ,
        home=os.path.expanduser("~"),
        local_user=getpass.getuser(),
        local_host=socket.gethostname(),
        uid=os.getuid() if sys.platform != "win32" else 0,
        config_files=[file] if file else [],
    )


async def _learn_defaults(program: str) -> None:
    if program not in _defaults:
        plain = await _ask(program, os.devnull, Destination("localhost"))
        _defaults[program] = parse_options(plain)


async def _ask(program: str, file: str, destination: Destination) -> str:
    """What `ssh -G` prints."""
    command = [program, *(["-F", file] if file else []), "-G", "--", destination.argument()]
    try:
        child = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as problem:
        raise connect_error(
            "The ssh program cannot be started",
            f"{program}: {problem.strerror}",
            "check the installation of OpenSSH",
            "no-ssh",
        ) from problem
    try:
        printed, complaint = await within(ANSWER_WITHIN, child.communicate())
    except asyncio.TimeoutError:
        raise _bad_config(
            f"`ssh -G {destination.name}` gave no answer within {ANSWER_WITHIN:.0f} s",
            "look for a `Match exec` that waits for something",
        ) from None
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode != 0:
        raise _bad_config(
            escaped(complaint).strip() or f"`ssh -G` ended with status {child.returncode}",
            "correct it in the ssh configuration",
        )
    return printed.decode(errors="surrogateescape")


def _parse(file: str, destination: Destination) -> dict[str, list[str]]:
    """The same without the ssh program; in a thread, since `Match exec` blocks."""
    personal = Path("~/.ssh/config").expanduser()
    files = (
        [Path(file)] if file else [path for path in (personal, _SYSTEM_CONFIG) if path.is_file()]
    )
    given = (getpass.getuser(), destination.user or (), destination.name, destination.port or ())

    def load(final: bool) -> SSHClientConfig:
        return cast(SSHClientConfig, SSHClientConfig.load(None, files, False, False, final, *given))

    try:
        config = load(final=False)
        if config.has_match_final():
            config = load(final=True)
        values = config.get_options(False)
    except (ValueError, OSError, asyncssh.Error) as problem:
        raise _bad_config(str(problem), "correct it in the ssh configuration") from problem
    options = {name.lower(): _texts(value) for name, value in values.items()}
    options.setdefault("userknownhostsfile", ["~/.ssh/known_hosts", "~/.ssh/known_hosts2"])
    options.setdefault(
        "identityfile",
        [f"~/.ssh/id_{kind}" for kind in ("rsa", "ecdsa", "ecdsa_sk", "ed25519", "ed25519_sk")],
    )
    return options


def _texts(value: object) -> list[str]:
    """A parsed value as `ssh -G` would print it. Percent signs were dealt with by the parser."""
    if value is None:
        return ["none"]
    if isinstance(value, bool):
        return ["yes" if value else "no"]
    if isinstance(value, (list, tuple)):
        return [text for one in value for text in _texts(one)]
    return [str(value).replace("%", "%%")]


def _bad_config(why: str, fix: str) -> ConnectError:
    return connect_error("The ssh configuration cannot be used", why, fix, "bad-config")
