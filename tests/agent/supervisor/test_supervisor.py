"""The supervisor as a process: what it survives, whom it lets in, what it leaves."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.agent import machine
from sidecar.agent.supervisor import control, records, supervisor
from sidecar.core import frames
from sidecar.core import messages as m
from tests.agent.desk import Desk, until


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.close()


@pytest.mark.parametrize("name", ["SIGHUP", "SIGINT", "SIGQUIT", "SIGPIPE"])
def test_what_a_closing_connection_sends_is_survived(desk: Desk, name: str) -> None:
    job = desk.shell("echo ready; read x; echo $x")
    desk.sent.wait_output(job, b"ready\n")
    os.kill(desk.record(job).supervisor.pid, getattr(signal, name))
    desk.jobs.handle(m.Input(job, 0, False, b"on\n"))
    desk.sent.wait_output(job, b"on\n")
    assert desk.sent.exited(job).status == 0


def test_term_is_meant_for_the_job(desk: Desk) -> None:
    job = desk.shell("trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done")
    desk.sent.wait_output(job, b"ready\n")
    os.kill(desk.record(job).supervisor.pid, signal.SIGTERM)
    assert desk.sent.exited(job).status == 9


def test_it_belongs_to_nobody_and_holds_nothing(desk: Desk) -> None:
    job = desk.shell("exec sleep 60", env={"TOKEN": "very-secret"})
    pid = desk.record(job).supervisor.pid
    assert os.getsid(pid) not in (os.getsid(0), os.getsid(desk.record(job).process.pid))
    proc = Path(f"/proc/{pid}")
    command = (proc / "cmdline").read_bytes()
    assert b"sidecar-supervisor\0" + job.encode() in command
    assert b"very-secret" not in command
    assert b"sleep" not in command
    assert os.readlink(proc / "cwd") == "/"
    standard = [proc / "fd" / str(number) for number in range(3)]
    until(lambda: {os.readlink(path) for path in standard} == {"/dev/null"}, "the pipes let go")
    assert pid not in machine.descendants(os.getpid())


def test_a_job_has_three_descriptors_and_no_more(desk: Desk) -> None:
    job = desk.shell("ls /proc/$$/fd")
    desk.sent.exited(job)
    assert set(desk.sent.output(job).split()) <= {b"0", b"1", b"2", b"10", b"255"}


def test_nothing_is_left_when_a_job_is_over(desk: Desk) -> None:
    job = desk.shell("true")
    desk.sent.exited(job)
    record = desk.record(job)
    until(lambda: not record.supervisor.alive(), "the supervisor's end")
    assert not os.path.lexists(record.socket)
    assert sorted(os.listdir(desk.folder(job))) == ["about.json", "log", "record.json"]


def test_it_ends_although_somebody_removed_the_jobs_folder(desk: Desk) -> None:
    job = desk.shell("read x")
    record = desk.record(job)
    shutil.rmtree(desk.folder(job))
    os.kill(record.process.pid, signal.SIGKILL)
    until(lambda: not record.supervisor.alive(), "the supervisor's end")


def test_who_talks_nonsense_is_dropped_and_the_job_goes_on(desk: Desk) -> None:
    job = desk.shell("read x; echo $x")
    record = desk.record(job)
    nonsense = [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff" * 100,
        control.encode("input", "many", []),
        control.encode("watch"),
        frames.encode(frames.Frame(0, b"{}", b"")),
        control.encode("input", 0, False, body=bytes(900_000))
        + control.encode("input", 900_000, False, body=bytes(900_000)),
    ]
    for words in nonsense:
        with control.connect(record.socket, 5.0) as connection:
            connection.settimeout(30.0)
            connection.sendall(words)
            try:
                while connection.recv(65536):
                    pass
            except ConnectionResetError:
                pass
    with control.connect(record.socket, 5.0) as connection:
        connection.sendall(control.encode("a-word-of-a-later-version", 1))
        connection.sendall(control.encode("resize", 10, 10))
    assert record.supervisor.alive()
    os.kill(record.process.pid, signal.SIGKILL)
    assert desk.sent.exited(job).status == -9


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A disk of 1 MiB, not below the folders that pytest clears away."""
    folder = Path(tempfile.mkdtemp(prefix="sidecar-disk-"))
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "none", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        folder.rmdir()
        pytest.skip("only on systems where the tests may mount")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)
    folder.rmdir()


def test_a_full_disk_slows_the_job_and_loses_nothing(small_disk: Path) -> None:
    desk = Desk(small_disk)
    try:
        filler = small_disk / "filler"
        job = desk.shell("read x; seq 100000; echo end >&2")
        desk.sent.wait(lambda all_: m.Taken(job, 0) in all_)
        filler.write_bytes(bytes(700_000))
        desk.jobs.handle(m.Input(job, 0, False, b"\n"))
        desk.sent.wait(lambda _: len(desk.sent.output(job)) > 100_000)
        until(lambda: shutil.disk_usage(small_disk).free < 70_000, "a full disk")
        assert (desk.folder(job) / "log").stat().st_size < 400_000
        said = desk.sent.wait(lambda all_: [one for one in all_ if type(one) is m.Stuck])
        assert said == [m.Stuck(job, "No space left on device")]
        filler.unlink()
        desk.sent.wait(lambda all_: m.Stuck(job, "") in all_)
        assert desk.sent.exited(job).status == 0
        assert desk.sent.output(job) == b"".join(b"%d\n" % n for n in range(1, 100001))
        assert desk.sent.output(job, 2) == b"end\n"
    finally:
        desk.close()


