"""Connects to one hop and signs in: through whatever leads there, by whatever it accepts."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import asyncssh
from asyncssh.encryption import get_encryption_algs
from asyncssh.kex import get_kex_algs
from asyncssh.mac import get_mac_algs
from asyncssh.public_key import (
    get_certificate_algs,
    get_default_certificate_algs,
    get_default_public_key_algs,
    get_public_key_algs,
)

from sidecar.errors import ConnectError, SidecarError
from sidecar.questions import Choice, Person
from sidecar.ssh import known_hosts
from sidecar.ssh.codes import connect_error
from sidecar.ssh.deadline import within
from sidecar.ssh.failures import FOREIGN, no_answer, translate
from sidecar.ssh.known_hosts import Known
from sidecar.ssh.proxy_command import ProxyCommand
from sidecar.ssh.resolved import Resolved
from sidecar.ssh.sign_in import SignIn, host_key_failure, untrusted
from sidecar.ssh.sockets import connect as connect_tcp

# AES-GCM first: two to three times the speed of ChaCha20-Poly1305 where the processor helps, and
# an authenticated mode that the prefix truncation of 2023 does not touch.
CIPHERS = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes256-ctr",
    "aes192-ctr",
    "aes128-ctr",
)

# While a key waits for a finger or a telephone for a look, neither side says a word. As long as
# sshd gives for it by default.
AUTHENTICATE_WITHIN = 120.0

# A key that changes between the question and the second connection is asked about again, once.
HOST_KEY_TRIES = 3

YES, ONCE, NO = "yes", "once", "no"


class Hop:
    """A connection to one machine, authenticated, and what it stands on."""

    def __init__(
        self,
        resolved: Resolved,
        connection: asyncssh.SSHClientConnection,
        sign_in: SignIn,
        command: ProxyCommand | None,
        asked: bool,
    ) -> None:
        self.resolved = resolved
        self.connection = connection
        self.asked = asked
        self._sign_in = sign_in
        self._command = command

    async def closed(self) -> tuple[str, str]:
        """Why it ended: words, and a code of Disconnected."""
        return await asyncio.shield(self._sign_in.closed)

    @property
    def is_closed(self) -> bool:
        return self._sign_in.closed.done()

    async def close(self, patience: float = 1.0) -> None:
        """Ends it; what does not end by itself in `patience` seconds is cut."""
        self.connection.close()
        try:
            await within(patience, self.connection.wait_closed())
        except asyncio.TimeoutError:
            self.connection.abort()
            await self.connection.wait_closed()
        if self._command is not None:
            await self._command.close()


async def connect_hop(
    hop: Resolved,
    person: Person,
    tunnel: asyncssh.SSHClientConnection | None,
    progress: Callable[[str], None],
) -> Hop:
    """Connects and signs in.

    Args:
        tunnel: the connection to the hop before it; None for the first one.
        progress: told what happens, in words.

    Raises:
        ConnectError: with a code of codes.py.
    """
    files = [*hop.known_hosts, *hop.global_known_hosts]
    trusted, asked = b"", False
    for _ in range(HOST_KEY_TRIES):
        entries = await asyncio.to_thread(known_hosts.read, files)
        known = known_hosts.find(entries, hop.host, hop.port, hop.host_key_alias)
        # Made by asyncssh through the factory below; ours keeps what it learned.
        sign_in = SignIn(hop, person, known, trusted, progress)
        command: ProxyCommand | None = None
        sock: socket.socket | None = None
        try:
            progress(f"Connecting to {hop.address}")
            if hop.proxy_command:
                command, sock = await ProxyCommand.start(hop.proxy_command)
            elif tunnel is None:
                sock = await connect_tcp(hop)
            connection = await _sign_in(hop, sign_in, known, sock, tunnel)
            return Hop(hop, connection, sign_in, command, asked or sign_in.asked)
        except asyncssh.HostKeyNotVerifiable as problem:
            await _discard(sock, command)
            if sign_in.presented is None:
                raise untrusted(hop, known, problem) from problem
            trusted, once = await _judge(hop, person, known, sign_in.presented, progress)
            asked = asked or once
        except asyncssh.PermissionDenied as problem:
            await _discard(sock, command)
            raise (sign_in.failure() or translate(problem, hop)) from problem
        except FOREIGN as problem:
            failure = sign_in.turned_away(problem) or await _explained(hop, problem, command)
            if isinstance(failure, ConnectError) and sign_in.asked:
                # Whatever went wrong, another try would ask again.
                failure.asks_person = True
            await _discard(sock, command)
            raise failure from problem
        except BaseException:
            await _discard(sock, command)
            raise
    raise connect_error(
        f"{hop.name} shows another host key each time",
        "the last question was about a key that is no longer shown",
        "check that its name stands for one machine, and set HostKeyAlias if it does not",
        "host-key-unknown",
    )


async def _sign_in(
    hop: Resolved,
    sign_in: SignIn,
    known: Known,
    sock: socket.socket | None,
    tunnel: asyncssh.SSHClientConnection | None,
) -> asyncssh.SSHClientConnection:
    """The handshake. The host must be heard every `connect_timeout` seconds, and while it is
    told who we are every AUTHENTICATE_WITHIN, not counting a person who is thinking."""
    options = _options(hop, known)
    task = asyncio.ensure_future(
        asyncssh.connect(
            hop.host,
            hop.port,
            sock=sock,
            tunnel=tunnel,
            config=None,
            client_factory=lambda: sign_in,
            **options,
        )
    )
    loop = asyncio.get_running_loop()
    try:
        while not task.done():
            limit = hop.connect_timeout
            if sign_in.authenticating:
                limit = max(limit, AUTHENTICATE_WITHIN)
            silent = 0.0 if sign_in.waits_for_person else loop.time() - sign_in.last_sign
            if silent >= limit:
                raise no_answer(hop, limit)
            await asyncio.wait({task}, timeout=limit - silent)
    except BaseException:
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled() and task.exception() is None:
            # It was there at the very moment at which we were called off.
            task.result().abort()
        raise
    return task.result()


def _options(hop: Resolved, known: Known) -> dict[str, object]:
    """asyncssh's options. It is given no configuration to read: everything comes from here."""
    wanted: dict[str, object] = {
        "username": hop.user,
        "known_hosts": _trusted_lists(known),
        "host_key_alias": hop.host_key_alias or None,
        "server_host_key_algs": _host_key_algorithms(hop, known),
        "client_keys": None,
        "agent_path": None,
        "password": None,
        "preferred_auth": list(hop.preferred) or (),
        "public_key_auth": hop.publickey,
        "password_auth": hop.password,
        "kbdint_auth": hop.keyboard_interactive,
        "host_based_auth": False,
        "gss_auth": hop.gssapi,
        "gss_kex": False,
        "x509_trusted_certs": None,
        "encryption_algs": _supported(
            "Ciphers", hop.ciphers or CIPHERS, get_encryption_algs(), hop
        ),
        "login_timeout": 0,
        "connect_timeout": None,
        "keepalive_interval": hop.alive_interval,
        "keepalive_count_max": hop.alive_count,
        "tcp_keepalive": hop.tcp_keepalive,
        "env": dict(hop.set_env),
        "send_env": list(hop.send_env),
        "request_pty": False,
        "encoding": None,
    }
    if hop.macs:
        wanted["mac_algs"] = _supported("MACs", hop.macs, get_mac_algs(), hop)
    if hop.key_exchanges:
        wanted["kex_algs"] = _supported("KexAlgorithms", hop.key_exchanges, get_kex_algs(), hop)
    if hop.compression:
        wanted["compression_algs"] = ["zlib@openssh.com", "none"]
    if hop.forward_agent and hop.agent:
        wanted["agent_forwarding"] = hop.agent
    return wanted


