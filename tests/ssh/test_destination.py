from __future__ import annotations

import pytest

from sidecar.errors import ConnectError
from sidecar.ssh.destination import (
    Destination,
    jump_of_command,
    parse_destination,
    parse_jumps,
)


@pytest.mark.parametrize(
    ("text", "expected", "argument"),
    [
        ("gpu1", Destination("gpu1"), "gpu1"),
        ("me@gpu1", Destination("gpu1", "me"), "me@gpu1"),
        ("CORP\\me$@gpu1", Destination("gpu1", "CORP\\me$"), "CORP\\me$@gpu1"),
        ("me@corp@gpu1", Destination("gpu1", "me@corp"), "me@corp@gpu1"),
        ("ssh://gpu1", Destination("gpu1"), "gpu1"),
        ("ssh://me@gpu1:2222", Destination("gpu1", "me", 2222), "ssh://me@gpu1:2222"),
        ("ssh://gpu1:22/", Destination("gpu1", "", 22), "ssh://gpu1:22"),
        ("ssh://m%40e@gpu1:1", Destination("gpu1", "m@e", 1), "ssh://m%40e@gpu1:1"),
        ("ssh://[fe80::1]:22", Destination("fe80::1", "", 22), "ssh://[fe80::1]:22"),
        ("fe80::1", Destination("fe80::1"), "fe80::1"),
    ],
)
def test_a_destination_is_read_and_written_as_ssh_does(
    text: str, expected: Destination, argument: str
) -> None:
    assert parse_destination(text) == expected
    assert expected.argument() == argument


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-oProxyCommand=x",
        "me;touch${IFS}x@gpu1",
        "ssh://me%60x%60@gpu1:22",
        "ssh://me%0ax@gpu1:22",
        "$HOME",
        "gpu1|x",
        "ssh://-oProxyCommand=x",
        "-l@host",
        "me@-host",
        "ssh://",
        "ssh://me@",
        "ssh://host/path",
        "ssh://host:port",
        "ssh://host:0",
        "ssh://host:99999",
        "ssh://[::1:22",
        "two words",
        "line\nfeed",
        "escape\x1b[31m",
    ],
)
def test_what_is_no_destination_is_refused(text: str) -> None:
    with pytest.raises(ConnectError) as caught:
        parse_destination(text)
    assert caught.value.code == "bad-destination"
    assert caught.value.asks_person
    assert "\x1b" not in str(caught.value)


def test_a_port_after_a_colon_is_refused_with_the_right_spelling() -> None:
    with pytest.raises(ConnectError, match="ssh://me@gpu1:2222"):
        parse_destination("me@gpu1:2222")


@pytest.mark.parametrize(
    ("text", "hops"),
    [
        ("none", ()),
        ("", ()),
        ("jump", (Destination("jump"),)),
        ("me@a:2222,b", (Destination("a", "me", 2222), Destination("b"))),
        ("ssh://me@a:1, b:2", (Destination("a", "me", 1), Destination("b", "", 2))),
        ("[::1]:22,::1", (Destination("::1", "", 22), Destination("::1"))),
    ],
)
def test_jumps_are_read_in_their_order(text: str, hops: tuple[Destination, ...]) -> None:
    assert parse_jumps(text) == hops


def test_a_jump_that_is_an_option_is_refused() -> None:
    with pytest.raises(ConnectError):
        parse_jumps("good,-oProxyCommand=x")


@pytest.mark.parametrize(
    ("command", "hop"),
    [
        ("ssh -W %h:%p bastion", Destination("bastion")),
        ("ssh bastion -W %h:%p", Destination("bastion")),
        ("ssh -W [%h]:%p me@bastion", Destination("bastion", "me")),
        ("/usr/bin/ssh -q -W %h:%p -p 2222 bastion 2>/dev/null", Destination("bastion", "", 2222)),
        ("exec ssh -qW %h:%p -l me bastion", Destination("bastion", "me")),
        ("ssh -F /my/config -W %h:%p bastion", Destination("bastion")),
        ("ssh -W %h:%p -- bastion", Destination("bastion")),
    ],
)
def test_a_proxy_command_that_jumps_is_a_jump(command: str, hop: Destination) -> None:
    assert jump_of_command(command, ["/my/config"]) == hop


@pytest.mark.parametrize(
    "command",
    [
        "nc %h %p",
        "ssh bastion nc %h %p",
        "ssh -W other:22 bastion",
        "ssh -W %h:%p",
        "ssh -W %h:%p a b",
        "ssh -F /other -W %h:%p bastion",
        "ssh -i key -W %h:%p bastion",
        "ssh -o ForwardAgent=yes -W %h:%p bastion",
        "ssh -W %h:%p $(cat bastion)",
        "ssh -W %h:%p bastion | tee log",
        "ssh -W '%h:%p bastion",
        "corkscrew proxy 80 %h %p",
        "",
    ],
)
def test_any_other_proxy_command_stays_one(command: str) -> None:
    assert jump_of_command(command) is None
