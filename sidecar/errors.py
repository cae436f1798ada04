"""Every failure that a person may meet. The branch says whose move it is, the leaf what happened.

    SidecarError
    ├── UsageError       the command or request was wrong; nothing was started
    ├── ConfigError      a configuration file is wrong, or not trusted yet
    ├── ConnectError     the way to the host fails (name, key, login, no Python there, …)
    ├── Disconnected     the way was there and is gone
    ├── RemoteError      the host answered with a failure
    ├── SyncError        files cannot be brought together without a decision or some space
    └── RunError         a job was refused or could not be started

Each has a stable `code` for programs, and says *what*, *why* and *what next* for people. Foreign
exceptions are translated where the foreign call is made, never further up.
"""

from __future__ import annotations


class SidecarError(Exception):
    """Base of all; never raised itself.

    Args:
        what: the failure in one short sentence without a full stop.
        why: the evidence: what was seen, in the words of whoever said it.
        fix: what the person can do next; begins with a verb.
        code: for programs, `lower-case-with-dashes`.
    """

    code = "failed"

    def __init__(self, what: str, why: str = "", fix: str = "", *, code: str = "") -> None:
        self.what, self.why, self.fix = what, why, fix
        if code:
            self.code = code
        super().__init__(str(self))

    def __str__(self) -> str:
        text = self.what
        if self.why:
            text += f": {self.why}"
        if self.fix:
            text += f". {self.fix[0].upper()}{self.fix[1:]}"
        return text if text.endswith("?") else text.rstrip(".") + "."


class UsageError(SidecarError):
    code = "usage"


class ConfigError(SidecarError):
    code = "config"


class ConnectError(SidecarError):
    """`asks_person`: trying again without the person would not help, or do harm."""

    code = "connect"
    asks_person = False


class Disconnected(SidecarError):
    code = "disconnected"


class RemoteError(SidecarError):
    code = "remote"


class SyncError(SidecarError):
    code = "sync"


class RunError(SidecarError):
    code = "run"