def _supported(
    option: str, named: Sequence[str], known: Sequence[bytes], hop: Resolved
) -> list[str]:
    """Those of the named algorithms that asyncssh has, in their order."""
    names = {name.decode() for name in known}
    kept = [name for name in named if name in names]
    if not kept:
        raise connect_error(
            f"None of the {option} named for {hop.name} can be used",
            ", ".join(named),
            'set `transport = "openssh"` for this host to use the ssh program',
            "no-common-algorithm",
        )
    return kept


def _host_key_algorithms(hop: Resolved, known: Known) -> list[str]:
    """Kinds of which a key is known come first, so that a host with several shows the known one.
    Certificates are asked for only where an authority is known: any other proves nothing."""
    plain = [name.decode() for name in get_default_public_key_algs()]
    certified = [name.decode() for name in get_default_certificate_algs()]
    if hop.host_key_algorithms:
        named = hop.host_key_algorithms
        plain = _supported("HostKeyAlgorithms", [*named, *plain], get_public_key_algs(), hop)
        plain = [name for name in plain if name in named] or plain
        possible = {name.decode() for name in get_certificate_algs()}
        certified = [name for name in named if name in possible]
    kinds = {entry.kind for entry in known.keys}
    if "ssh-rsa" in kinds:
        kinds |= {"rsa-sha2-256", "rsa-sha2-512"}
    first = [name for name in plain if name in kinds]
    rest = [name for name in plain if name not in kinds]
    return [*(certified if known.authorities else ()), *first, *rest]


