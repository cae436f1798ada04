"""One layer of settings: a flat map from whole keys to checked values, with the place of each.

A layer is read leaf by leaf along the Structs of model.py, so that an error can name the very key,
and layers can be merged key by key. Lists and `env` are leaves: a later layer replaces them whole.
"""

from __future__ import annotations

import difflib
import functools
import json
import re
import sys
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from sidecar.config import lines, values
from sidecar.config.model import Config, Host
from sidecar.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Key = tuple[str, ...]

LARGEST_FILE = 256 << 10
"""Bytes; a configuration file beyond this is some other file by that name."""

MOST_PARTS = 32
"""Parts of a key, `a.b.c`: the parser's time grows with their square, and 20,000 of them, one line
of a cloned pyproject.toml, keep it busy for seconds."""

_NO_KEYS = re.compile(
    r""""{3}(?:\\.|[^\\])*?(?:"{3}|\Z)|'{3}.*?(?:'{3}|\Z)"""
    r"""|"(?:\\.|[^"\\\n])*"?|'[^'\n]*'?|\#[^\n]*""",
    re.DOTALL,
)
"""Strings and comments, also such as never end. No place is looked at twice."""


class Setting(NamedTuple):
    """A value, already of its field's type, and where it comes from, for people."""

    value: Any
    origin: str


Layer = dict[Key, Setting]
"""Each host's table is in it by a key of its own, `("hosts", name)`, with an empty value."""

_ANY = values.Form(lambda value: value, "a table")


def dotted(key: Sequence[str]) -> str:
    """The key as one would write it; parts with dots or other letters in quotes."""
    return ".".join(part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else quoted(part) for part in key)


def quoted(text: str) -> str:
    """The text as TOML, safe to show: what a stranger's file holds must not reach a terminal as
    control characters, nor turn the direction of what stands beside it."""
    return "".join(
        letter if letter.isprintable() else f"\\U{ord(letter):08x}"
        for letter in json.dumps(text, ensure_ascii=False)
    )


def read_file(path: Path, shown: str, table: Key = ()) -> Layer | None:
    """The settings in a TOML file, below `table` in it.

    Args:
        shown: how messages call the file.
    Returns:
        None where there is no such file or table.
    Raises:
        ConfigError: it cannot be read, is no TOML, or holds what no setting may be.
    """
    text = read_text(path, shown)
    if text is None:
        return None
    found: Any = parse(text, shown)
    for part in table:
        if part not in found:
            return None
        found = found[part]
        if not isinstance(found, dict):
            raise ConfigError(
                f"{shown}: {dotted(table)} is no table", "", f"write [{dotted(table)}]"
            )

    def place(key: Key) -> str:
        number = lines.line_of(text, table + key)
        return f"{shown}:{number}" if number else shown

    return flatten(found, place)


def read_text(path: Path, shown: str) -> str | None:
    """The text of a configuration file; None where there is none."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ConfigError(
                f"{shown} cannot be read", f"it is larger than {LARGEST_FILE >> 10} KiB",
                "move aside what is no configuration of the sidecar",
            )  # fmt: skip
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{shown} is not in UTF-8", f"byte {error.start} is wrong", "save it as UTF-8"
        ) from None
    except OSError as error:
        raise ConfigError(
            f"{shown} cannot be read", error.strerror or str(error), f"see to {path}"
        ) from None


def parse(text: str, shown: str) -> dict[str, Any]:
    """The text as TOML.

    Raises:
        ConfigError: with file and line.
    """
    longest = max(
        (part.count(".") for part in re.split(r"[\n=,\[\]{}]", _NO_KEYS.sub("s", text))), default=0
    )
    try:
        if longest >= MOST_PARTS:
            raise ValueError(f"a key of more than {MOST_PARTS} parts")
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = re.fullmatch(r"(.*) \(at (?:line (\d+), column \d+|end of document)\)", str(error))
        why = match[1] if match else str(error)
        number = int(match[2]) if match and match[2] else len(text.splitlines())
        place = f"{shown}:{number}"
        raise ConfigError(
            f"{place}: this is no TOML", why, "mend this line", code="config-syntax"
        ) from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"{shown} cannot be read as a configuration",
            str(error) if isinstance(error, ValueError) else "it is nested too deeply",
            "write it more simply",
            code="config-syntax",
        ) from None


def flatten(table: Mapping[str, Any], place: typing.Callable[[Key], str]) -> Layer:
    """The settings of a decoded table.

    Args:
        place: tells where a key stands, for messages and origins.
    Raises:
        ConfigError: naming place, key, expectation and the nearest name.
    """
    layer: Layer = {}
    for key, hint, value in _leaves(Config, table, (), place):
        layer[key] = Setting(_checked(key, hint, value, place), place(key))
    return layer


def build(layer: Layer) -> Config:
    """The Structs with these values; every value was checked when its layer was read."""
    tree: dict[str, Any] = {}
    for key, setting in layer.items():
        node = tree
        for part in key[:-1]:
            node = node.setdefault(part, {})
        if is_host(key):
            node.setdefault(key[-1], {})
        else:
            node[key[-1]] = setting.value
    return msgspec.convert(tree, Config)


def is_host(key: Key) -> bool:
    """Whether the key is a host's table, not a setting."""
    return len(key) == 2 and key[0] == "hosts"


