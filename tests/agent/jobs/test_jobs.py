from __future__ import annotations

import json
import os
import random
import signal
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.agent import machine
from sidecar.agent.supervisor import joblog, readers
from sidecar.core import messages as m
from tests.agent.desk import ClosedGate, Desk, until


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.close()


def test_stdout_and_stderr_come_apart_and_then_the_exit_status(desk: Desk) -> None:
    job = desk.shell("echo out; echo err >&2; exit 3")
    exited = desk.sent.exited(job)
    assert (exited.status, exited.why) == (3, "")
    assert exited.end == desk.sent.parts(job)[-1].end
    assert desk.sent.output(job, 1) == b"out\n"
    assert desk.sent.output(job, 2) == b"err\n"


@pytest.mark.parametrize("status", [0, 1, 2, 255])
def test_the_exit_status_is_the_programs(desk: Desk, status: int) -> None:
    assert desk.sent.exited(desk.shell(f"exit {status}")).status == status


@pytest.mark.parametrize("number", [2, 9, 11, 15])
def test_an_end_by_a_signal_is_told_as_minus_its_number(desk: Desk, number: int) -> None:
    assert desk.sent.exited(desk.shell(f"kill -{number} $$")).status == -number


def test_fifty_megabytes_of_binary_output_arrive_as_they_were_written(desk: Desk) -> None:
    program = (
        "import sys, hashlib, random\n"
        "block = random.Random(7).randbytes(1 << 20)\n"
        "for _ in range(50): sys.stdout.buffer.write(block)\n"
    )
    answer = desk.run(sys.executable, "-c", program)
    desk.sent.exited(answer.job)
    assert desk.sent.output(answer.job) == random.Random(7).randbytes(1 << 20) * 50
    assert max(len(part.body) for part in desk.sent.parts(answer.job)) <= 32 * 1024


def test_parts_follow_one_another_by_their_offsets(desk: Desk) -> None:
    job = desk.shell("for i in 1 2 3 4 5; do echo out $i; echo err $i >&2; done")
    desk.sent.exited(job)
    end = 0
    for part in desk.sent.parts(job):
        assert part.offset == end
        end = part.end


def test_stdin_is_binary_safe_and_ends_where_it_was_ended(desk: Desk) -> None:
    job = desk.shell("cat")
    desk.sent.wait(lambda all_: m.Taken(job, 0) in all_)
    data = bytes(range(256)) * 64
    desk.jobs.handle(m.Input(job, 0, False, data))
    desk.jobs.handle(m.Input(job, len(data), True, b"end"))
    assert desk.sent.exited(job).status == 0
    assert desk.sent.output(job) == data + b"end"
    desk.sent.wait(lambda all_: m.Taken(job, len(data) + 3) in all_)


def test_input_that_comes_twice_is_typed_once(desk: Desk) -> None:
    job = desk.shell("cat")
    desk.sent.wait(lambda all_: m.Taken(job, 0) in all_)
    desk.jobs.handle(m.Input(job, 0, False, b"abc"))
    desk.jobs.handle(m.Input(job, 0, False, b"abc"))
    desk.jobs.handle(m.Input(job, 1, False, b"bcde"))
    desk.jobs.handle(m.Input(job, 9, False, b"a gap: not taken"))
    desk.jobs.handle(m.Input(job, 5, True, b""))
    desk.sent.exited(job)
    assert desk.sent.output(job) == b"abcde"


def test_input_for_a_program_that_does_not_read_does_not_hold_up_a_signal(desk: Desk) -> None:
    job = desk.shell("echo ready; exec sleep 60")
    desk.sent.wait_output(job, b"ready")
    desk.jobs.handle(m.Input(job, 0, False, bytes(m.INPUT_WINDOW)))
    desk.jobs.handle(m.Input(job, m.INPUT_WINDOW, False, bytes(m.INPUT_WINDOW)))
    assert desk.ask(lambda id_: m.Signal(id_, job, "INT")) == m.Done(desk._id)
    assert desk.sent.exited(job).status == -2