def _trusted_lists(known: Known) -> tuple[list[asyncssh.SSHKey], ...]:
    """What asyncssh takes for known_hosts: trusted keys, authorities, revoked ones."""
    lists = []
    for entries in (known.keys, known.authorities, known.revoked):
        keys = []
        for entry in entries:
            # A kind that asyncssh does not know cannot be shown to it either.
            with contextlib.suppress(asyncssh.KeyImportError):
                keys.append(asyncssh.import_public_key(entry.text()))
        lists.append(keys)
    return tuple(lists)


async def _judge(
    hop: Resolved,
    person: Person,
    known: Known,
    presented: asyncssh.SSHKey,
    progress: Callable[[str], None],
) -> tuple[bytes, bool]:
    """Whether an unknown key is right.

    Returns:
        The key, to be trusted for this connection, and whether the person will be asked again
        next time.

    Raises:
        ConnectError: it is not, or nobody said so.
    """
    failure = host_key_failure(hop, known, presented)
    if failure is not None:
        raise failure
    kind, data = presented.get_algorithm(), presented.public_data
    shown = f"{kind} {known_hosts.fingerprint(data)}"
    name = known_hosts.host_name(hop.host, hop.port, hop.host_key_alias)
    file = hop.known_hosts[0] if hop.known_hosts else ""
    line = known_hosts.line_for(name, kind, data, hashed=hop.hash_known_hosts)
    if hop.strict in ("accept-new", "no") and not known.keys:
        await _remember(file, line)
        progress(f"Took the host key of {hop.name} for right: {shown}")
        return data, False
    answer = None
    if not hop.batch:
        others = ", ".join(f"{entry.kind} ({entry.place})" for entry in known.keys[:3])
        warning = f" Known of it is only a key of another kind: {others}." if others else ""
        answer = await person.choose(
            Choice(
                f"The host key of {hop.name} ({hop.address}) is not known. It shows {shown}."
                f"{warning} Compare it with what the people who run that machine say. Trust it?",
                (YES, ONCE, NO),
                f"run `ssh {hop.name}` once in a terminal and compare the key there",
            )
        )
    if answer == YES:
        return data, not await _remember(file, line)
    if answer == ONCE:
        return data, True
    said_no = answer is not None
    raise connect_error(
        f"The host key of {hop.name} is not known",
        f"it shows {shown}" + (", and you did not trust it" if said_no else ""),
        f"compare the key with what the people who run that machine say, and connect again or "
        f"run `ssh {hop.name}` once",
        "cancelled" if said_no else "host-key-unknown",
    )


async def _remember(file: str, line: str) -> bool:
    """Writes a line into the person's known_hosts; whether it will be found there next time."""
    if not file:
        return False
    try:
        await asyncio.to_thread(known_hosts.append, file, line)
    except OSError:
        # A read-only home keeps nobody out: it is as if they had said "once".
        return False
    return Path(file).is_file()


async def _explained(
    hop: Resolved, problem: BaseException, command: ProxyCommand | None
) -> SidecarError:
    """The failure in our words; where a ProxyCommand was the line, in its own words too."""
    failure = translate(problem, hop)
    if command is None or failure.code not in ("dropped", "not-ssh", "unreachable"):
        return failure
    words = await command.last_words()
    return connect_error(
        f"The ProxyCommand of {hop.name} gives no connection",
        words or failure.why,
        f"run it by hand: {hop.proxy_command}",
        "proxy-failed",
    )


async def _discard(sock: socket.socket | None, command: ProxyCommand | None) -> None:
    if sock is not None:
        sock.close()
    if command is not None:
        await command.close()
