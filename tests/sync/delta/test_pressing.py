"""How hard to press: by the round trip at first, then by what is waited for."""

from __future__ import annotations

import pytest

from sidecar.sync.delta.pressing import ENOUGH, FAST, LEVELS, Pressing

SLOW = 5e6


@pytest.mark.parametrize(("round_trip", "level"), [(0.0002, 0), (0.02, 1), (0.08, 5)])
def test_the_first_guess_goes_by_the_round_trip(round_trip: float, level: int) -> None:
    assert Pressing(round_trip).level == level


def test_a_slow_line_is_worth_more_work() -> None:
    pressing = Pressing(0.0002)
    levels = []
    for _ in range(5):
        pressing.sent(ENOUGH, ENOUGH, SLOW)
        levels.append(pressing.level)
    assert levels == [1, 1, 1, 1, 1]


def test_where_nobody_waits_less_work_is_worth_it() -> None:
    pressing = Pressing(0.08)
    levels = []
    for _ in range(5):
        pressing.sent(0, ENOUGH, SLOW)
        levels.append(pressing.level)
    assert levels == [1, 1, 1, 1, 1]


def test_on_a_fast_line_nothing_is_pressed_whatever_is_waited_for() -> None:
    pressing = Pressing(0.02)
    for _ in range(5):
        pressing.sent(ENOUGH, ENOUGH, FAST)
    assert pressing.level == 0


def test_where_both_are_waited_for_nothing_is_changed() -> None:
    pressing = Pressing(0.02)
    for _ in range(5):
        pressing.sent(0.3 * ENOUGH, ENOUGH, SLOW)
    assert pressing.level == 1


def test_a_moment_says_nothing() -> None:
    pressing = Pressing(0.08)
    pressing.sent(0, ENOUGH / 3, SLOW)
    assert pressing.level == 5


def test_every_level_is_one_of_zlib() -> None:
    assert set(LEVELS) <= set(range(10))