def test_a_terminal_has_the_size_that_was_asked_for_and_follows_resizes(desk: Desk) -> None:
    script = "stty size; tty >/dev/null && echo tty; read line; stty size; echo got $line"
    job = desk.shell(script, rows=33, columns=101)
    desk.sent.wait_output(job, b"33 101\r\ntty\r\n")
    desk.jobs.handle(m.Resize(job, 44, 120))
    desk.jobs.handle(m.Input(job, 0, False, b"hello\n"))
    desk.sent.exited(job)
    assert b"44 120\r\ngot hello\r\n" in desk.sent.output(job)


def test_ctrl_c_typed_into_a_terminal_interrupts_the_program(desk: Desk) -> None:
    job = desk.shell("echo ready; exec sleep 60", rows=24, columns=80)
    desk.sent.wait_output(job, b"ready")
    desk.jobs.handle(m.Input(job, 0, False, b"\x03"))
    assert desk.sent.exited(job).status == -2


def test_the_end_of_input_reaches_a_program_on_a_terminal_once(desk: Desk) -> None:
    job = desk.shell("stty -echo; echo ready; cat; echo over; cat; echo again", rows=24, columns=80)
    desk.sent.wait_output(job, b"ready")
    desk.jobs.handle(m.Input(job, 0, True, b"line\n"))
    desk.jobs.handle(m.Input(job, 0, True, b"line\n"))
    desk.sent.wait_output(job, b"line\r\nover\r\n")
    assert b"again" not in desk.sent.output(job)
    desk.ask(lambda id_: m.Signal(id_, job, "KILL"))
    desk.sent.exited(job)


def test_a_signal_reaches_the_whole_process_group(desk: Desk) -> None:
    job = desk.shell("sleep 60 & echo $!; wait")
    desk.sent.wait_output(job, b"\n")
    child = int(desk.sent.output(job))
    desk.ask(lambda id_: m.Signal(id_, job, "TERM"))
    assert desk.sent.exited(job).status == -15
    assert not _runs(child)


def test_kill_finds_a_child_that_left_the_group(desk: Desk) -> None:
    script = "setsid sh -c 'echo $$; exec sleep 60' & sleep 60"
    job = desk.shell(script)
    desk.sent.wait_output(job, b"\n")
    child = int(desk.sent.output(job))
    desk.ask(lambda id_: m.Signal(id_, job, "KILL"))
    desk.sent.exited(job)
    assert not _runs(child)


def test_a_job_that_is_over_cannot_be_signalled(desk: Desk) -> None:
    job = desk.shell("true")
    desk.sent.exited(job)
    assert desk.ask(lambda id_: m.Signal(id_, job, "TERM")).code == "over"


def test_an_unknown_signal_is_refused_in_words(desk: Desk) -> None:
    job = desk.shell("exec sleep 60")
    answer = desk.ask(lambda id_: m.Signal(id_, job, "NONSENSE"))
    assert answer.code == "not-signalled"
    assert "NONSENSE" in answer.why


def test_a_job_goes_on_under_the_next_agent_where_the_first_one_stopped(desk: Desk) -> None:
    script = "for i in 1 2 3; do echo line $i; read go; done"
    job = desk.shell(script)
    desk.sent.wait_output(job, b"line 1\n")
    desk.jobs.handle(m.Input(job, 0, False, b"\n"))
    desk.sent.wait_output(job, b"line 2\n")
    before = desk.sent.parts(job)
    desk.again()
    assert desk.ask(lambda id_: m.Tail(id_, job, before[-1].end)) == m.Done(desk._id)
    desk.sent.wait(lambda all_: m.Taken(job, 1) in all_)
    desk.jobs.handle(m.Input(job, 0, False, b"\n"))  # heard already
    desk.jobs.handle(m.Input(job, 1, False, b"\n\n"))
    assert desk.sent.exited(job).status == 0
    after = desk.sent.parts(job)
    whole = b"".join(part.body for part in [*before, *after])
    assert whole == b"line 1\nline 2\nline 3\n"
    assert after[0].offset == before[-1].end


