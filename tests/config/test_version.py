"""Comparisons of `required-version`."""

from __future__ import annotations

import pytest

from sidecar.config.version import satisfies


@pytest.mark.parametrize(
    ("version", "required", "holds"),
    [
        ("0.1.0", "", True),
        ("0.1.0", ">=0.1", True),
        ("0.1.0", ">0.1", False),
        ("0.1.0", "==0.1", True),
        ("0.10.0", ">=0.9", True),
        ("1.4.2", ">=1, <2", True),
        ("2.0", ">=1,<2", False),
        ("1.4.2", "~=1.4", True),
        ("1.5.2", "~=1.4.1", False),
        ("1.4.0", "~=1.4.1", False),
        ("1.4", "!=1.4.0", False),
        ("1.4.dev3", "<=1.4", True),
    ],
)
def test_a_version_is_among_the_required_ones_or_not(
    version: str, required: str, holds: bool
) -> None:
    assert satisfies(version, required) is holds


@pytest.mark.parametrize("required", ["1.0", "new", ">=1,", ">=1.x", "=1"])
def test_what_is_no_comparison_is_an_error(required: str) -> None:
    with pytest.raises(ValueError):
        satisfies("1.0", required)
