"""Keys made for one test run, written the way ssh wants them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import asyncssh


class KeyFile(NamedTuple):
    """`path`: the private key, 0600; beside it `path.pub`. `public`: one line, no comment."""

    path: Path
    public: str


def make_key(path: Path, passphrase: str = "", algorithm: str = "ssh-ed25519") -> KeyFile:
    key = asyncssh.generate_private_key(algorithm)
    # Few rounds: a test has no secret to guard, and bcrypt takes its time.
    path.write_bytes(
        key.export_private_key(passphrase=passphrase or None, rounds=1, ignore_few_rounds=True)
    )
    path.chmod(0o600)
    public = key.export_public_key().decode().strip()
    path.with_name(path.name + ".pub").write_text(public + "\n")
    return KeyFile(path, public)
