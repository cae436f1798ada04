from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.errors import ConnectError
from sidecar.ssh.tokens import expand, tokens_for

TOKENS = tokens_for(
    original="gpu1",
    host="gpu1.example",
    port=2222,
    user="me",
    host_key_alias="",
    local_user="meself",
    local_host="laptop.home",
    home="/home/meself",
    uid=1000,
)
ENVIRONMENT = {"KEYS": "/keys", "TRICK": "%h", "OTHER": "${KEYS}"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("~/.ssh/id_%h_%r", "/home/meself/.ssh/id_gpu1.example_me"),
        ("~", "/home/meself"),
        ("~other/x", "~other/x"),
        ("%d/%i/%u", "/home/meself/1000/meself"),
        ("%L %l %n %p %k", "laptop laptop.home gpu1 2222 gpu1"),
        ("100%%", "100%"),
        ("${KEYS}/id", "/keys/id"),
        ("a/~/b", "a/~/b"),
        ("${TRICK}", "%h"),
        ("${OTHER}", "${KEYS}"),
        ("", ""),
    ],
)
def test_a_value_is_expanded_once(value: str, expected: str) -> None:
    assert expand("IdentityFile", value, TOKENS, ENVIRONMENT) == expected


@pytest.mark.parametrize("value", ["%z", "50%", "${NOT_SET}"])
def test_what_cannot_be_expanded_is_told_with_its_option(value: str) -> None:
    with pytest.raises(ConnectError, match="IdentityFile") as caught:
        expand("IdentityFile", value, TOKENS, ENVIRONMENT)
    assert caught.value.code == "bad-config"


def test_a_command_keeps_its_variables_for_the_shell() -> None:
    assert expand("ProxyCommand", "nc ${X} ~/%h", TOKENS, tilde=False) == "nc ${X} ~/gpu1.example"


@given(st.text())
def test_any_value_is_expanded_or_refused(value: str) -> None:
    with contextlib.suppress(ConnectError):
        expand("X", value, TOKENS, ENVIRONMENT)