def test_the_output_of_a_job_that_is_over_is_sent_again_from_any_part_on(desk: Desk) -> None:
    job = desk.shell("echo one; echo two >&2; echo three")
    desk.sent.exited(job)
    second = desk.sent.parts(job)[1]
    desk.again()
    desk.ask(lambda id_: m.Tail(id_, job, second.offset))
    assert desk.sent.exited(job).status == 0
    assert desk.sent.parts(job)[0].offset == second.offset
    desk.again()
    answer = desk.ask(lambda id_: m.Tail(id_, job, 1 << 40))
    assert answer.code == "no-such-output"


def test_a_run_that_is_sent_twice_starts_once(desk: Desk) -> None:
    first = desk.run("sh", "-c", "echo x; read line")
    again = desk.run("sh", "-c", "echo x; read line", job=first.job)
    assert again.pid == first.pid
    other = desk.run("sh", "-c", "echo something else", job=first.job)
    assert other.code == "exists"


def test_a_refused_run_leaves_nothing(tmp_path: Path) -> None:
    desk = Desk(tmp_path, ClosedGate)
    answer = desk.run("true")
    assert isinstance(answer, m.RunRefused)
    assert answer.why == "1 file differs there"
    assert not desk.folder(answer.job).exists()
    desk.close()


@pytest.mark.parametrize(
    ("argv", "fields", "code"),
    [
        (["no-such-program-at-all"], {}, "no-such-program"),
        (["./missing"], {}, "no-such-program"),
        (["./bad-interpreter"], {}, "no-such-interpreter"),
        (["./plain"], {}, "not-executable"),
        (["./empty"], {}, "not-executable"),
        (["true"], {"cwd": "nowhere"}, "no-such-folder"),
        (["true"], {"cwd": "../.."}, "no-such-folder"),
        (["true"], {"cwd": "/no/such/folder"}, "no-such-folder"),
        ([""], {}, "usage"),
        (["true", "a\0b"], {}, "start-failed"),
        (["true"], {"job": "../x"}, "no-such-job"),
    ],
)
def test_what_cannot_start_says_why_and_leaves_nothing(
    desk: Desk, argv: list[str], fields: dict[str, str], code: str
) -> None:
    for name, text, mode in [
        ("bad-interpreter", "#!/no/such/python\n", 0o755),
        ("plain", "#!/bin/sh\n", 0o644),
        ("empty", "\0\1\2", 0o755),
    ]:
        (desk.root / name).write_text(text)
        (desk.root / name).chmod(mode)
    if argv == ["./plain"] and os.geteuid() == 0:
        argv = ["./"]  # root may execute nothing either that has no executable bit, or a folder
    answer = desk.run(*argv, **fields)
    assert isinstance(answer, m.Fail)
    assert answer.code == code
    assert list((desk.state / "jobs").glob("*")) == []


def test_a_job_knows_which_code_it_runs(desk: Desk) -> None:
    record = {"tree": "abc", "commit": "12ef", "dirty": "3", "interpreter": "python"}
    script = "echo $SIDECAR_JOB $SIDECAR_TREE $SIDECAR_COMMIT $SIDECAR_DIRTY"
    job = desk.shell(script, record=record)
    desk.sent.exited(job)
    assert desk.sent.output(job) == b"%s abc 12ef 3\n" % job.encode()
    outside = desk.shell("env", record={"tree": "", "commit": ""})  # of git, and as it was there
    desk.sent.exited(outside)
    assert b"SIDECAR_TREE" not in desk.sent.output(outside)
    assert b"SIDECAR_COMMIT" not in desk.sent.output(outside)


