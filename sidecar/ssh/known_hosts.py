"""Host keys that the person knows: OpenSSH's known_hosts files, with the lines they stand on.

asyncssh can read these files too, but it does not say where a key came from, and a changed key
is a message that must name file and line.
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import hashlib
import hmac
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

SSH_PORT = 22

# No real file comes near; a wrong path (a disk image, /dev/zero) must not be read whole.
FILE_LIMIT = 16 << 20


class Entry(NamedTuple):
    """One line: `marker` is "", "cert-authority" or "revoked"; `key` is the wire form."""

    file: str
    line: int
    marker: str
    patterns: str
    kind: str
    key: bytes

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}"

    def text(self) -> str:
        """The key alone, as one line."""
        return f"{self.kind} {base64.b64encode(self.key).decode()}"


class Known(NamedTuple):
    """What the files say about one host."""

    keys: tuple[Entry, ...]
    authorities: tuple[Entry, ...]
    revoked: tuple[Entry, ...]
    elsewhere: tuple[Entry, ...]
    """Keys of the same host on the standard port: good if equal, no evidence of a change if not."""

    def same_kind(self, kind: str) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.keys if entry.kind == kind)


def host_name(host: str, port: int, alias: str = "") -> str:
    """The name under which keys of a host are kept: with HostKeyAlias the alias as it is."""
    if alias:
        return alias.lower()
    return host.lower() if port == SSH_PORT else f"[{host.lower()}]:{port}"


def fingerprint(key: bytes) -> str:
    """As `ssh` and `ssh-keygen -l` print it."""
    digest = base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")
    return f"SHA256:{digest}"


def parse(text: str, file: str) -> list[Entry]:
    """The entries of a file. Lines that make no sense are passed over, as ssh does."""
    entries = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        marker = ""
        if words and words[0].startswith("@"):
            marker = words.pop(0)[1:]
        if (
            len(words) < 3
            or words[0].startswith("#")
            or marker
            not in (
                "",
                "cert-authority",
                "revoked",
            )
        ):
            continue
        try:
            key = base64.b64decode(words[2], validate=True)
        except (binascii.Error, ValueError):
            continue
        entries.append(Entry(file, number, marker, words[0], words[1], key))
    return entries


def read(files: Iterable[str]) -> list[Entry]:
    """The entries of all files that are there, in order."""
    entries = []
    for file in files:
        try:
            with open(file, "rb") as stream:
                data = stream.read(FILE_LIMIT)
        except OSError:
            # A file that is missing, or not ours to read, knows nobody: then the person is asked.
            continue
        entries += parse(data.decode("utf-8", "replace"), file)
    return entries


def find(entries: Sequence[Entry], host: str, port: int, alias: str = "") -> Known:
    """What is known of a host."""
    name = host_name(host, port, alias)
    mine = [entry for entry in entries if matches(entry.patterns, name)]
    elsewhere: list[Entry] = []
    if name != host.lower() and not alias:
        bare = host.lower()
        elsewhere = [e for e in entries if not e.marker and matches(e.patterns, bare)]
    return Known(
        tuple(entry for entry in mine if not entry.marker),
        tuple(entry for entry in mine if entry.marker == "cert-authority"),
        # Revoked anywhere in the files that speak of this host.
        tuple(entry for entry in mine if entry.marker == "revoked"),
        tuple(elsewhere),
    )


def matches(patterns: str, name: str) -> bool:
    """Whether the first word of a line is for `name`: hashed, or patterns of which a negated one
    wins."""
    if patterns.startswith("|"):
        return _hash_matches(patterns, name)
    found = False
    for pattern in patterns.lower().split(","):
        negated = pattern.startswith("!")
        if _pattern(pattern[negated:]).match(name):
            if negated:
                return False
            found = True
    return found


def _pattern(pattern: str) -> re.Pattern[str]:
    # Only * and ? are special here; a bracket is part of a name with a port.
    return re.compile(fnmatch.translate(pattern.replace("[", "[[]")))


def _hash_matches(word: str, name: str) -> bool:
    parts = word.split("|")
    if len(parts) != 4 or parts[1] != "1":
        return False
    try:
        salt, digest = (base64.b64decode(part, validate=True) for part in parts[2:])
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(hmac.new(salt, name.encode(), hashlib.sha1).digest(), digest)


def line_for(name: str, kind: str, key: bytes, *, hashed: bool = False) -> str:
    """A line that knows `key` for `name`, hashed as HashKnownHosts wants it."""
    if hashed:
        salt = os.urandom(20)
        digest = hmac.new(salt, name.encode(), hashlib.sha1).digest()
        name = "|1|" + "|".join(base64.b64encode(part).decode() for part in (salt, digest))
    return f"{name} {kind} {base64.b64encode(key).decode()}\n"


def append(file: str, line: str) -> None:
    """Adds a line, in one write, so that another ssh may do the same at the same time.

    Raises:
        OSError: the file cannot be written.
    """
    path = Path(file)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        if size:
            os.lseek(descriptor, size - 1, os.SEEK_SET)
            if os.read(descriptor, 1) not in (b"\n", b""):
                line = "\n" + line
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)
