"""What is told of jobs that outlive a session, and what becomes of them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from sidecar import api
from sidecar.hub.leftovers import age, sentence, still_running

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=timezone.utc)


def job(**fields: Any) -> api.Job:
    days = fields.pop("days", 0.0)
    started = (NOW - timedelta(days=days)).isoformat(timespec="seconds")
    given = {"id": "j", "host": "gpu1", "command": "x", "state": "running", "started": started}
    return api.Job(**{**given, **fields})


def test_what_runs_is_told_with_the_age_of_the_oldest_and_all_gpus() -> None:
    running = [job(days=0.1, gpus=[1]), job(days=3.2, gpus=[0, 1])]
    told = sentence(running, "gpu1", NOW)
    assert told == "2 jobs still running on gpu1, oldest 3 d, GPUs 0,1"
    assert sentence(running[:1], "gpu1", NOW) == "1 job still running on gpu1, for 2 h, GPU 1"
    assert sentence([job(days=1)], "gpu1", NOW) == "1 job still running on gpu1, for 1 d"
    assert sentence([], "gpu1", NOW) == ""
    assert sentence([job(started="")], "gpu1", NOW) == "1 job still running on gpu1"


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(-1, "0 s"), (59, "59 s"), (60, "1 min"), (3599, "59 min"), (7200, "2 h"), (1e6, "11 d")],
)
def test_an_age_is_told_in_its_largest_unit(seconds: float, told: str) -> None:
    assert age(seconds) == told


def test_only_what_this_laptop_started_and_nobody_looks_at_is_told() -> None:
    found = [
        job(id="seen"),
        job(id="other", mine=False),
        job(id="over", state="exited"),
        job(id="lost", state="lost"),
        job(id="away", elsewhere=True),
        job(id="left"),
    ]
    assert [one.id for one in still_running(found, {"seen"})] == ["away", "left"]
