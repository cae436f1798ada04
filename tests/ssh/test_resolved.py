from __future__ import annotations

import math
from typing import Any

import pytest

from sidecar.errors import ConnectError
from sidecar.ssh.destination import Destination
from sidecar.ssh.resolved import ALIVE_INTERVAL, CONNECT_TIMEOUT, Resolved, build, parse_options

DEFAULTS = parse_options(
    """\
ciphers chacha20-poly1305@openssh.com,aes128-ctr
macs hmac-sha2-256
serveraliveinterval 0
connecttimeout none
"""
)


def resolved(printed: str, **given: Any) -> Resolved:
    arguments: dict[str, Any] = {
        "defaults": DEFAULTS,
        "environment": {"SSH_AUTH_SOCK": "/agent", "OTHER_AGENT": "/other"},
        "home": "/home/me",
        "local_user": "me",
        "local_host": "laptop",
        "uid": 1000,
        **given,
    }
    return build(Destination("gpu1"), parse_options(printed), **arguments)


def test_an_empty_configuration_gives_the_defaults() -> None:
    plain = resolved("")
    assert (plain.host, plain.port, plain.user) == ("gpu1", 22, "me")
    assert plain.strict == "ask"
    assert plain.agent == "/agent"
    assert plain.alive_interval == ALIVE_INTERVAL
    assert plain.connect_timeout == CONNECT_TIMEOUT
    assert plain.only_openssh == ()
    assert plain.address == "gpu1"


@pytest.mark.parametrize(
    ("printed", "field", "expected"),
    [
        ("hostname h", "host", "h"),
        ("port 2222", "port", 2222),
        ("user you", "user", "you"),
        ("identityfile ~/a\nidentityfile /b c/%r", "identity_files", ("/home/me/a", "/b c/me")),
        ("identityfile none", "identity_files", ()),
        ("identityagent none", "agent", ""),
        ("identityagent SSH_AUTH_SOCK", "agent", "/agent"),
        ("identityagent $OTHER_AGENT", "agent", "/other"),
        ("identityagent ${OTHER_AGENT}", "agent", "/other"),
        ("identityagent ~/s", "agent", "/home/me/s"),
        ("userknownhostsfile /a /b c /d", "known_hosts", ("/a", "/b c", "/d")),
        ("userknownhostsfile none", "known_hosts", ()),
        ("stricthostkeychecking true", "strict", "yes"),
        ("stricthostkeychecking false", "strict", "no"),
        ("stricthostkeychecking off", "strict", "no"),
        ("stricthostkeychecking accept-new", "strict", "accept-new"),
        ("stricthostkeychecking nonsense", "strict", "ask"),
        ("proxyjump a:1,b", "jumps", (Destination("a", "", 1), Destination("b"))),
        ("proxycommand ssh -W %h:%p x", "jumps", (Destination("x"),)),
        ("proxycommand ssh -W %h:%p x", "proxy_command", ""),
        ("hostname h\nproxycommand nc %h %p ~", "proxy_command", "nc h 22 ~"),
        ("proxycommand none", "proxy_command", ""),
        ("proxyjump a\nproxycommand nc %h", "proxy_command", ""),
        ("ciphers aes128-ctr, aes256-ctr", "ciphers", ("aes128-ctr", "aes256-ctr")),
        ("ciphers chacha20-poly1305@openssh.com,aes128-ctr", "ciphers", ()),
        ("macs hmac-sha1", "macs", ("hmac-sha1",)),
        ("serveraliveinterval 7", "alive_interval", 7),
        ("connecttimeout 3", "connect_timeout", 3),
        ("numberofpasswordprompts 0", "password_prompts", 1),
        ("numberofpasswordprompts 5", "password_prompts", 5),
        ("batchmode yes", "batch", True),
        ("pubkeyauthentication unbound", "publickey", True),
        ("pubkeyauthentication no", "publickey", False),
        ("preferredauthentications password,publickey", "preferred", ("password", "publickey")),
        ("setenv A=1\nsetenv B=two words", "set_env", (("A", "1"), ("B", "two words"))),
        ("sendenv LANG\nsendenv LC_*", "send_env", ("LANG", "LC_*")),
        ("controlpath none", "control_path", ""),
        ("controlpath /c", "control_path", "/c"),
        ("controlpersist no", "control_persist", 0.0),
        ("controlpersist yes", "control_persist", math.inf),
        ("controlpersist 600", "control_persist", 600.0),
        ("localcommand x\npermitlocalcommand no", "local_command", ""),
        ("localcommand x\npermitlocalcommand yes", "local_command", "x"),
        ("pkcs11provider /lib/p.so", "only_openssh", ("pkcs11provider",)),
        ("pkcs11provider none\nproxyusefdpass no", "only_openssh", ()),
    ],
)
def test_options_are_read(printed: str, field: str, expected: object) -> None:
    assert getattr(resolved(printed), field) == expected


def test_a_command_with_the_configuration_in_use_is_a_jump() -> None:
    printed = "proxycommand ssh -F /mine -W %h:%p x"
    assert resolved(printed).jumps == ()
    assert resolved(printed, config_files=["/mine"]).jumps == (Destination("x"),)


def test_a_number_that_is_none_is_told() -> None:
    with pytest.raises(ConnectError, match="serveraliveinterval"):
        resolved("serveraliveinterval soon")


@pytest.mark.parametrize(
    ("printed", "address"),
    [("port 2222", "gpu1:2222"), ("hostname ::1\nport 1", "[::1]:1"), ("hostname ::1", "::1")],
)
def test_an_address_is_for_people(printed: str, address: str) -> None:
    assert resolved(printed).address == address
