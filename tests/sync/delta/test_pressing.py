"""How hard to press: by the round trip at first, then by what is waited for."""

from __future__ import annotations

import pytest

from sidecar.sync.delta.pressing import ENOUGH, LEVELS, Pressing


@pytest.mark.parametrize(("round_trip", "level"), [(0.0002, 0), (0.02, 3), (0.08, 6)])
def test_the_first_guess_goes_by_the_round_trip(round_trip: float, level: int) -> None:
    assert Pressing(round_trip).level == level


def test_a_slow_line_is_worth_more_work() -> None:
    pressing = Pressing(0.0002)
    levels = []
    for _ in range(5):
        pressing.sent(ENOUGH, ENOUGH)
        levels.append(pressing.level)
    assert levels == [1, 3, 3, 3, 3]


def test_a_fast_line_is_worth_less() -> None:
    pressing = Pressing(0.08)
    levels = []
    for _ in range(5):
        pressing.sent(0, ENOUGH)
        levels.append(pressing.level)
    assert levels == [3, 1, 0, 0, 0]


def test_where_both_are_waited_for_nothing_is_changed() -> None:
    pressing = Pressing(0.02)
    for _ in range(5):
        pressing.sent(0.3 * ENOUGH, ENOUGH)
    assert pressing.level == 3


def test_a_moment_says_nothing() -> None:
    pressing = Pressing(0.08)
    pressing.sent(0, ENOUGH / 3)
    assert pressing.level == 6


def test_every_level_is_one_of_zlib() -> None:
    assert set(LEVELS) <= set(range(10))
