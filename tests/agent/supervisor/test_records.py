from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from sidecar.agent import machine
from sidecar.agent.supervisor import records


def example(**changes: object) -> records.Record:
    itself = records.Process(os.getpid(), machine.start_time(os.getpid()))
    record = records.Record(
        id="j1",
        argv=["python", "x.py"],
        cwd="/r",
        variables=["TOKEN"],
        terminal=False,
        notes={"tree": "abc"},
        place=machine.here(),
        host="gpu1",
        user="me",
        started=1.5,
        supervisor=itself,
        process=itself,
        socket="/run/x.sock",
    )
    return record._replace(**changes)


def test_a_record_is_read_as_it_was_written_and_is_nobody_elses(tmp_path: Path) -> None:
    record = example(ended=2.5, status=-9, left=[records.Process(7, "11")])
    records.write(str(tmp_path), record)
    assert records.read(str(tmp_path)) == record
    assert stat.S_IMODE((tmp_path / "record.json").stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["record.json"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        '{"version": 2}',
        '{"version": 0}',
        '{"version": true}',
        '{"version": 1}',
        '{"version": 1, "place": {}, "supervisor": {}, "process": {}}',
    ],
)
def test_a_record_that_cannot_be_understood_is_an_error_and_no_guess(
    tmp_path: Path, content: str
) -> None:
    (tmp_path / "record.json").write_text(content)
    with pytest.raises(records.RecordError):
        records.read(str(tmp_path))


def test_a_record_of_the_version_before_is_read(tmp_path: Path) -> None:
    """As that version wrote it."""
    place = machine.here()._asdict()
    content = {
        "id": "j1", "argv": ["python", "x.py"], "cwd": "/r", "variables": ["TOKEN"],
        "terminal": False, "notes": {"tree": "abc"}, "place": place, "host": "gpu1", "user": "me",
        "started": 1.5, "supervisor": {"pid": 5, "start": "77"},
        "process": {"pid": 6, "start": "78"}, "socket": "/run/x.sock", "ended": 2.5, "status": 3,
        "why": "", "peak_rss": 9, "dropped": 0, "left": [7], "version": 1,
    }  # fmt: skip
    (tmp_path / "record.json").write_text(json.dumps(content))
    record = records.read(str(tmp_path))
    assert (record.status, record.peak_rss, record.notes) == (3, 9, {"tree": "abc"})
    assert record.left == [records.Process(7, "")]
    # Whether such a number still means that process is not known, so it counts as gone.
    assert not record.left[0].alive()


def test_a_record_of_a_later_version_is_told_as_that(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text(json.dumps({"version": records.VERSION + 1, "x": 1}))
    with pytest.raises(records.RecordNewer, match="version 3, and this sidecar reads up to 2"):
        records.read(str(tmp_path))


def test_a_field_of_a_later_minor_writer_is_an_error_of_ours_only(tmp_path: Path) -> None:
    records.write(str(tmp_path), example())
    content = json.loads((tmp_path / "record.json").read_text())
    content["surprise"] = 1
    (tmp_path / "record.json").write_text(json.dumps(content))
    with pytest.raises(records.RecordError, match="damaged"):
        records.read(str(tmp_path))


@pytest.mark.parametrize("job", ["", "../x", "a/b", "A", "-a", "a" * 65, "a\n", ".", "a\0"])
def test_an_id_that_names_no_folder_of_a_job_is_refused(job: str) -> None:
    with pytest.raises(records.RecordError):
        records.folder("/state", job)


def test_the_state_depends_on_machine_boot_and_start_time() -> None:
    here = machine.here()
    dead = records.Process(os.getpid(), "1")
    assert records.state(example(), here) == records.RUNNING
    assert records.state(example(ended=2.0), here) == records.EXITED
    assert records.state(example(supervisor=dead), here) == records.LOST
    assert records.state(example(place=here._replace(boot="x")), here) == records.LOST
    assert records.state(example(place=here._replace(machine="x")), here) == records.ELSEWHERE
    assert records.state(example(place=here._replace(pids="x")), here) == records.ELSEWHERE


def test_jobs_are_found_newest_first_and_nothing_else_is(tmp_path: Path) -> None:
    for number, name in enumerate(["a", "b", "c"]):
        folder = tmp_path / "jobs" / name
        folder.mkdir(parents=True)
        os.utime(folder, (number, number))
    (tmp_path / "jobs" / "file").write_text("")
    (tmp_path / "jobs" / "link").symlink_to(tmp_path)
    assert [os.path.basename(path) for path in records.newest([str(tmp_path)], 2)] == ["c", "b"]
    assert records.newest([str(tmp_path / "nowhere")], 2) == []


def test_machines_that_share_a_home_have_folders_beside_one_another(tmp_path: Path) -> None:
    own = tmp_path / os.uname().nodename
    for name in (own.name, "login1", "login2"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to("login1")
    expected = [str(own), str(tmp_path / "login1"), str(tmp_path / "login2")]
    assert records.states(str(own)) == expected
    # A folder that is not called after this machine is nobody's but ours.
    assert records.states(str(tmp_path / "elsewhere")) == [str(tmp_path / "elsewhere")]
