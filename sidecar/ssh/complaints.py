"""What the ssh program writes to stderr when it fails, read as our codes. Pure.

ssh ends with 255 for every failure of its own, and so may a command; only its words tell them
apart. The patterns are lines of OpenSSH 7.4 to 10; a line that we do not know is no complaint.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from sidecar.errors import SidecarError
from sidecar.ssh.codes import connect_error

STATUS = 255
"""Of ssh for its own failures."""


class Complaint(NamedTuple):
    """`code`: of a ConnectError, or "lost" for a connection that was up. `words`: ssh's own."""

    code: str
    words: str


# The first that matches any line wins, so causes stand before what they lead to.
_PATTERNS = [
    (code, re.compile(pattern, re.IGNORECASE))
    for code, pattern in (
        ("host-key-changed", r"REMOTE HOST IDENTIFICATION HAS CHANGED"),
        ("host-key-changed", r"host key for .* was revoked|marked as revoked"),
        ("host-key-changed", r"^Host key for .* has changed and you have requested strict"),
        ("host-key-unknown", r"^No \S+ host key is known for .* and you have requested strict"),
        ("host-key-unknown", r"^Host key verification failed"),
        ("no-such-host", r"^ssh: Could not resolve hostname"),
        ("refused", r"^ssh: connect to host .*: Connection refused"),
        ("unreachable", r"^ssh: connect to host "),
        ("unreachable", r"^Connection timed out during banner exchange"),
        ("jump-refused", r"^channel \d+: open failed: administratively prohibited"),
        ("refused", r"^channel \d+: open failed: connect failed: Connection refused"),
        ("unreachable", r"^channel \d+: open failed: connect failed"),
        ("jump-refused", r"^stdio forwarding failed"),
        ("no-common-algorithm", r"^Unable to negotiate with .*: no matching"),
        ("no-common-algorithm", r"no mutual signature algorithm"),
        ("bad-key", r"UNPROTECTED PRIVATE KEY FILE"),
        ("auth-failed", r"Too many authentication failures"),
        ("auth-failed", r"^\S+: Permission denied( \(|$)|^Permission denied[ (,.]"),
        ("auth-failed", r"^No more authentication methods"),
        ("bad-config", r"Bad configuration option|^\S+ line \d+: "),
        ("bad-config", r"Bad owner or permissions on"),
        ("bad-config", r"^unix_listener: |ControlPath.* too long"),
        # Of a line that is no TCP connection, ssh does not know the port.
        ("proxy-failed", r"^Connection closed by UNKNOWN"),
        (
            "not-ssh",
            r"^(ssh_exchange_identification|kex_exchange_identification): (banner|No banner)",
        ),
        ("not-ssh", r"Bad remote protocol version|Protocol major versions differ"),
        ("dropped", r"^(ssh_exchange_identification|kex_exchange_identification): "),
        ("dropped", r"^Connection closed by (UNKNOWN|\S+) port"),
        (
            "lost",
            r"^client_loop: send disconnect|^packet_write_wait: |^Timeout, server .* not resp",
        ),
        (
            "lost",
            r"^Connection to .* (closed by remote host|timed out)|^Connection reset by",
        ),
        (
            "lost",
            r"^Disconnected from |^Received disconnect from|^Read from remote host|^Write failed: ",
        ),
        ("lost", r"^mux_client_\w+: |^Shared connection to .* closed|^Control socket connect"),
    )
]

_FIXES = {
    "host-key-changed": "ask who runs that machine whether the new key is right; if it is, remove "
    "the old one with the `ssh-keygen -R` that ssh names",
    "host-key-unknown": "run `ssh {name}` once in a terminal and compare the key",
    "no-such-host": "check its spelling, the Hosts of the ssh configuration, the network and the "
    "VPN",
    "refused": "check Port in the ssh configuration, and that an SSH server runs there",
    "unreachable": "check the network and the VPN",
    "jump-refused": "check that the jump host allows TCP forwarding and knows that name",
    "no-common-algorithm": "allow an algorithm that both have, in the ssh configuration",
    "auth-failed": "check User and IdentityFile, or add a key with `ssh-add`; for a password or a "
    'code, connect once with `ssh {name}` and a ControlMaster, or use the transport "asyncssh"',
    "bad-key": "make the key's file readable by you alone (chmod 600)",
    "bad-config": "correct it in the ssh configuration",
    "not-ssh": "check HostName and Port in the ssh configuration",
    "dropped": "try again later; if it stays so, see what `ssh -v {name}` says",
    "proxy-failed": "run the ProxyCommand by hand",
}

_WHATS = {
    "host-key-changed": "The host key of {name} has changed",
    "host-key-unknown": "The host key of {name} is not known",
    "no-such-host": "The name {name} cannot be found",
    "refused": "{name} refuses connections",
    "unreachable": "{name} cannot be reached",
    "jump-refused": "The jump host does not pass us on to {name}",
    "no-common-algorithm": "{name} and ssh have no algorithm in common",
    "auth-failed": "{name} does not let us in",
    "bad-key": "A key for {name} cannot be used",
    "bad-config": "The ssh configuration cannot be used",
    "not-ssh": "What listens there does not speak SSH",
    "dropped": "{name} closed the connection before we were signed in",
    "proxy-failed": "The ProxyCommand of {name} gives no connection",
}

# Long enough for "REMOTE HOST IDENTIFICATION" and the lines that say what to do.
_WORDS_LINES = 12


def classify(stderr: str) -> Complaint | None:
    """What ssh complains of, None where it does not.

    Args:
        stderr: what it wrote, escaped; lines of the command may be among it.
    """
    lines = [line.strip().strip("@ ").strip() for line in stderr.splitlines()]
    lines = [line for line in lines if line]
    for code, pattern in _PATTERNS:
        for number, line in enumerate(lines):
            if pattern.search(line):
                more = _WORDS_LINES if code == "host-key-changed" else 1
                return Complaint(code, " ".join(lines[number : number + more]).rstrip("."))
    return None


def failure(name: str, stderr: str) -> SidecarError:
    """The failure of an ssh that could not connect, from its last words."""
    complaint = classify(stderr)
    if complaint is None or complaint.code == "lost":
        words = complaint.words if complaint else stderr.strip() or "it gave no reason"
        complaint = Complaint("dropped", words)
    code = complaint.code
    return connect_error(
        _WHATS[code].format(name=name), complaint.words, _FIXES[code].format(name=name), code
    )
