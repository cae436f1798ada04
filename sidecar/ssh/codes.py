"""Codes of a ConnectError, which are stable, and what they say about trying again.

    no-such-host         the name cannot be found
    refused              nothing listens on that port
    unreachable          no route, network down, no answer in time
    dropped              it was closed while signing in
    not-ssh              what listens there does not speak SSH as we do
    no-common-algorithm  the two sides have no cipher, key exchange or host key kind in common
    host-key-unknown     the host's key is not known, and nobody said that it is right
    host-key-changed     another key is known for it, or this one was revoked
    auth-failed          the host does not let us in
    cancelled            a question was not answered, or answered with no
    bad-destination, bad-config, bad-key    what the person wrote or keeps is wrong
    proxy-failed         the ProxyCommand gives no connection
    jump-refused         a jump host does not pass us on
    no-command           the host lets us in and runs no command
    no-ssh               the ssh program is needed and missing

A `Disconnected` is for connections that were up: `lost`, `silent`, `closed`; `command-ended` for a
writer whose command is over while the connection lives.
"""

from __future__ import annotations

from sidecar.errors import ConnectError

# Another try without the person would not help, or do harm: locked accounts, wrong hosts trusted.
_ASKS_PERSON = frozenset(
    {
        "host-key-unknown",
        "host-key-changed",
        "auth-failed",
        "cancelled",
        "bad-destination",
        "bad-config",
        "bad-key",
        "no-command",
        "no-ssh",
        "no-common-algorithm",
    }
)


def connect_error(what: str, why: str, fix: str, code: str) -> ConnectError:
    """A ConnectError with `asks_person` as its code demands."""
    failure = ConnectError(what, why, fix, code=code)
    failure.asks_person = code in _ASKS_PERSON
    return failure