def hosts(layer: Layer) -> set[str]:
    """Names of the hosts that the layer has a table for."""
    return {key[1] for key in layer if is_host(key)}


def fields() -> Iterator[tuple[Key, Any]]:
    """Every setting's key and annotation; a host's name stands as "*"."""
    yield from _fields(Config, ())


def _fields(struct: type[msgspec.Struct], prefix: Key) -> Iterator[tuple[Key, Any]]:
    for name, hint in _hints(struct).items():
        if hint == dict[str, Host]:
            yield from _fields(Host, (*prefix, name, "*"))
        elif _is_struct(hint):
            yield from _fields(hint, (*prefix, name))
        else:
            yield (*prefix, name), hint


def _leaves(
    struct: type[msgspec.Struct],
    table: Mapping[str, Any],
    prefix: Key,
    place: typing.Callable[[Key], str],
) -> Iterator[tuple[Key, Any, Any]]:
    known = _hints(struct)
    for name, value in table.items():
        key = (*prefix, name)
        if name not in known:
            raise _unknown(key, known, place)
        hint = known[name]
        if hint == dict[str, Host]:
            for host, settings in _table(value, key, place).items():
                _checked((*key, host), Annotated[str, values.HOST_NAME], host or " ", place)
                # The table itself is a leaf too: a host may be known by its name alone.
                yield (*key, host), Annotated[dict[str, Any], _ANY], {}
                yield from _leaves(Host, _table(settings, (*key, host), place), (*key, host), place)
        elif _is_struct(hint):
            yield from _leaves(hint, _table(value, key, place), key, place)
        else:
            yield key, hint, value


@functools.cache
def _hints(struct: type[msgspec.Struct]) -> dict[str, Any]:
    hints = typing.get_type_hints(struct, include_extras=True)
    return {field.encode_name: hints[field.name] for field in msgspec.structs.fields(struct)}


def _is_struct(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, msgspec.Struct)


def _table(value: Any, key: Key, place: typing.Callable[[Key], str]) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(
            f"{place(key)}: {dotted(key)} is {_shown(value)}",
            f"expected a table, [{dotted(key)}]",
            "write it as one",
            code="config-value",
        )
    return value


def _unknown(key: Key, known: Mapping[str, Any], place: typing.Callable[[Key], str]) -> ConfigError:
    near = nearest(key[-1], known)
    return ConfigError(
        f"{place(key)}: there is no setting {dotted(key)}",
        f"expected one of {', '.join(sorted(known))}",
        f"write {near!r}, if that is what was meant" if near else "remove it",
        code="config-key",
    )


def nearest(name: str, known: typing.Iterable[str]) -> str:
    """The known name that was probably meant; "" where none is near."""
    forms = {one.replace("-", "_").lower(): one for one in known}
    near = difflib.get_close_matches(name.replace("-", "_").lower(), forms, 1, 0.6)
    return forms[near[0]] if near else ""


def _checked(key: Key, hint: Any, value: Any, place: typing.Callable[[Key], str]) -> Any:
    form = next(
        (one for one in getattr(hint, "__metadata__", ()) if isinstance(one, values.Form)), None
    )
    reason, near = "", ""
    try:
        if form is not None:
            return form.parse(value)
        return msgspec.convert(value, hint)
    except ValueError as error:  # msgspec's ValidationError is one
        expected, choices = expectation(hint)
        if form is not None and str(error):
            reason = f"; {error}"
        if isinstance(value, str):
            near = nearest(value, choices)
    raise ConfigError(
        f"{place(key)}: {dotted(key)} is {_shown(value)}",
        f"expected {expected}{reason}",
        f"write {quoted(near)}, if that is what was meant" if near else "change its value",
        code="config-value",
    )


def expectation(hint: Any) -> tuple[str, tuple[str, ...]]:
    """What a setting may be, in words; and the values there are, where they can be counted."""
    for one in getattr(hint, "__metadata__", ()):
        if isinstance(one, values.Form):
            return one.expected, ()
    if typing.get_origin(hint) is Literal:
        choices = tuple(choice for choice in typing.get_args(hint) if choice)
        return " or ".join(json.dumps(choice) for choice in choices), choices
    if hint is bool:
        return "true or false", ()
    raise AssertionError(f"no words for a setting of type {hint!r}")


def _shown(value: Any) -> str:
    if isinstance(value, str):
        text = quoted(value)
    elif isinstance(value, dict):
        text = "a table"
    elif isinstance(value, list):
        text = f"[{', '.join(_shown(one) for one in value)}]"
    else:
        text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= 80 else text[:77] + "…"
