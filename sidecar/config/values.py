"""What a setting may be: parsers from a TOML value to ours, each with its expectation in words."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from typing import NamedTuple

from sidecar.config import forwards


class Form(NamedTuple):
    """Annotates a field. `parse` returns the value or raises ValueError, whose text (if any)
    says more than `expected`, which completes "expected …"."""

    parse: Callable[[object], object]
    expected: str


_UNITS = {"": 1, "B": 1}
_UNITS.update({f"{letter}B": 1000**power for power, letter in enumerate("KMGT", 1)})
_UNITS.update({f"{letter}IB": 1024**power for power, letter in enumerate("KMGT", 1)})
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)")

_SECONDS = {"": 1, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)")

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _size(value: object) -> object:
    if type(value) is int and value >= 0:
        return value
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or match[2].upper() not in _UNITS:
        raise ValueError
    return int(float(match[1]) * _UNITS[match[2].upper()])


def _duration(value: object) -> object:
    if type(value) in (int, float) and value >= 0:  # type: ignore[operator]
        return float(value)  # type: ignore[arg-type]
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or match[2] not in _SECONDS:
        raise ValueError
    return float(match[1]) * _SECONDS[match[2]]


def _text(value: object) -> str:
    if not isinstance(value, str) or any(ord(letter) < 32 or letter == "\x7f" for letter in value):
        raise ValueError
    return value


def _command(value: object) -> str:
    text = _text(value)
    shlex.split(text)  # its ValueError says what is wrong with the quotes
    return text


def _destination(value: object) -> object:
    text = _text(value)
    if text.startswith("-"):
        raise ValueError("a destination never begins with '-': ssh would read it as an option")
    if text != text.strip() or " " in text:
        raise ValueError
    return text


def _remote_path(value: object) -> object:
    text = _text(value)
    if text and not text.startswith(("/", "~", "$")):
        raise ValueError
    return text


def _script(value: object) -> object:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError
    return value


def _forward(value: object) -> object:
    text = str(value) if type(value) is int else value
    if not isinstance(text, str):
        raise ValueError
    forwards.parse(text)
    return text


def _forwards(value: object) -> object:
    if not isinstance(value, list):
        raise ValueError
    return [_forward(one) for one in value]


def _environment(value: object) -> object:
    if isinstance(value, dict):
        for name, text in value.items():
            if not _VARIABLE.fullmatch(name):
                raise ValueError(f"{name!r} is no variable's name")
            if not isinstance(text, str):
                raise ValueError(f"{name} is not in quotes")
            if "\0" in text:
                raise ValueError(f"{name} holds a NUL")
    elif isinstance(value, list):
        for name in value:
            if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
                raise ValueError(f"{name!r} is no variable's name")
    else:
        raise ValueError
    return value


def host_name(value: object) -> object:
    if not isinstance(value, str) or (value and not _NAME.fullmatch(value)):
        raise ValueError
    return value


def _lines(value: object) -> object:
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise ValueError
    for one in value:
        if "\0" in one or "\n" in one:
            raise ValueError("a pattern is one line")
    return value


SIZE = Form(_size, 'a size such as "100 MB", or a number of bytes')
DURATION = Form(_duration, 'a time such as "10 min", or a number of seconds')
TEXT = Form(_text, "a text in quotes, on one line")
COMMAND = Form(_command, 'a command in quotes, on one line, such as "srun --gres=gpu:1"')
DESTINATION = Form(
    _destination, 'what you would type after `ssh`, such as "gpu1" or "ssh://me@host:2222"'
)
REMOTE_PATH = Form(_remote_path, 'a path there that begins with "/", "~" or "$"')
SCRIPT = Form(_script, "shell lines in quotes")
FORWARDS = Form(_forwards, 'a list of ports, or of texts such as "9000:127.0.0.1:9001"')
ENVIRONMENT = Form(
    _environment, 'a table of texts such as { OMP_NUM_THREADS = "8" }, or a list of names'
)
HOST_NAME = Form(host_name, "a name of letters, digits, '.', '_' and '-'")
PATTERNS = Form(_lines, 'a list of patterns such as ["data/", "*.ckpt"]')
