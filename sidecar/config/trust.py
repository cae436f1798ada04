"""What a shared file may not decide until the person said so, and the memory of their saying it.

A cloned repository's configuration is a stranger's, and so is a `sidecar.local.toml` that came with
it (git.py). These of its settings run commands, choose a machine or take something from this one,
and have no effect before trust: `ssh` (unless it is a Host of the person's own ssh configuration),
`setup`, `launch`, `via`, `transport`; a `python` by its path, since the agent is started with it
before the person ran anything; an `env` that names variables to pass on, which may hold secrets;
a `forward` that puts a socket somewhere on this machine; and a `path` or `state` in a dot-folder,
or where programs are started from.
Trust is given to each setting as it reads now, and kept outside the project: a changed one is
asked about again, an unchanged one is not.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Collection, Iterable
from pathlib import Path

import msgspec

from sidecar.config import places
from sidecar.config.layers import Key, dotted, quoted
from sidecar.config.project import Project

_COMMANDS = frozenset({"setup", "launch", "via", "transport"})
_FOLDERS = frozenset({"path", "state"})

_PROGRAMS = frozenset(
    {"bin", "sbin", "lib", "lib32", "lib64", "libexec", "etc", "library", "site-packages"}
    | {"public_html", "cgi-bin"}
)
"""Folders whose files are run by whoever logs in, starts a program, or opens a web page: a `~/bin`
that was not there before stands first in the PATH of the next login on most machines."""

_SYSTEM = frozenset({"boot", "dev", "proc", "sys", "system", "usr", "var"})
"""The same, of whole parts of the file system; on many containers one is root."""


class _Trusted(msgspec.Struct):
    """The stored form. `settings`: hex digests of "key = value"."""

    version: int
    settings: list[str]


def needs_trust(key: Key, value: object, own_hosts: Collection[str]) -> bool:
    """Whether this setting of a shared file counts only after trust."""
    if len(key) != 3 or key[0] != "hosts":
        return False
    name = key[2]
    if name == "launch":
        return value is not None  # an empty one says that jobs may run on a login node
    if not value:
        return False
    if name == "ssh":
        return value not in own_hosts
    if name == "env":
        return isinstance(value, list)
    if name == "forward" and isinstance(value, list):
        return any(str(one).startswith("/") for one in value)
    if name == "python":
        return str(value).startswith(("/", "~", "$"))
    return name in _COMMANDS or (name in _FOLDERS and _in_odd_place(str(value)))


def statement(key: Key, value: object) -> str:
    """The setting as a person is asked about it: `key = value`, as TOML, all on one line."""
    if isinstance(value, list):
        return f"{dotted(key)} = [{', '.join(quoted(str(one)) for one in value)}]"
    return f"{dotted(key)} = {quoted(str(value))}"


def trusted(project: Project, statements: Iterable[str]) -> set[str]:
    """Those of the statements that the person has trusted."""
    digests = set(_load(project))
    return {one for one in statements if _digest(one) in digests}


def trust(project: Project, statements: Iterable[str]) -> None:
    """Remembers that these count, as they read now. Others that were trusted stay so."""
    digests = dict.fromkeys([*_load(project), *(_digest(one) for one in statements)])
    target = _file(project)
    target.parent.mkdir(mode=0o700, exist_ok=True)
    # mkstemp makes it 0600; the rename keeps a crash from leaving half a file.
    handle, temporary = tempfile.mkstemp(dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.encode(_Trusted(1, list(digests))))
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


def distrust(project: Project) -> None:
    """Forgets what was trusted."""
    _file(project).unlink(missing_ok=True)


def _in_odd_place(path: str) -> bool:
    """Also true of `..`, and of variables that name dot-folders by custom."""
    parts = [part.lower() for part in path.split("/") if part]
    if path.startswith("/") and not _SYSTEM.isdisjoint(parts[:1]):
        return True
    return any(part in _PROGRAMS or part.startswith((".", "$xdg_", "${xdg_")) for part in parts)


def _file(project: Project) -> Path:
    return places.state_dir() / "trust" / f"{places.root_key(project.root)}.json"


def _load(project: Project) -> list[str]:
    """Lost or not understood is the same as never given."""
    try:
        stored = msgspec.json.decode(_file(project).read_bytes(), type=_Trusted)
    except (OSError, msgspec.DecodeError):
        return []
    return stored.settings if stored.version == 1 else []


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
