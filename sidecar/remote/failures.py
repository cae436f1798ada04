"""Why an agent did not start, or ended: its exit status and last words as an error for people."""

from __future__ import annotations

from sidecar.core import exits
from sidecar.errors import ConnectError, Disconnected, RemoteError, SidecarError

_PYTHON_FIX = "set `hosts.NAME.python` to a Python 3.8 or newer on that host"

_MISSING_PYTHON = {exits.NO_PYTHON, exits.TOO_OLD, 126, 127}
"""Statuses of a start that found no usable interpreter; a careful one may find another."""

_ENDED: dict[int, tuple[str, str, str, str]] = {
    exits.ENDED: (
        "ended",
        "The agent on the remote machine ended",
        "it was told to, or its input ended",
        "",
    ),
    exits.CUT_OFF: (
        "agent-cut-off",
        "The agent could not start",
        "the connection ended before it had arrived",
        "try again; if it stays so, something on the way (a proxy, a wrapper command) reads stdin",
    ),
    exits.PROTOCOL: (
        "protocol",
        "The agent could not read what the sidecar sent",
        "",
        "report this with the sidecar's log",
    ),
    exits.CRASHED: (
        "agent-crashed",
        "The agent on the remote machine failed",
        "",
        "report this with the sidecar's log",
    ),
    exits.UNHEARD: (
        "disconnected",
        "The agent's output was closed on the remote machine",
        "",
        "",
    ),
    exits.QUIET: (
        "disconnected",
        "The agent gave up",
        "it heard nothing from here for a long time",
        "",
    ),
}


def may_find_another(status: int) -> bool:
    """Whether a start that ended with this status could work if interpreters are tried out."""
    return status in _MISSING_PYTHON or status == 2  # Python 2: "unknown option"


def not_started(status: int, words: str, printed: bytes) -> ConnectError:
    """No mark came: the shell on the other side printed something else, and ended."""
    said = words.strip().removeprefix("sidecar: ")
    shown = "; ".join(filter(None, [said, _shown(printed)])) or "it said nothing"
    if status in _MISSING_PYTHON:
        return ConnectError(
            "No usable Python on the remote machine", shown, _PYTHON_FIX, code="no-python"
        )
    return ConnectError(
        "The agent did not start",
        f"the command ended with status {status}; {shown}",
        "check that `ssh HOST true` works and prints nothing, and what `hosts.NAME.via` does",
        code="agent-start",
    )


def no_mark(printed: bytes, why: str) -> ConnectError:
    """Something answers, but no agent: a menu, a program started by a login file."""
    return ConnectError(
        "The agent did not start",
        f"{why}; the remote shell printed: {_shown(printed) or 'nothing'}",
        "look in the shell's start-up files on the remote for what runs without a terminal",
        code="agent-start",
    )


def other_version(low: int, high: int) -> ConnectError:
    return ConnectError(
        "The agent speaks another version",
        f"it knows {low} to {high}",
        "restart the sidecar; if it stays so, update it",
        code="version",
    )


def ended(status: int, words: str) -> SidecarError:
    """The agent ran, and its command ended with this status (-1: not told)."""
    words = words.strip()
    if status in _ENDED:
        code, what, why, fix = _ENDED[status]
        why = "; ".join(filter(None, [why, words]))
        kind = Disconnected if code in ("disconnected", "ended") else RemoteError
        return kind(what, why, fix, code=code)
    if status < 0 or status == 255:
        return Disconnected("The connection to the remote machine ended", words)
    reason = f"signal {status - 128} ended it" if 128 < status < 160 else f"status {status}"
    return RemoteError(
        "The agent on the remote machine died",
        "; ".join(filter(None, [reason, words])),
        "look whether the machine limits memory or time of login processes",
        code="agent-died",
    )


def silent(seconds: float) -> Disconnected:
    return Disconnected(
        "The remote machine does not answer", f"nothing came for {seconds:.0f} s", code="silent"
    )


def garbage(why: str) -> RemoteError:
    return RemoteError(
        "The remote machine sent something that is not the agent's protocol",
        why,
        "look whether a program there writes into the agent's output; report it otherwise",
        code="protocol",
    )


def _shown(printed: bytes) -> str:
    """The end of what was printed, safe for a terminal."""
    text = printed[-400:].decode("utf-8", "replace").strip()
    return "".join(c if c.isprintable() else " " if c.isspace() else "?" for c in text)
