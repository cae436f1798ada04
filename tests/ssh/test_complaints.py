"""What OpenSSH of several versions wrote when it failed."""

from __future__ import annotations

import pytest

from sidecar.errors import ConnectError
from sidecar.ssh.complaints import classify, failure

CHANGED = """\
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!
The fingerprint for the ED25519 key sent by the remote host is
SHA256:AAAA.
Add correct host key in /home/me/.ssh/known_hosts to get rid of this message.
Offending ED25519 key in /home/me/.ssh/known_hosts:7
  remove with:
  ssh-keygen -f "/home/me/.ssh/known_hosts" -R "gpu1"
Host key for gpu1 has changed and you have requested strict checking.
Host key verification failed.
"""

RECORDED = [
    ("host-key-changed", CHANGED),
    (
        "host-key-unknown",
        "No ED25519 host key is known for gpu1 and you have requested strict checking.\n"
        "Host key verification failed.",
    ),
    ("host-key-unknown", "Host key verification failed."),
    (
        "host-key-changed",
        "@ WARNING: REVOKED HOST KEY DETECTED! @\n"
        "The ED25519 host key for gpu1 is marked as revoked.\nHost key verification failed.",
    ),
    ("no-such-host", "ssh: Could not resolve hostname gpu1: Name or service not known"),
    (
        "no-such-host",
        "ssh: Could not resolve hostname gpu1: nodename nor servname provided, or not known",
    ),
    (
        "no-such-host",
        "ssh: Could not resolve hostname jump: Temporary failure in name resolution\n"
        "kex_exchange_identification: Connection closed by remote host\n"
        "Connection closed by UNKNOWN port 65535",
    ),
    ("refused", "ssh: connect to host gpu1 port 2222: Connection refused"),
    ("unreachable", "ssh: connect to host gpu1 port 22: Connection timed out"),
    ("unreachable", "ssh: connect to host gpu1 port 22: Operation timed out"),
    ("unreachable", "ssh: connect to host 10.0.0.9 port 22: No route to host"),
    ("unreachable", "ssh: connect to host gpu1 port 22: Network is unreachable"),
    (
        "unreachable",
        "Connection timed out during banner exchange\nConnection to 127.0.0.1 port 44441 timed out",
    ),
    ("auth-failed", "me@gpu1: Permission denied (publickey)."),
    ("auth-failed", "me@gpu1: Permission denied (publickey,password,keyboard-interactive)."),
    ("auth-failed", "Permission denied (publickey)."),
    (
        "auth-failed",
        "Received disconnect from 10.0.0.9 port 22:2: Too many authentication failures\n"
        "Disconnected from 10.0.0.9 port 22",
    ),
    (
        "no-common-algorithm",
        "Unable to negotiate with 10.0.0.9 port 22: no matching host key type found. "
        "Their offer: ssh-rsa,ssh-dss",
    ),
    (
        "jump-refused",
        "channel 0: open failed: administratively prohibited: open failed\n"
        "stdio forwarding failed\nConnection closed by UNKNOWN port 65535",
    ),
    (
        "refused",
        "channel 0: open failed: connect failed: Connection refused\n"
        "stdio forwarding failed\n"
        "kex_exchange_identification: Connection closed by remote host\n"
        "Connection closed by UNKNOWN port 65535",
    ),
    (
        "proxy-failed",
        "no tunnel for you\n"
        "kex_exchange_identification: Connection closed by remote host\n"
        "Connection closed by UNKNOWN port 65535",
    ),
    (
        "bad-config",
        "/home/me/.ssh/config: line 3: Bad configuration option: foo\n"
        "/home/me/.ssh/config: terminating, 1 bad configuration options",
    ),
    ("bad-config", "Bad owner or permissions on /home/me/.ssh/config"),
    (
        "bad-key",
        "@         WARNING: UNPROTECTED PRIVATE KEY FILE!          @\n"
        "Permissions 0644 for '/home/me/.ssh/id' are too open.\n"
        "me@gpu1: Permission denied (publickey).",
    ),
    ("not-ssh", "kex_exchange_identification: banner line contains invalid characters"),
    (
        "dropped",
        "kex_exchange_identification: Connection closed by remote host\n"
        "Connection closed by 10.0.0.9 port 22",
    ),
    (
        "dropped",
        "kex_exchange_identification: read: Connection reset by peer\n"
        "Connection reset by 10.0.0.9 port 22",
    ),
    ("dropped", "ssh_exchange_identification: Connection closed by remote host"),
    ("lost", "client_loop: send disconnect: Broken pipe"),
    ("lost", "Timeout, server gpu1 not responding."),
    ("lost", "Connection to gpu1 closed by remote host."),
    ("lost", "Connection reset by 10.0.0.9 port 22"),
    ("lost", "mux_client_request_session: read from master failed: Broken pipe"),
    ("lost", "packet_write_wait: Connection to 10.0.0.9 port 22: Broken pipe"),
]


def numbered(case: tuple[str, str]) -> str:
    return f"{case[0]}: {case[1].strip().splitlines()[0][:40]}"


@pytest.mark.parametrize("case", RECORDED, ids=numbered)
def test_a_complaint_has_the_code_of_its_cause(case: tuple[str, str]) -> None:
    code, stderr = case
    complaint = classify(stderr.replace("\n", "\r\n"))
    assert complaint is not None
    assert complaint.code == code


@pytest.mark.parametrize("case", RECORDED, ids=numbered)
def test_a_failed_start_is_a_whole_message(case: tuple[str, str]) -> None:
    told = failure("gpu1", case[1])
    assert isinstance(told, ConnectError)
    assert "{" not in str(told)
    assert told.what
    assert told.why
    assert told.fix
    if case[0] in ("auth-failed", "host-key-changed", "host-key-unknown"):
        assert told.asks_person


def test_how_to_remove_a_changed_key_is_passed_on() -> None:
    assert "/home/me/.ssh/known_hosts:7" in failure("gpu1", CHANGED).why


@pytest.mark.parametrize(
    "stderr",
    [
        "",
        "Traceback (most recent call last):\nValueError: connection",
        "make: *** [all] Error 255",
        "rm: cannot remove 'x': Permission denied",
        "bash: ./run: Permission denied",
        "** WARNING: connection is not using a post-quantum key exchange algorithm.",
        "Warning: Permanently added 'gpu1' (ED25519) to the list of known hosts.",
        "Pseudo-terminal will not be allocated because stdin is not a terminal.",
    ],
)
def test_words_of_a_command_are_no_complaint(stderr: str) -> None:
    assert classify(stderr) is None


def test_a_failure_without_words_is_still_one() -> None:
    assert failure("gpu1", "").code == "dropped"
    assert failure("gpu1", "something new in OpenSSH 12").why == "something new in OpenSSH 12"
