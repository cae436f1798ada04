"""Where things are kept on this machine.

Everything below these folders is readable by the person alone. Each can be moved by a variable
(SIDECAR_STATE_DIR, SIDECAR_RUNTIME_DIR, SIDECAR_CONFIG_DIR), which tests and administrators use.

Each command asks here where the hub listens, so what only some machines need is imported there.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import Literal

from sidecar.core.blake2 import blake2b
from sidecar.errors import ConfigError

NAME = "sidecar"
ON_LINUX = sys.platform.startswith("linux")
SOCKET_LIMIT = 100
"""Bytes that the path of a Unix socket may have: macOS allows 104 with the final NUL."""


def state_dir() -> Path:
    """What must survive a restart: bases, journals, trash, trust, logs."""
    return _private(_named("SIDECAR_STATE_DIR") or _usual("state"))


def config_dir() -> Path:
    """Where the person's own `config.toml` is looked for. Not created: we write nothing there."""
    return _named("SIDECAR_CONFIG_DIR") or _usual("config")


def runtime_dir() -> Path:
    """Sockets and locks, gone with the session: XDG_RUNTIME_DIR, where nobody else can write there
    (the variable may be another user's, after `su`), else a short private folder in the machine's
    temporary one (never a network file system)."""
    named = _named("SIDECAR_RUNTIME_DIR")
    if named:
        return _private(named)
    session = os.environ.get("XDG_RUNTIME_DIR", "")
    if session and _is_ours(Path(session)):
        return _private(Path(session) / NAME)
    return _private(_short_dir())


def socket_path() -> Path:
    """The hub's socket: 16 hex digits that stand for all the folders it would work with, so that
    two set-ups on one machine never meet; at most SOCKET_LIMIT bytes."""
    runtime = runtime_dir()
    folders = "\0".join(str(folder) for folder in (state_dir(), config_dir(), runtime))
    name = f"{blake2b(os.fsencode(folders), digest_size=8).hexdigest()}.sock"
    if len(os.fsencode(runtime / name)) > SOCKET_LIMIT:
        runtime = _private(_short_dir())
    return runtime / name


def project_state(root: Path, host: str) -> Path:
    """The folder of one project on one host. Created."""
    return _private(state_dir() / "projects" / root_key(root) / host)


def root_key(root: Path) -> str:
    """16 hex digits that name a root, by whichever of its spellings it is given."""
    import hashlib  # loads OpenSSL: 5 ms

    return hashlib.sha256(os.fsencode(os.path.realpath(root))).hexdigest()[:16]


def _named(variable: str) -> Path | None:
    value = os.environ.get(variable, "")
    return Path(os.path.abspath(os.path.expanduser(value))) if value else None


def _usual(kind: Literal["state", "config"]) -> Path:
    """Where this system's programs keep theirs. On Linux as platformdirs has it, which would take
    6 ms of each command to load."""
    if ON_LINUX:
        named = os.environ.get(f"XDG_{kind.upper()}_HOME", "").strip()
        return Path(named or os.path.expanduser(_XDG[kind])) / NAME
    import platformdirs

    usual: Path = getattr(platformdirs, f"user_{kind}_path")(NAME, False)
    return usual


_XDG = {"state": "~/.local/state", "config": "~/.config"}


def _short_dir() -> Path:
    if os.name == "posix":
        return Path("/tmp") / f"{NAME}-{os.getuid()}"  # noqa: S108
    import tempfile

    return Path(tempfile.gettempdir()) / f"{NAME}-{os.environ.get('USERNAME', 'user')}"


def _private(folder: Path) -> Path:
    """The folder, created for the person alone, and refused where others could have prepared it.

    Raises:
        ConfigError: it cannot be created, or is a link, somebody else's, or open to others.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat() if _is_chosen(folder) else folder.lstat()
    except OSError as error:
        raise ConfigError(
            f"The folder {folder} cannot be used",
            error.strerror or str(error),
            "make room for it, or name another by SIDECAR_STATE_DIR or SIDECAR_RUNTIME_DIR",
            code="no-folder",
        ) from None
    if os.name != "posix":
        return folder
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise ConfigError(
            f"The folder {folder} is not safe to use",
            "it is a link or belongs to somebody else",
            "remove it, or name another by SIDECAR_STATE_DIR or SIDECAR_RUNTIME_DIR",
            code="unsafe-folder",
        )
    if stat.S_IMODE(status.st_mode) & 0o077:
        folder.chmod(0o700)
    return folder


def _is_ours(folder: Path) -> bool:
    """Whether it is a folder in which only we can make, and replace, anything."""
    try:
        status = folder.lstat()
    except OSError:
        return False
    if os.name != "posix":
        return stat.S_ISDIR(status.st_mode)
    return (
        stat.S_ISDIR(status.st_mode)
        and status.st_uid == os.getuid()
        and not stat.S_IMODE(status.st_mode) & 0o022
    )


def _is_chosen(folder: Path) -> bool:
    """Whether the person (not we) named it: then it may be a link to where the room is."""
    return folder != _short_dir()
