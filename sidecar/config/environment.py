"""The layer of `SIDECAR_…` variables.

    SIDECAR_HOST                     host
    SIDECAR_LINGER                   linger
    SIDECAR_SYNC_MODE                sync.mode (and so for each setting of [sync])
    SIDECAR_HOSTS_GPU1_PYTHON        hosts.gpu1.python (a name's other letters than A-Z, 0-9 as _)

Lists are separated by commas, tables written as in TOML. Variables beside these say where things
are (SIDECAR_STATE_DIR, …) or belong to somebody else, and are left aside; but a name that begins
like a group of ours and goes on like none is a typing error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from sidecar.config import layers
from sidecar.config.layers import Key, Layer
from sidecar.errors import ConfigError

PREFIX = "SIDECAR_"
_GROUPS = ("SYNC_", "HOSTS_")


def variables(environ: Mapping[str, str], hosts: Iterable[str]) -> Layer:
    """The settings that variables make.

    Args:
        hosts: names known from files, whose spelling a variable's upper-case name stands for.
    Raises:
        ConfigError: naming the variable.
    """
    known = {_upper(key): (key, hint) for key, hint in layers.fields()}
    spellings = {_shouted(host): host for host in hosts}
    layer: Layer = {}
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or not environ[variable]:
            continue  # set to nothing is not set, as for most programs
        name = variable[len(PREFIX) :]
        found = known.get(name) or _of_host(name, known, spellings)
        if found is None:
            if name.startswith(_GROUPS):
                raise _unknown(variable, known)
            continue
        key, hint = found
        value = _value(environ[variable], hint, variable)
        layer.update(layers.flatten(_nested(key, value), lambda _, said=variable: said))  # type: ignore[misc]
    return layer


def _of_host(
    name: str, known: Mapping[str, tuple[Key, Any]], spellings: Mapping[str, str]
) -> tuple[Key, Any] | None:
    for form, (key, hint) in known.items():
        if "*" not in key:
            continue
        before, behind = form.split("*")
        if name.startswith(before) and name.endswith(behind) and len(name) > len(form) - 1:
            shouted = name[len(before) : -len(behind)]
            host = spellings.get(shouted, shouted.lower())
            return tuple(host if part == "*" else part for part in key), hint
    return None


def _value(text: str, hint: Any, variable: str) -> Any:
    """A variable is text; what its setting is decides how it is read."""
    expected, _ = layers.expectation(hint)
    stripped = text.strip()
    if stripped.startswith(("[", "{")):
        return layers.parse(f"value = {stripped}", variable)["value"]
    if expected.startswith("a list"):
        return [part.strip() for part in text.split(",") if part.strip()]
    if hint is bool and stripped.lower() in ("1", "true", "yes", "on"):
        return True
    if hint is bool and stripped.lower() in ("0", "false", "no", "off"):
        return False
    return text


def _unknown(variable: str, known: Iterable[str]) -> ConfigError:
    near = layers.nearest(variable[len(PREFIX) :], [name for name in known if "*" not in name])
    return ConfigError(
        f"The variable {variable} names no setting",
        "expected SIDECAR_SYNC_<SETTING> or SIDECAR_HOSTS_<NAME>_<SETTING>",
        f"write {PREFIX}{near}, if that is what was meant" if near else "unset it",
        code="config-key",
    )


def _upper(key: Key) -> str:
    return "_".join("*" if part == "*" else _shouted(part) for part in key)


def _shouted(name: str) -> str:
    return re.sub(r"[^A-Z0-9]", "_", name.upper())


def _nested(key: Key, value: Any) -> dict[str, Any]:
    for part in reversed(key):
        value = {part: value}
    return dict(value)