def test_a_socket_that_was_cleared_away_ends_nothing(desk: Desk) -> None:
    job = desk.shell("echo a; read x; echo b")
    desk.sent.wait_output(job, b"a\n")
    os.unlink(desk.record(job).socket)
    desk.jobs.handle(m.Input(job, 0, False, b"\n"))  # this agent is connected already
    desk.sent.exited(job)
    assert desk.sent.output(job) == b"a\nb\n"


def test_without_a_socket_the_output_is_still_followed(desk: Desk) -> None:
    job = desk.shell("echo a; sleep 0.5; echo b")
    desk.sent.wait_output(job, b"a\n")
    os.unlink(desk.record(job).socket)
    desk.again()
    desk.ask(lambda id_: m.Tail(id_, job, 0))
    assert desk.sent.exited(job).status == 0
    assert desk.sent.output(job) == b"a\nb\n"


def test_the_folder_for_sockets_is_made_for_us_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    folder = control.runtime_folder({"XDG_RUNTIME_DIR": str(tmp_path)})
    assert folder == str(tmp_path / "sidecar")
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700


def test_a_socket_folder_that_others_can_open_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / "sidecar").mkdir(mode=0o755)
    with pytest.raises(control.ControlError, match="open to others"):
        control.runtime_folder({"XDG_RUNTIME_DIR": str(tmp_path)})


def test_a_socket_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "sidecar").symlink_to(tmp_path / "real")
    with pytest.raises(control.ControlError, match="not a folder"):
        control.runtime_folder({"XDG_RUNTIME_DIR": str(tmp_path)})


def test_a_socket_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only on accounts that may give folders away")
    tmp_path.chmod(0o700)
    (tmp_path / "sidecar").mkdir(mode=0o700)
    os.chown(tmp_path / "sidecar", 12345, 12345)
    with pytest.raises(control.ControlError, match="belongs to user 12345"):
        control.runtime_folder({"XDG_RUNTIME_DIR": str(tmp_path)})
    with pytest.raises(control.ControlError):
        control.connect(str(tmp_path / "sidecar" / "x.sock"), 1.0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give folders away")
def test_nobody_keeps_others_from_having_jobs_by_a_folder_of_their_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "SHARED", str(tmp_path))
    first = control.runtime_folder({})
    os.chown(first, 65534, 65534)
    second = control.runtime_folder({})
    assert second == first + "-1" == control.runtime_folder({})
    assert stat.S_IMODE(os.stat(second).st_mode) == 0o700
    for number in range(1, control.NAMES):
        Path(f"{first}-{number}").mkdir(0o755, exist_ok=True)
        os.chown(f"{first}-{number}", 65534, 65534)
    with pytest.raises(control.ControlError, match="have it removed"):
        control.runtime_folder({})


def test_a_runtime_folder_of_somebody_else_is_not_used(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    folder = control.runtime_folder({"XDG_RUNTIME_DIR": str(tmp_path)})
    assert folder == f"/tmp/sidecar-{os.geteuid()}"


def test_a_socket_path_that_is_too_long_is_refused() -> None:
    with pytest.raises(control.ControlError, match="too long"):
        control.socket_path("/" + "x" * 90, "0123456789abcdef.sock")


def test_a_socket_that_was_cleared_away_is_made_again(tmp_path: Path) -> None:
    spec = supervisor.Spec(
        job="j", folder=str(tmp_path / "jobs" / "j"), socket=f"{tmp_path.name}.sock",
        argv=["sleep", "60"], env=dict(os.environ), variables=[], cwd="/", rows=0, columns=0,
        notes={},
    )  # fmt: skip
    (tmp_path / "jobs").mkdir()
    # The same program, looking more often.
    program = (
        "import sys; from sidecar.agent.supervisor import supervisor; supervisor.LOOK = 0.05; "
        "supervisor.main(sys.argv[1])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, json.dumps(spec._asdict())], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    with process.stdout:
        assert "pid" in json.loads(process.stdout.readline())
    try:
        path = records.read(spec.folder).socket
        for _ in range(2):
            os.unlink(path)
            until(lambda: os.path.lexists(path), "another socket")
            with control.connect(path, 5.0) as connection:
                connection.settimeout(30.0)
                assert b"hello" in connection.recv(4096)
    finally:
        os.kill(records.read(spec.folder).process.pid, signal.SIGKILL)
        assert process.wait(30) == 0
    assert records.read(spec.folder).status == -9
