"""When the repository there is looked after."""

from __future__ import annotations

import pytest

from sidecar.git.beat import AGAIN, MOST, QUIET, Beat


def test_one_commit_is_followed_once_a_moment_after_its_last_file() -> None:
    beat = Beat()
    assert beat.wait(0.0) is None
    for now in (1.0, 1.004, 1.01):
        beat.stirred(now)
    assert beat.wait(1.01) == pytest.approx(QUIET)
    beat.begins()
    assert beat.wait(2.0) is None


def test_what_never_stops_is_followed_now_and_then() -> None:
    beat, followed = Beat(), 0
    for step in range(200):
        now = step * 0.01
        if beat.wait(now) == 0:
            beat.begins()
            followed += 1
        beat.stirred(now)
    assert followed == int(2.0 / MOST) - 1


def test_what_waits_is_tried_again_ever_more_slowly_until_something_stirs() -> None:
    beat = Beat()
    pauses = []
    for _ in range(len(AGAIN) + 1):
        beat.begins()
        beat.waits(0.0)
        pauses.append(beat.wait(0.0))
    assert pauses == [*AGAIN, AGAIN[-1]]
    beat.stirred(0.0)
    assert beat.wait(0.0) == QUIET
    beat.begins()
    beat.waits(0.0)
    assert beat.wait(0.0) == AGAIN[0]