def test_the_record_tells_names_of_variables_and_never_their_values(desk: Desk) -> None:
    job = desk.shell(
        "echo $TOKEN; echo $SIDECAR_JOB", env={"TOKEN": "very-secret"}, record={"tree": "abc"}
    )
    desk.sent.exited(job)
    assert desk.sent.output(job) == b"very-secret\n%s\n" % job.encode()
    text = (desk.folder(job) / "record.json").read_text()
    assert "very-secret" not in text
    record = desk.record(job)
    assert record.variables == ["TOKEN"]
    assert record.notes == {"tree": "abc"}
    assert record.ended is not None
    assert record.peak_rss > 0


def test_nobody_else_can_read_a_jobs_folder(desk: Desk) -> None:
    job = desk.shell("true")
    desk.sent.exited(job)
    for path in [desk.folder(job), desk.folder(job).parent]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    for path in desk.folder(job).iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_python_shows_its_output_at_once_unless_the_person_set_it_otherwise(desk: Desk) -> None:
    program = "import os; print(os.environ.get('PYTHONUNBUFFERED'))"
    for env, expected in [({}, b"1\n"), ({"PYTHONUNBUFFERED": ""}, b"\n")]:
        answer = desk.run(sys.executable, "-c", program, env=env)
        desk.sent.exited(answer.job)
        assert desk.sent.output(answer.job) == expected


def test_a_daemon_that_holds_the_output_does_not_hold_up_the_end(desk: Desk) -> None:
    job = desk.shell("setsid sleep 60 & echo $!")
    assert desk.sent.exited(job).status == 0
    record = desk.record(job)
    assert [one.pid for one in record.left] == [int(desk.sent.output(job))]
    assert record.supervisor.alive()
    os.kill(record.left[0].pid, 9)
    until(lambda: not record.supervisor.alive(), "the supervisor's end")


def test_jobs_are_listed_newest_first_with_their_states(desk: Desk) -> None:
    first = desk.shell("exit 4")
    desk.sent.exited(first)
    second = desk.shell("exec sleep 60")
    listed = json.loads(desk.ask(m.Jobs).body)
    assert [(one["id"], one["state"], one["status"]) for one in listed] == [
        (second, "running", None),
        (first, "exited", 4),
    ]


def test_a_job_of_another_boot_is_lost_and_never_signalled(desk: Desk) -> None:
    job = desk.shell("exec sleep 60")
    path = desk.folder(job) / "record.json"
    content = json.loads(path.read_text())
    content["place"]["boot"] = "another"
    path.write_text(json.dumps(content))
    desk.again()
    assert json.loads(desk.ask(m.Jobs).body)[0]["state"] == "lost"
    desk.ask(lambda id_: m.Tail(id_, job, 0))
    assert "gone" in desk.sent.exited(job).why
    assert isinstance(desk.ask(lambda id_: m.Signal(id_, job, "KILL")), m.Fail)
    assert desk.record(job).process.alive()


def test_a_job_of_another_machine_is_shown_but_never_signalled(desk: Desk) -> None:
    job = desk.shell("echo hi; exec sleep 60")
    desk.sent.wait_output(job, b"hi\n")
    path = desk.folder(job) / "record.json"
    content = json.loads(path.read_text())
    content["place"]["machine"], content["host"] = "another", "gpu7"
    path.write_text(json.dumps(content))
    desk.again()
    desk.ask(lambda id_: m.Tail(id_, job, 0))
    desk.sent.wait_output(job, b"hi\n")
    answer = desk.ask(lambda id_: m.Signal(id_, job, "KILL"))
    assert answer.code == "elsewhere"
    assert "gpu7" in answer.what
    assert desk.record(job).process.alive()


