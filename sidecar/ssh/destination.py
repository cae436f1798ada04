"""What a person types after `ssh`: a name, `user@name`, or `ssh://user@name:port`.

Also the hops of ProxyJump, which are spelled a little differently, and a ProxyCommand that only
says "jump through X" in other words. Pure.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote, unquote

from sidecar.errors import ConnectError
from sidecar.ssh.codes import connect_error

_SCHEME = "ssh://"
_PORT_AT_END = re.compile(r"^[^:]+:\d+$")

_OF_SHELLS = "'`\";&<>|(){}"

# Options of ssh that change nothing for a jump: quiet, verbose, without terminal, X11 or agent.
_IDLE_LETTERS = frozenset("qvTxanN")


class Destination(NamedTuple):
    """`name` is a Host of the configuration or a host name; `user` and `port` override it where
    they are given."""

    name: str
    user: str = ""
    port: int = 0

    def argument(self) -> str:
        """As `ssh` takes it, after `--`."""
        if self.port:
            name = f"[{self.name}]" if ":" in self.name else self.name
            user = f"{quote(self.user, safe='')}@" if self.user else ""
            return f"{_SCHEME}{user}{name}:{self.port}"
        return f"{self.user}@{self.name}" if self.user else self.name


def parse_destination(text: str) -> Destination:
    """What follows `ssh`.

    Raises:
        ConnectError: `bad-destination`: empty, beginning with `-`, or no URL of ours.
    """
    _refuse_options(text)
    if not text.startswith(_SCHEME):
        user, name = _split_user(text)
        if _PORT_AT_END.match(name):
            # ssh would look for a machine of that very name, which is never what was meant.
            raise _bad(text, "a port is not written so", f"write {_SCHEME}{text}")
        return _checked(text, Destination(name, user))
    rest = text[len(_SCHEME) :].rstrip("/")
    if "/" in rest:
        raise _bad(text, "it has a path")
    user, name = _split_user(rest)
    # `user;fingerprint=…` is a part of the scheme that ssh ignores as well.
    user = unquote(user.partition(";")[0])
    return _checked(text, _with_port(text, name, user))


def parse_jumps(text: str) -> tuple[Destination, ...]:
    """The value of ProxyJump: hops with commas between them, the nearest first; "none" is none."""
    if text.strip().lower() in ("", "none"):
        return ()
    hops = []
    for one in (part.strip() for part in text.split(",")):
        _refuse_options(one)
        if one.startswith(_SCHEME):
            hops.append(parse_destination(one))
            continue
        user, name = _split_user(one)
        hops.append(_checked(one, _with_port(one, name, user)))
    return tuple(hops)


def jump_of_command(command: str, config_files: Sequence[str] = ()) -> Destination | None:
    """The hop that a ProxyCommand like `ssh -W %h:%p X` goes through, None for any other command.

    Only what means exactly a jump counts: an option that we do not know leaves the command as it
    is. `-F FILE` counts where FILE is among `config_files`, the one in use.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    if words[:1] == ["exec"]:
        del words[0]
    if words[-1:] == ["2>/dev/null"]:
        del words[-1]
    if not words or words[0].rpartition("/")[2] != "ssh":
        return None
    user, port, forward, names = "", 0, "", []
    rest = iter(words[1:])
    for word in rest:
        if word == "--" or not word.startswith("-"):
            names += [word] if word != "--" else []
            continue
        letters = word[1:]
        while letters and letters[0] in _IDLE_LETTERS:
            letters = letters[1:]
        if not letters:
            continue
        option, value = letters[0], letters[1:] or next(rest, "")
        if option == "W":
            forward = value
        elif option == "l":
            user = value
        elif option == "p" and value.isdigit():
            port = int(value)
        elif option != "F" or value not in config_files:
            return None
    if forward not in ("%h:%p", "[%h]:%p") or len(names) != 1:
        return None
    try:
        hop = parse_destination(names[0])
    except ConnectError:
        return None
    return Destination(hop.name, user or hop.user, port or hop.port)


def _split_user(text: str) -> tuple[str, str]:
    # The last one: a user name may hold an @, a host name may not.
    user, _, name = text.rpartition("@")
    return user, name


def _with_port(text: str, name: str, user: str) -> Destination:
    if name.startswith("["):
        name, bracket, rest = name[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise _bad(text, "the brackets of its address are wrong")
        port = rest[1:]
    elif name.count(":") == 1:
        name, _, port = name.partition(":")
    else:
        port = ""
    if not port:
        return Destination(name, user)
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 1 << 16:
        raise _bad(text, f"{port!r} is no port")
    return Destination(name, user, int(port))


def _checked(text: str, destination: Destination) -> Destination:
    if not destination.name:
        raise _bad(text, "it names no host")
    _refuse_options(destination.name)
    _refuse_options(destination.user)
    if any(character.isspace() or not character.isprintable() for character in text):
        raise _bad(text, "it has spaces or control characters")
    # Both may become part of a ProxyCommand, by %r and %h, and a shell reads that. The same
    # characters are refused by OpenSSH since 9.6, which the ssh here may be older than.
    if set(destination.name) & {*_OF_SHELLS, "$", "\\"}:
        raise _bad(text, "its host has a character that a shell would act upon")
    if set(destination.user) & set(_OF_SHELLS) or destination.user.endswith("\\"):
        raise _bad(text, "its user has a character that a shell would act upon")
    if any(c.isspace() or not c.isprintable() for c in destination.user):
        raise _bad(text, "its user has spaces or control characters")
    return destination


def _refuse_options(text: str) -> None:
    if text.startswith("-"):
        raise _bad(text, "it begins with '-', which programs take for an option")


def _bad(text: str, why: str, fix: str = "give a Host of your ssh configuration") -> ConnectError:
    return connect_error(f"{text!r} is no SSH destination", why, fix, "bad-destination")
