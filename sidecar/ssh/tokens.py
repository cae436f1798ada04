"""Expands what OpenSSH leaves to its user: %-tokens, `~` and `${NAME}` in values. Pure.

`ssh -G` prints many values as they were written, so whoever acts on them must do this part.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from sidecar.ssh.codes import connect_error

_TOKEN = re.compile(r"%(.?)")
_VARIABLE = re.compile(r"\$\{([^}]*)\}")


def tokens_for(
    *,
    original: str,
    host: str,
    port: int,
    user: str,
    host_key_alias: str,
    local_user: str,
    local_host: str,
    home: str,
    uid: int,
    jump: str = "",
) -> dict[str, str]:
    """The letters of ssh_config(5) and what they stand for.

    %C is of OpenSSH before 9.6 (without %j) where there is no jump host, which is the same.
    """
    short = local_host.partition(".")[0]
    seed = f"{local_host}{host}{port}{user}{jump}"
    return {
        "%": "%",
        "C": hashlib.sha1(seed.encode(), usedforsecurity=False).hexdigest(),
        "d": home,
        "h": host,
        "i": str(uid),
        "j": jump,
        "k": host_key_alias or original,
        "L": short,
        "l": local_host,
        "n": original,
        "p": str(port),
        "r": user,
        "u": local_user,
    }


def expand(
    option: str,
    value: str,
    tokens: Mapping[str, str],
    environment: Mapping[str, str] | None = None,
    *,
    tilde: bool = True,
) -> str:
    """One value.

    Args:
        option: its name, for the error.
        environment: where `${NAME}` is looked up; None leaves such a text as it is.
        tilde: whether `~/` at the start is the home folder, as it is for files.

    Raises:
        ConnectError: `bad-config`: an unknown token, or a variable that is not set.
    """

    def token(match: re.Match[str]) -> str:
        try:
            return tokens[match[1]]
        except KeyError:
            raise connect_error(
                f"{option} in the ssh configuration cannot be expanded",
                f"{match[0]} in {value!r} is not known",
                "write %% for a percent sign",
                "bad-config",
            ) from None

    def variable(match: re.Match[str]) -> str:
        assert environment is not None
        try:
            return environment[match[1]]
        except KeyError:
            raise connect_error(
                f"{option} in the ssh configuration cannot be expanded",
                f"the variable {match[1]} is not set",
                f"set {match[1]} in the environment, or change {option}",
                "bad-config",
            ) from None

    # The home folder is put in first, and a token's value never looked at again: neither may
    # bring new tokens in.
    if tilde and (value == "~" or value.startswith("~/")):
        value = "%d" + value[1:]
    pieces = []
    for piece, name in _pieces(value):
        if name is not None and environment is not None:
            pieces.append(variable(name))
        else:
            pieces.append(_TOKEN.sub(token, piece))
    return "".join(pieces)


def _pieces(value: str) -> list[tuple[str, re.Match[str] | None]]:
    """The value in its order: texts, and the variables between them."""
    pieces: list[tuple[str, re.Match[str] | None]] = []
    at = 0
    for match in _VARIABLE.finditer(value):
        pieces += [(value[at : match.start()], None), (match[0], match)]
        at = match.end()
    pieces.append((value[at:], None))
    return pieces