def test_a_job_whose_supervisor_was_killed_is_lost_and_said_so(desk: Desk) -> None:
    job = desk.shell("echo hi; exec sleep 60")
    desk.sent.wait_output(job, b"hi\n")
    record = desk.record(job)
    os.kill(record.supervisor.pid, 9)
    assert "nobody" in desk.sent.exited(job).why
    desk.ask(lambda id_: m.Signal(id_, job, "KILL"))
    until(lambda: not record.process.alive(), "the job's end")


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[tuple[Desk, Path]]:
    """A machine, and the state folder of another one that has the same home."""
    (tmp_path / "gpu7").mkdir(mode=0o700)
    desk = Desk(tmp_path / os.uname().nodename)
    yield desk, tmp_path / "gpu7"
    desk.close()


def _as_of_another_machine(desk: Desk, job: str, other: Path) -> Path:
    """The job's folder, as that machine would have made it."""
    (other / "jobs").mkdir(mode=0o700, exist_ok=True)
    moved = other / "jobs" / job
    desk.folder(job).rename(moved)
    content = json.loads((moved / "record.json").read_text())
    content["place"]["machine"], content["host"] = "gpu7/0123", "gpu7"
    (moved / "record.json").write_text(json.dumps(content))
    return moved


def test_a_job_of_another_machine_is_found_in_the_home_that_both_have(
    shared: tuple[Desk, Path],
) -> None:
    """Behind one name are two machines: the next connection leads to the other one."""
    desk, other = shared
    job = desk.shell("echo hi; read x; exec sleep 60")
    desk.sent.wait_output(job, b"hi\n")
    process = desk.record(job).process
    supervisor = desk.record(job).supervisor
    moved = _as_of_another_machine(desk, job, other)
    desk.again()
    (listed,) = json.loads(desk.ask(m.Jobs).body)
    assert (listed["id"], listed["state"], listed["host"]) == (job, "elsewhere", "gpu7")
    desk.ask(lambda id_: m.Tail(id_, job, 0))
    desk.sent.wait_output(job, b"hi\n")
    for name in ("INT", "KILL"):
        answer = desk.ask(lambda id_, name=name: m.Signal(id_, job, name))
        assert (answer.code, "gpu7" in answer.what) == ("elsewhere", True)
        assert "gpu7" in answer.fix
    assert process.alive()
    # Its end is read from the shared file, too.
    content = json.loads((moved / "record.json").read_text())
    content.update(ended=1.0, status=4)
    (moved / "new").write_text(json.dumps(content))
    (moved / "new").rename(moved / "record.json")
    assert desk.sent.exited(job).status == 4
    assert isinstance(desk.ask(lambda id_: m.Signal(id_, job, "KILL")), m.Fail)
    assert process.alive()
    os.kill(process.pid, signal.SIGKILL)
    until(lambda: not supervisor.alive(), "the supervisor's end")


def test_the_folder_of_somebody_else_beside_ours_is_not_believed(
    shared: tuple[Desk, Path],
) -> None:
    desk, other = shared
    job = desk.shell("true")
    desk.sent.exited(job)
    supervisor = desk.record(job).supervisor
    until(lambda: not supervisor.alive(), "the supervisor's end")
    _as_of_another_machine(desk, job, other)
    if os.geteuid() != 0:
        pytest.skip("only root makes folders of somebody else")
    os.chown(other, 12345, 12345)
    assert json.loads(desk.ask(m.Jobs).body) == []


def test_a_job_that_a_later_version_keeps_is_listed_as_that(desk: Desk) -> None:
    folder = desk.state / "jobs" / "j-later"
    folder.mkdir(parents=True, mode=0o700)
    (folder / "record.json").write_text('{"version": 3}')
    (listed,) = json.loads(desk.ask(m.Jobs).body)
    assert (listed["id"], listed["state"]) == ("j-later", "newer")
    assert "version 3" in listed["why"]
    answer = desk.ask(lambda id_: m.Tail(id_, "j-later", 0))
    assert "version 3" in answer.why
    answer = desk.ask(lambda id_: m.Signal(id_, "j-later", "KILL"))
    assert "version 3" in answer.why


