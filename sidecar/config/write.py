"""Writes `sidecar.local.toml`: a commented one for `sidecar init`, single values later.

A file that a person wrote is changed by one line at a time, and only where reading the result
gives exactly what was meant; else it is left alone and the person told which line to write.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sidecar.config import layers, lines
from sidecar.config.git import UNTRUSTED
from sidecar.config.layers import dotted, quoted
from sidecar.config.project import LOCAL, Project
from sidecar.errors import ConfigError, UsageError

_HEAD = """\
# Your own settings of this project for `sidecar`; git ignores this file.
# `sidecar config` shows all values and where they come from.
"""

_HINTS = {
    "ssh": "what you would type after `ssh`",
    "path": "the project's place there",
    "python": '"conda:NAME" does too; left out: found, and printed on each run',
    "env": "values for jobs; or names to pass on",
}


def render_host(name: str, settings: Mapping[str, Any]) -> str:
    """A `[hosts.NAME]` table: the given settings, and the usual other ones as comments."""
    examples = {
        "python": "~/envs/ml/bin/python",
        "env": {"OMP_NUM_THREADS": "8"},
    }
    rows = [(f"{key} = {toml(value)}", _HINTS.get(key, "")) for key, value in settings.items()]
    rows += [
        (f"# {key} = {toml(value)}", _HINTS[key])
        for key, value in examples.items()
        if key not in settings
    ]
    width = max(len(row) for row, _ in rows)
    table = [f"{row:<{width}}  # {hint}" if hint else row for row, hint in rows]
    return "\n".join([f"[{dotted(('hosts', name))}]", *table]) + "\n"


def add_host(project: Project, name: str, settings: Mapping[str, Any]) -> Path:
    """Adds a host to `sidecar.local.toml`, which is made where it is missing and kept from git.

    Raises:
        ConfigError: the settings are wrong, the file already has that host, or cannot be written.
    """
    layers.flatten({"hosts": {name: dict(settings)}}, lambda key: "the given settings")
    path = project.root / LOCAL
    text = layers.read_text(path, LOCAL)
    if text is None:
        text = f"{_HEAD}\nhost = {toml(name)}\n"
    elif name in layers.parse(text, LOCAL).get("hosts", {}):
        place = lines.line_of(text, ("hosts", name))
        raise ConfigError(
            f"{LOCAL} already has a host {name}", f"at line {place}" if place else "",
            "change it there, or choose another name", code="host-exists",
        )  # fmt: skip
    _replace(path, text.rstrip("\n") + "\n\n" + render_host(name, settings))
    keep_from_git(project.root)
    return path


def name_of(destination: str) -> str:
    """A short name for `hosts.NAME`: the host's own, without user and port."""
    host = re.sub(r"^ssh://", "", destination).rpartition("@")[2]
    host = host[1:].partition("]")[0] if host.startswith("[") else re.split("[:/]", host)[0]
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", host).strip("-.")
    if not name:
        raise UsageError(
            f"{destination!r} names no host", "", "write what you would type after `ssh`"
        )
    return name


def set_value(project: Project, key: tuple[str, ...], value: Any) -> Path:
    """Sets one value in `sidecar.local.toml`.

    Raises:
        ConfigError: the value is wrong, or the file is written in a way that one line cannot
            change; `fix` is then what to write by hand.
    """
    wanted: Any = value
    for part in reversed(key):
        wanted = {part: wanted}
    layers.flatten(wanted, lambda _: "the given value")
    path = project.root / LOCAL
    before = layers.read_text(path, LOCAL)
    text = _HEAD if before is None else before
    expected = layers.parse(text, LOCAL)
    node = expected
    for part in key[:-1]:
        node = node.setdefault(part, {})
    node[key[-1]] = value
    changed = _with_value(text, key, value)
    if _parsed(changed) != expected:
        raise ConfigError(
            f"{dotted(key)} cannot be set in {LOCAL}",
            "the file is written in a way that changing one line does not do",
            f"write {dotted(key)} = {toml(value)} there yourself",
        )
    _replace(path, changed)
    keep_from_git(project.root)
    return path


def toml(value: Any) -> str:
    """The value as TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{dotted((k,))} = {toml(v)}" for k, v in value.items()) + " }"
    return "[" + ", ".join(toml(one) for one in value) + "]"


def keep_from_git(root: Path) -> bool:
    """Has git leave `sidecar.local.toml` alone, by its `info/exclude`; False outside of git."""
    git = shutil.which("git")
    if git is None:
        return False
    # A worktree's `.git` is a file, and its exclude file lies elsewhere: git knows where.
    answer = subprocess.run(
        [git, *UNTRUSTED, "rev-parse", "--git-path", "info/exclude"],
        cwd=root, capture_output=True, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    if answer.returncode != 0:
        return False
    exclude = root / os.fsdecode(answer.stdout.rstrip(b"\n"))
    known = exclude.read_bytes() if exclude.exists() else b""
    if LOCAL.encode() in known.split():
        return True
    exclude.parent.mkdir(exist_ok=True)
    with exclude.open("ab") as file:
        file.write((b"" if not known or known.endswith(b"\n") else b"\n") + LOCAL.encode() + b"\n")
    return True


def _with_value(text: str, key: tuple[str, ...], value: Any) -> str:
    row = f"{dotted(key[-1:])} = {toml(value)}"
    rows = text.splitlines()
    found = lines.assignments(text)
    for number, name, is_table in found:
        if name == key and not is_table:
            old = rows[number - 1]
            comment = re.search(r"\s+#[^\"']*$", old)
            left = old.split("=", 1)[0].rstrip()
            rows[number - 1] = f"{left} = {toml(value)}{comment[0] if comment else ''}"
            return "\n".join(rows) + "\n"
    for number, name, is_table in found:
        if name == key[:-1] and is_table:
            rows.insert(number, row)
            return "\n".join(rows) + "\n"
    if len(key) == 1:
        # Before the first table: a key at the end would be the last table's.
        first = next((number for number, _, is_table in found if is_table), len(rows) + 1)
        rows[first - 1 : first - 1] = [row, ""] if first <= len(rows) else [row]
        return "\n".join(rows) + "\n"
    return "\n".join([*rows, "", f"[{dotted(key[:-1])}]", row]) + "\n"


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        return layers.parse(text, LOCAL)
    except ConfigError:
        return None


def _replace(path: Path, text: str) -> None:
    """The whole file or the old one; with the mode it had, else for the person alone."""
    layers.build(layers.flatten(layers.parse(text, LOCAL), lambda key: LOCAL))
    try:
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
        handle, temporary = tempfile.mkstemp(prefix=".sidecar.local.", suffix="~", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
            os.chmod(temporary, mode)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise ConfigError(
            f"{LOCAL} cannot be written", error.strerror or str(error), f"see to {path.parent}"
        ) from None
