from __future__ import annotations

import io

import msgspec
import pytest

from sidecar import api
from sidecar.cli import progress
from sidecar.cli.progress import Progress


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def health(state: str, queued: int = 0) -> api.Health:
    return api.Health(project="/p", host="gpu1", state=state, text="sending", queued=queued)  # type: ignore[arg-type]


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PATIENCE", 0)
    monkeypatch.setattr(progress, "EVERY", 0)
    monkeypatch.setenv("TERM", "xterm")


def test_a_long_sync_says_how_far_it_is_and_leaves_no_line_behind(at_once: None) -> None:
    screen = Screen()
    shown = Progress(screen)
    shown.take(health("syncing", 200))
    shown.take(health("syncing", 50))
    assert screen.getvalue().endswith("\r\x1b[Kgpu1: sending (150 of 200)")
    shown.take(health("ready"))
    assert screen.getvalue().endswith("\r\x1b[K")


def test_a_large_file_shows_how_much_of_it_is_there(at_once: None) -> None:
    screen = Screen()
    sending = msgspec.structs.replace(
        health("syncing", 1), transfers=[api.Transfer(path="a.bin", done=50, total=200)]
    )
    Progress(screen).take(sending)
    assert screen.getvalue().endswith("[#####...............] gpu1: sending")


def test_what_is_over_in_a_moment_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    screen = Screen()
    shown = Progress(screen)
    shown.take(health("syncing", 200))
    shown.clear()
    assert screen.getvalue() == ""


def test_nothing_is_shown_where_nobody_looks(at_once: None) -> None:
    screen = io.StringIO()
    Progress(screen).take(health("syncing", 200))
    assert screen.getvalue() == ""


def test_a_job_that_runs_has_the_screen_for_itself(at_once: None) -> None:
    screen = Screen()
    shown = Progress(screen)
    shown.end()
    shown.take(health("syncing", 200))
    assert screen.getvalue() == ""
