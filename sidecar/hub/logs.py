"""The hub's log: one bounded file in the state folder, for the person alone.

Payloads, prompts and secrets are never logged: what pygls and asyncssh say at INFO holds file
contents and host details, so they are kept to warnings.
"""

from __future__ import annotations

import io
import logging
import logging.handlers
import os

from sidecar.hub.process import log_path

MAX_LOG = 2 << 20
"""Bytes of the log; one older file of that size is kept beside it."""


class _PrivateFile(logging.handlers.RotatingFileHandler):
    def _open(self) -> io.TextIOWrapper:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        return io.TextIOWrapper(
            io.FileIO(os.open(self.baseFilename, flags, 0o600), "a"),
            encoding="utf-8",
            errors="backslashreplace",
            write_through=True,
        )


def log_to_file() -> None:
    """SIDECAR_LOG names the level of our own loggers; INFO where it is not set."""
    handler = _PrivateFile(log_path(), maxBytes=MAX_LOG, backupCount=1, encoding="utf-8")
    handler.setFormatter(
        logging.Formatter("%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s")
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    level = logging.getLevelName(os.environ.get("SIDECAR_LOG", "INFO").upper())
    logging.getLogger("sidecar").setLevel(level if isinstance(level, int) else logging.INFO)
