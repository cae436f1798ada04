from __future__ import annotations

from pathlib import Path

import asyncssh
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.ssh.destination import Destination
from sidecar.ssh.keys import Keyring, public_part
from sidecar.ssh.resolved import Resolved
from tests.servers.keys import make_key


@pytest.mark.parametrize("algorithm", ["ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp384"])
@pytest.mark.parametrize("passphrase", ["", "secret"])
def test_the_public_half_is_read_without_a_secret(
    tmp_path: Path, algorithm: str, passphrase: str
) -> None:
    key = make_key(tmp_path / "key", passphrase, algorithm)
    assert public_part(key.path.read_bytes()) == key.public.encode()


def test_another_format_has_no_public_part_to_read() -> None:
    key = asyncssh.generate_private_key("ecdsa-sha2-nistp256")
    assert public_part(key.export_private_key("pkcs8-pem")) is None
    assert public_part(b"") is None


@given(st.binary())
def test_any_file_is_read_without_complaint(content: bytes) -> None:
    public_part(content)
    public_part(
        b"-----BEGIN OPENSSH PRIVATE KEY-----" + content + b"-----END OPENSSH PRIVATE KEY-----"
    )


async def nobody(file: str, problem: str) -> str | None:
    return None


async def offered(*files: Path, certificates: tuple[str, ...] = ()) -> tuple[list[str], list[str]]:
    hop = Resolved(
        destination=Destination("gpu1"),
        host="gpu1",
        port=22,
        user="me",
        identity_files=tuple(str(file) for file in files),
        certificate_files=certificates,
    )
    keyring = Keyring(hop, nobody)
    kinds = [pair.get_algorithm() async for pair in keyring.offers()]
    keyring.close()
    return kinds, keyring.notes


async def test_files_are_offered_in_their_order(tmp_path: Path) -> None:
    one = make_key(tmp_path / "one", algorithm="ecdsa-sha2-nistp256")
    two = make_key(tmp_path / "two", "secret")
    kinds, notes = await offered(tmp_path / "missing", one.path, two.path)
    assert kinds == ["ecdsa-sha2-nistp256", "ssh-ed25519"]
    assert notes == [str(one.path), str(two.path)]


async def test_a_certificate_comes_before_its_key(tmp_path: Path) -> None:
    authority = asyncssh.generate_private_key("ssh-ed25519")
    key = make_key(tmp_path / "key")
    certificate = authority.generate_user_certificate(
        asyncssh.read_public_key(f"{key.path}.pub"), "me", principals=["me"]
    )
    (tmp_path / "key-cert.pub").write_bytes(certificate.export_certificate())
    kinds, _ = await offered(key.path)
    assert kinds == ["ssh-ed25519-cert-v01@openssh.com", "ssh-ed25519"]


async def test_what_is_no_key_is_passed_over_and_told(tmp_path: Path) -> None:
    (tmp_path / "junk").write_text("no key")
    good = make_key(tmp_path / "good")
    kinds, notes = await offered(tmp_path / "junk", good.path)
    assert kinds == ["ssh-ed25519"]
    assert "junk" in notes[0]
    assert "cannot be used" in notes[0]
