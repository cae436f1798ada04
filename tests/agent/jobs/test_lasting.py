"""Whether jobs outlive the login session. There is no logind where the tests run: its words are."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sidecar.agent.jobs import lasting
from sidecar.agent.jobs.lasting import Facts, judge
from sidecar.agent.supervisor import detach
from tests.agent.desk import Desk, m, until

V2 = "0::/user.slice/user-1000.slice/session-3.scope\n"
V1 = "12:pids:/user.slice\n1:name=systemd:/user.slice/user-1000.slice/session-c2.scope\n0::/\n"
KILLS = "[Login]\n#KillUserProcesses=no\nKillUserProcesses = yes\n"


def facts(**changes: object) -> Facts:
    return Facts("ada", V2, KILLS, False, "/run/user/1000")._replace(**changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("cgroup", [V1, V2])
def test_who_does_not_linger_is_told_what_helps(cgroup: str) -> None:
    found = judge(facts(cgroup=cgroup))
    assert found.before == []
    assert "KillUserProcesses" in found.warning
    assert "loginctl enable-linger" in found.warning


def test_who_lingers_has_jobs_in_a_scope_of_their_own() -> None:
    found = judge(facts(lingers=True))
    assert found.before[:2] == ["env", "XDG_RUNTIME_DIR=/run/user/1000"]
    assert found.before[2:5] == ["systemd-run", "--user", "--scope"]
    assert found.warning == ""
    assert "cannot be reached" in judge(facts(lingers=True, runtime="")).warning


@pytest.mark.parametrize(
    "changes",
    [
        {"settings": ""},
        {"settings": "[Login]\nKillUserProcesses=no\n"},
        {"settings": "[Login]\n# KillUserProcesses=yes\n"},
        {"settings": KILLS + "\nKillUserProcesses=no\n"},  # logind's own word, behind its files
        {"settings": KILLS + "KillExcludeUsers=root ada\n"},
        {"settings": KILLS + "KillOnlyUsers=bob\n"},
        {"settings": KILLS, "user": "root"},
        {"cgroup": "0::/\n"},
        {"cgroup": "0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.scope\n"},
        {"cgroup": "0::/system.slice/sshd.service\n"},
        {"cgroup": "4:memory:/session-3.scope\n0::/\n"},
        {"cgroup": "nonsense"},
    ],
)
def test_elsewhere_nothing_is_done_and_nothing_said(changes: dict[str, str]) -> None:
    assert judge(facts(**changes)) == ([], "")


def test_only_some_users_may_be_meant() -> None:
    assert judge(facts(settings=KILLS + "KillOnlyUsers=bob ada\n")).warning


def test_on_this_machine_it_says_something_or_nothing() -> None:
    found = lasting.here()
    assert isinstance(found.before, list)
    assert not (found.before and found.warning)


def test_a_supervisor_starts_behind_that_command(tmp_path: Path) -> None:
    """`systemd-run --scope` becomes the command that it is given, as `env` does."""
    mark = tmp_path / "mark"
    before = ["sh", "-c", f'echo scope > {mark}; exec "$@"', "sh"]
    desk = Desk(tmp_path / "state")
    try:
        desk.jobs.lasting = lasting.Lasting(before, "this machine ends them")
        answer = desk.run(sys.executable, "-c", "print('here')")
        assert isinstance(answer, m.Started)
        assert answer.warning == "this machine ends them"
        assert desk.sent.exited(answer.job).status == 0
        assert desk.sent.output(answer.job) == b"here\n"
        assert mark.read_text() == "scope\n"
        record = desk.record(answer.job)
        until(lambda: not record.supervisor.alive(), "the supervisor's end")
    finally:
        desk.close()


def test_what_cannot_start_behind_it_says_so() -> None:
    with pytest.raises(detach.DetachError):
        detach.Supervisor("j", before=["/no/such/program"])
