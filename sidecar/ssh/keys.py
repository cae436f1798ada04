"""The keys that we may offer to a host, in ssh's order: the agent's that the configuration
names, the agent's others, then files.

A file with a passphrase is offered by its public half; the passphrase is asked only when the
host says that this key would do.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import asyncssh

from sidecar.ssh.deadline import within
from sidecar.ssh.resolved import Resolved

AskPassphrase = Callable[[str, str], Awaitable[str | None]]
"""Given the file and the problem with the last answer; None where nobody answers."""

# An agent that hangs (a forwarded one whose far end is gone) must not hold up the other keys.
AGENT_WITHIN = 10.0

_OPENSSH_MAGIC = b"openssh-key-v1\0"


class Identity(NamedTuple):
    """A file of the configuration and what can be read of it without a secret."""

    file: Path
    public: asyncssh.SSHKey | None


class FileKey(asyncssh.SSHKeyPair):
    """A key in a file, opened when something must be signed with it."""

    _key_type = "local"

    def __init__(
        self, file: Path, public: asyncssh.SSHKey, ask: AskPassphrase, prompts: int
    ) -> None:
        super().__init__(
            public.algorithm,
            public.algorithm,
            public.sig_algorithms,
            public.sig_algorithms,
            public.public_data,
            public.get_comment_bytes(),
        )
        self._file = file
        self._ask = ask
        self._prompts = prompts

    async def sign_async(self, data: bytes) -> bytes:
        """Signs; asks for the passphrase where there is one.

        Raises:
            ValueError: it cannot be opened; asyncssh then offers the next key.
        """
        key = await self._open()
        return await asyncio.to_thread(key.sign, data, self.sig_algorithm)

    async def _open(self) -> asyncssh.SSHKey:
        content = self._file.read_bytes()
        try:
            return asyncssh.import_private_key(content)
        except asyncssh.KeyImportError as problem:
            if not _wants_passphrase(problem):
                raise
        trouble = ""
        for _ in range(self._prompts):
            passphrase = await self._ask(str(self._file), trouble)
            if passphrase is None:
                raise ValueError("no passphrase was given")
            try:
                # Deriving the key takes long on purpose.
                return await asyncio.to_thread(asyncssh.import_private_key, content, passphrase)
            except (asyncssh.KeyEncryptionError, asyncssh.KeyImportError):
                trouble = "Bad passphrase, please try again"
        raise ValueError("the passphrase was wrong")


class Keyring:
    """All keys for one hop.

    `notes` tells afterwards what was offered and what could not be used, for people.
    """

    def __init__(self, hop: Resolved, ask: AskPassphrase) -> None:
        self._hop = hop
        self._ask = ask
        self._agent: asyncssh.SSHAgentClient | None = None
        self.notes: list[str] = []

    async def offers(self) -> AsyncIterator[asyncssh.SSHKeyPair]:
        identities = [
            Identity(Path(name), await asyncio.to_thread(self._public, Path(name)))
            for name in self._hop.identity_files
            if Path(name).is_file() or Path(name + ".pub").is_file()
        ]
        named = {
            identity.public.public_data: identity for identity in identities if identity.public
        }
        held = await self._agent_keys()
        mine = [pair for pair in held if pair.key_public_data in named]
        others = [] if self._hop.identities_only else [pair for pair in held if pair not in mine]
        offered: set[bytes] = set()
        for pair in [*mine, *others]:
            offered.add(pair.key_public_data)
            self.notes.append(f"{pair.get_comment(errors='replace') or 'a key'} of the agent")
            yield pair
        certificates = await asyncio.to_thread(self._certificates)
        for identity in identities:
            if identity.public is None or not identity.file.is_file():
                continue
            if identity.public.public_data in offered:
                continue
            self.notes.append(str(identity.file))
            for certificate in (*certificates, None):
                pair = FileKey(
                    identity.file, identity.public, self._ask, self._hop.password_prompts
                )
                if certificate is not None:
                    if certificate.key.public_data != identity.public.public_data:
                        continue
                    pair.set_certificate(certificate)
                yield pair

    def close(self) -> None:
        if self._agent is not None:
            self._agent.close()

    async def _agent_keys(self) -> list[asyncssh.SSHKeyPair]:
        if not self._hop.agent:
            return []
        self._agent = asyncssh.SSHAgentClient(self._hop.agent)
        try:
            return list(await within(AGENT_WITHIN, self._agent.get_keys()))
        except (OSError, ValueError, asyncio.TimeoutError, asyncssh.Error) as problem:
            self.notes.append(f"the agent at {self._hop.agent} gave no keys ({problem})")
            return []

    def _public(self, file: Path) -> asyncssh.SSHKey | None:
        """The public half: beside the private one, or inside it."""
        try:
            return asyncssh.read_public_key(f"{file}.pub")
        except (OSError, ValueError):
            pass  # None beside it, or not a key: the private file is asked next.
        try:
            content = file.read_bytes()
        except OSError as problem:
            self.notes.append(f"{file} cannot be read ({problem.strerror})")
            return None
        inside = public_part(content)
        try:
            if inside is not None:
                return asyncssh.import_public_key(inside)
            return asyncssh.import_private_key(content).convert_to_public()
        except ValueError as problem:
            self.notes.append(f"{file} cannot be used ({problem})")
            return None

    def _certificates(self) -> list[asyncssh.SSHCertificate]:
        found = []
        beside = [f"{name}-cert.pub" for name in self._hop.identity_files]
        for name in dict.fromkeys([*self._hop.certificate_files, *beside]):
            try:
                found.append(asyncssh.read_certificate(name))
            except OSError:
                continue  # Most keys have none.
            except ValueError as problem:
                self.notes.append(f"{name} cannot be used ({problem})")
        return found


def public_part(content: bytes) -> bytes | None:
    """The public key that OpenSSH writes in clear into a private key's file, as one line; None
    for another format. Bounded reading of lengths: the file may be anything."""
    begin, end = b"-----BEGIN OPENSSH PRIVATE KEY-----", b"-----END OPENSSH PRIVATE KEY-----"
    body = content.partition(begin)[2].partition(end)[0]
    try:
        data = base64.b64decode(b"".join(body.split()), validate=True)
    except (binascii.Error, ValueError):
        return None
    if not data.startswith(_OPENSSH_MAGIC):
        return None
    rest = data[len(_OPENSSH_MAGIC) :]
    for _ in range(3):  # cipher, key derivation, its options
        rest = _field(rest)[1]
    blob = _field(rest[4:])[0]  # behind the number of keys
    kind = _field(blob)[0]
    return kind + b" " + base64.b64encode(blob) if kind else None


def _field(data: bytes) -> tuple[bytes, bytes]:
    length = int.from_bytes(data[:4], "big")
    return data[4 : 4 + length], data[4 + length :]


def _wants_passphrase(problem: asyncssh.KeyImportError) -> bool:
    return "assphrase" in str(problem)
