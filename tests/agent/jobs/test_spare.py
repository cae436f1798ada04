"""The supervisor that waits for a job: one at most, and it ends with the agent, or unused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.agent import machine
from sidecar.agent.jobs import spare
from sidecar.agent.jobs.spare import Spare
from sidecar.agent.supervisor import detach, title
from sidecar.core import messages as m
from tests.agent.desk import Desk, until

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="elsewhere there is no spare one"
)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spare, "LATER", 0.0)


@pytest.fixture
def waiting(at_once: None) -> Iterator[Spare]:
    made = Spare()
    made.prepare()
    until(lambda: made._waiting is not None, "a spare supervisor")
    yield made
    made.close()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.close()


def of(desk: Desk) -> int:
    """The process id of the one that waits there."""
    until(lambda: desk.jobs._spare._waiting is not None, "a spare supervisor")
    assert desk.jobs._spare._waiting is not None
    return pid_of(desk.jobs._spare._waiting._process.pid)


def pid_of(session: int) -> int:
    """The process in the session that the one between has begun."""
    found: list[int] = []

    def look() -> bool:
        found[:] = [pid for pid in processes() if pid != session and sid(pid) == session]
        return bool(found) and not machine.start_time(session)

    until(look, "a spare supervisor")
    return found[0]


def processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def sid(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return -1


def command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def test_the_next_job_gets_the_one_that_waits_and_ps_says_which_job_it_is(
    desk: Desk, at_once: None
) -> None:
    desk.sent.exited(desk.shell("true"))
    waits = of(desk)
    job = desk.shell("echo ready; read x; exit 3", env={"TOKEN": "very-secret"})
    desk.sent.wait_output(job, b"ready\n")
    assert desk.record(job).supervisor.pid == waits
    assert b"sidecar-supervisor\0" + job.encode() + b"\0" in command(waits)
    assert title.ROOM not in command(waits)
    assert b"very-secret" not in command(waits)
    desk.jobs.handle(m.Input(job, 0, False, b"\n"))
    assert desk.sent.exited(job).status == 3


def test_one_that_was_killed_meanwhile_costs_the_next_run_nothing(
    desk: Desk, at_once: None
) -> None:
    desk.sent.exited(desk.shell("true"))
    waits = of(desk)
    os.kill(waits, signal.SIGKILL)
    until(lambda: not machine.start_time(waits), "its end")
    job = desk.shell("exit 4")
    assert desk.sent.exited(job).status == 4
    assert desk.record(job).supervisor.pid != waits


def test_it_ends_when_the_agent_lets_go(desk: Desk, at_once: None) -> None:
    desk.sent.exited(desk.shell("true"))
    waits = of(desk)
    desk.jobs.close()
    until(lambda: not machine.start_time(waits), "its end")


def test_it_ends_when_the_agent_is_killed() -> None:
    code = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        "from sidecar.agent.supervisor import detach\n"
        "waiting = detach.Supervisor()\n"
        "print(waiting._process.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    agent = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert agent.stdout is not None
    with agent:
        waits = pid_of(int(agent.stdout.readline()))
        agent.kill()
    until(lambda: not machine.start_time(waits), "its end")


def test_who_runs_nothing_for_long_has_none(
    waiting: Spare, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spare, "KEPT", 0.0)
    waiting.prepare()
    until(lambda: waiting._waiting is None, "it was let go of")
    assert waiting.take() is None


def test_there_is_one_at_most(at_once: None) -> None:
    made: list[detach.Supervisor] = []

    def make() -> detach.Supervisor:
        made.append(detach.Supervisor())
        return made[-1]

    one = Spare(make)
    for _ in range(3):
        one.prepare()
    until(lambda: one._waiting is not None, "a spare supervisor")
    one._fill()
    assert len(made) == 1
    taken = one.take()
    assert taken is made[0]
    assert one.take() is None
    taken.dismiss()
    one.close()


def test_nothing_is_written_where_the_command_line_has_no_room_for_it() -> None:
    before = Path("/proc/self/cmdline").read_bytes()
    assert not title.show("0101-000000-abcdef")
    assert Path("/proc/self/cmdline").read_bytes() == before