def test_a_daemon_is_found_by_its_environment_when_its_supervisor_is_gone(desk: Desk) -> None:
    job = desk.shell("(setsid sleep 60 >/dev/null 2>&1 & echo $!)")
    assert desk.sent.exited(job).status == 0
    pid = int(desk.sent.output(job))
    supervisor = desk.record(job).supervisor
    until(lambda: not supervisor.alive(), "the supervisor's end")
    (listed,) = json.loads(desk.ask(m.Jobs).body)
    assert listed["left"] == [pid]
    assert isinstance(desk.ask(lambda id_: m.Signal(id_, job, "TERM")), m.Done)
    until(lambda: not _runs(pid), "the daemon's end")
    assert desk.ask(lambda id_: m.Signal(id_, job, "TERM")).code == "over"


def _runs(pid: int) -> bool:
    return bool(machine.start_time(pid))


def test_a_job_waits_for_a_reader_that_falls_behind_and_ctrl_c_acts_at_once(desk: Desk) -> None:
    desk.reads = False
    job = desk.shell("exec yes", rows=24, columns=80)
    until(lambda: joblog.size(str(desk.folder(job))) > readers.AT_ONCE, "output ahead")
    desk.jobs.handle(m.Input(job, 0, False, b"\x03"))
    assert desk.sent.exited(job).status == -signal.SIGINT
    # It was held a little behind that, however quick the machine is: a pipe's or terminal's worth.
    assert joblog.size(str(desk.folder(job))) < 2 * readers.AT_ONCE


def test_a_full_log_waits_for_the_reader_and_loses_nothing_of_what_it_has_yet_to_see(
    desk: Desk,
) -> None:
    """The reader stands still, and comes back: it has all. Nobody else reads any more then, and
    the middle goes."""
    desk.reads = False
    lines = b"".join(b"%07d\n" % number for number in range(500_000))
    job = desk.shell("read x; seq -f %07.0f 0 499999; read y", log_max=joblog.LEAST)
    desk.jobs.handle(m.Hold(job, 0))
    desk.reads = True
    desk.jobs.handle(m.Input(job, 0, False, b"\n"))
    desk.sent.wait(lambda _: len(desk.sent.output(job)) >= len(lines))
    assert desk.sent.output(job) == lines
    assert desk.sent.output(job, 2) == b""
    desk.jobs.handle(m.Input(job, 1, False, b"\n"))
    assert desk.sent.exited(job).status == 0
    assert desk.record(job).dropped > 0
    # Who comes later sees the beginning, a mark, and the end.
    desk.again()
    desk.ask(lambda id_: m.Tail(id_, job, 0))
    desk.sent.exited(job)
    assert b"bytes of output are not here" in desk.sent.output(job, 2)
    kept = desk.sent.output(job)
    assert len(kept) + desk.record(job).dropped == len(lines)
    assert kept.startswith(lines[:100_000])
    assert kept.endswith(lines[-300_000:])


def test_a_reader_that_stands_still_at_a_full_log_stops_the_job_until_it_goes(desk: Desk) -> None:
    desk.reads = False
    job = desk.shell("read x; seq -f %07.0f 0 499999", log_max=joblog.LEAST)
    desk.jobs.handle(m.Untail(job))  # looks away, and wants the rest nevertheless
    desk.jobs.handle(m.Hold(job, 0))
    desk.jobs.handle(m.Input(job, 0, False, b"\n"))
    until(lambda: joblog.size(str(desk.folder(job))) > joblog.LEAST // 2, "a full log")
    assert desk.record(job).ended is None
    desk.jobs.handle(m.Hold(job, -1))
    until(lambda: desk.record(job).ended is not None, "the job's end")
    assert desk.record(job).status == 0
    assert desk.record(job).dropped > 0
