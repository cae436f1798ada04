from __future__ import annotations

import base64
import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.ssh.known_hosts import (
    append,
    find,
    fingerprint,
    host_name,
    line_for,
    matches,
    parse,
    read,
)
from tests.servers.keys import make_key
from tests.servers.programs import need_program

ONE, TWO = (base64.b64encode(text).decode() for text in (b"one", b"two"))


@pytest.mark.parametrize(
    ("patterns", "name", "expected"),
    [
        ("host", "host", True),
        ("HOST", "host", True),
        ("a,host,b", "host", True),
        ("*.example", "gpu.example", True),
        ("gpu?", "gpu1", True),
        ("gpu?", "gpu12", False),
        ("*,!gpu1", "gpu1", False),
        ("!gpu1,*", "gpu2", True),
        ("[host]:2222", "[host]:2222", True),
        ("[host]:2222", "host", False),
        ("[host]:2222", "h", False),
        ("[*]:2222", "[host]:2222", True),
        ("host", "host2", False),
        ("|1|bad|hash", "host", False),
        ("|2|AAAA|AAAA", "host", False),
        ("", "host", False),
    ],
)
def test_a_pattern_is_for_a_name_as_in_ssh(patterns: str, name: str, expected: bool) -> None:
    assert matches(patterns, name) is expected


@pytest.mark.parametrize(
    ("host", "port", "alias", "name"),
    [
        ("Host", 22, "", "host"),
        ("host", 2222, "", "[host]:2222"),
        ("host", 2222, "Cluster", "cluster"),
        ("::1", 22, "", "::1"),
    ],
)
def test_a_host_has_one_name(host: str, port: int, alias: str, name: str) -> None:
    assert host_name(host, port, alias) == name


def test_entries_know_their_lines_and_nonsense_is_passed_over() -> None:
    entries = parse(
        f"# comment\n\nhost ssh-x {ONE} a comment\nhost ssh-x ???\nhost\n"
        f"@cert-authority *.example ssh-x {TWO}\n@odd host ssh-x {ONE}\n",
        "file",
    )
    assert [(e.place, e.marker, e.key) for e in entries] == [
        ("file:3", "", b"one"),
        ("file:6", "cert-authority", b"two"),
    ]


def test_a_host_is_found_by_kind_of_entry() -> None:
    entries = parse(
        f"host ssh-x {ONE}\n[host]:2222 ssh-x {TWO}\n@revoked * ssh-y {ONE}\n"
        f"@cert-authority [*]:2222 ssh-z {TWO}\n",
        "file",
    )
    known = find(entries, "host", 2222)
    assert [entry.line for entry in known.keys] == [2]
    assert [entry.line for entry in known.elsewhere] == [1]
    assert [entry.line for entry in known.revoked] == [3]
    assert [entry.line for entry in known.authorities] == [4]
    assert find(entries, "host", 22).elsewhere == ()
    assert find(entries, "host", 2222, "alias").keys == ()


def test_a_line_of_ours_is_found_again_hashed_or_not() -> None:
    for hashed in (False, True):
        line = line_for("[host]:2222", "ssh-x", b"key", hashed=hashed)
        assert ("host" in line) is not hashed
        [entry] = find(parse(line, "f"), "host", 2222).keys
        assert entry.key == b"key"


def test_ssh_keygen_finds_what_we_append(tmp_path: Path) -> None:
    program = need_program("ssh-keygen")
    key = make_key(tmp_path / "key")
    kind, encoded = key.public.split()[:2]
    file = tmp_path / "new" / "known_hosts"
    data = base64.b64decode(encoded)
    append(str(file), line_for("[host]:2222", kind, data, hashed=True))
    found = subprocess.run(
        [program, "-l", "-F", "[host]:2222", "-f", str(file)], capture_output=True, text=True
    )
    assert found.returncode == 0
    assert fingerprint(data) in found.stdout
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_what_ssh_keygen_hashed_is_understood(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    key = make_key(tmp_path / "key")
    file.write_text(f"[host]:2222,other {key.public}\n")
    subprocess.run(
        [need_program("ssh-keygen"), "-H", "-f", str(file)], check=True, capture_output=True
    )
    entries = read([str(file)])
    assert len(find(entries, "host", 2222).keys) == 1
    assert len(find(entries, "other", 22).keys) == 1
    assert find(entries, "third", 22).keys == ()


def test_a_line_is_not_glued_to_one_without_an_end(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"a ssh-x {ONE}")
    append(str(file), line_for("b", "ssh-x", b"two"))
    assert [entry.patterns for entry in read([str(file)])] == ["a", "b"]


def test_files_that_are_missing_know_nobody(tmp_path: Path) -> None:
    assert read([str(tmp_path / "nothing"), str(tmp_path)]) == []


@given(st.text(), st.text())
def test_any_text_is_read_without_complaint(text: str, name: str) -> None:
    for entry in parse(text, "f"):
        matches(entry.patterns, name)
