"""`required-version`: a comma-separated list of comparisons, all of which must hold."""

from __future__ import annotations

import operator
import re

_ONE = re.compile(r"\s*(>=|<=|==|!=|~=|>|<)\s*(\d+(?:\.\d+)*)\s*")
_COMPARE = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}


def satisfies(version: str, required: str) -> bool:
    """Whether `version` is among those that `required` names; "" names all.

    Raises:
        ValueError: `required` is no such list.
    """
    if not required.strip():
        return True
    return all(_holds(_numbers(version), one) for one in required.split(","))


def _holds(version: list[int], requirement: str) -> bool:
    match = _ONE.fullmatch(requirement)
    if match is None:
        raise ValueError(requirement.strip())
    wanted = _numbers(match[2])
    if match[1] == "~=":  # at least this one, with the same numbers before the last
        fixed = max(1, len(wanted) - 1)
        return _padded(version, wanted)[0] >= wanted and version[:fixed] == wanted[:fixed]
    return bool(_COMPARE[match[1]](*_padded(version, wanted)))


def _numbers(version: str) -> list[int]:
    """The release part: what follows the numbers (".dev1", "rc1") does not count."""
    match = re.match(r"\d+(?:\.\d+)*", version)
    return [int(part) for part in match[0].split(".")] if match else [0]


def _padded(one: list[int], other: list[int]) -> tuple[list[int], list[int]]:
    length = max(len(one), len(other))
    return one + [0] * (length - len(one)), other + [0] * (length - len(other))
