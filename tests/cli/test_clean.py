"""`sidecar clean`: what is kept on a host is listed, then removed; nothing else is touched."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from sidecar.config import places
from tests.cli.person import TerminalSession
from tests.hub.laptop import Laptop
from tests.servers.box import Box


@pytest.fixture
def there(nearby: Laptop, embedded: Box) -> Path:
    """The project's folder there, after two runs and a save over what was sent."""
    nearby.write("main.py", "print('first')\n")
    nearby.write("slow.py", "import time\nprint('begun', flush=True)\ntime.sleep(300)\n")
    assert nearby.sidecar("run", "main.py").returncode == 0
    assert nearby.sidecar("run", "--frozen", "main.py").returncode == 0
    nearby.write("main.py", "print('second')\n")
    assert nearby.sidecar("sync").returncode == 0
    return embedded.home / "model"


def kept(laptop: Laptop, *options: str) -> dict[str, dict[str, object]]:
    """What would go, and what stays, by kind."""
    done = laptop.sidecar("clean", "-n", "--json", *options)
    assert done.returncode == 0, done.stderr
    return {one["kind"]: one for one in json.loads(done.stdout)["kept"]}


def ours_at(home: Path) -> list[str]:
    """All that is ours on the remote machine, but for folders."""
    tops = (home / ".local/state/sidecar", home / "model/.sidecar")
    return [str(one) for top in tops for one in top.rglob("*") if not one.is_dir()]


def test_all_goes_but_running_jobs_and_the_next_sync_is_silent(
    nearby: Laptop, embedded: Box, there: Path
) -> None:
    assert nearby.sidecar("run", "-d", "--frozen", "slow.py").returncode == 0
    done = nearby.sidecar("clean", "--yes")
    assert done.returncode == 0, done.stderr
    assert "records and logs of 2 jobs" in done.stdout
    assert "what syncs replaced or removed there (`sidecar undo`): maybe the only" in done.stdout
    assert "it runs: `sidecar stop " in done.stderr
    (job,) = json.loads(nearby.sidecar("jobs", "--json").stdout)
    assert job["state"] == "running"
    left = ours_at(embedded.home)
    assert all(f"/jobs/{job['id']}/" in one or "/frozen/" in one for one in left), left
    assert [one.name for one in sorted(there.iterdir())] == [".sidecar", "main.py", "slow.py"]

    synced = nearby.sidecar("sync")
    assert synced.returncode == 0, synced.stderr
    assert "0 sent, 0 removed" in synced.stderr
    assert nearby.sidecar("stop").returncode == 0
    assert nearby.sidecar("clean", "box", "--yes").returncode == 0
    assert ours_at(embedded.home) == []
    assert not (there / ".sidecar").exists()
    assert (there / "main.py").read_text() == "print('second')\n"
    assert list((places.state_dir() / "projects").iterdir()) == []


def test_without_a_terminal_nothing_goes_unasked(nearby: Laptop, there: Path) -> None:
    done = nearby.sidecar("clean")
    assert done.returncode == 125
    assert "`--yes`" in done.stderr
    assert set(kept(nearby)) == {"job", "trash", "frozen", "folder", "state"}
    assert nearby.sidecar("clean", "elsewhere", "-n").returncode == 1


def test_a_person_is_told_of_the_only_copies_before_they_say_yes(
    nearby: Laptop, there: Path
) -> None:
    for answer, status, stays in (("2\n", 1, True), ("1\n", 0, False)):
        person = TerminalSession(nearby, "clean")
        person.expect("WHAT")
        person.expect("These may hold the only copy of what somebody wrote:")
        person.expect(f"{there}/.sidecar/trash on box (1 file)")
        person.expect("1  Remove it")
        person.expect("Choose 1-2", answer)
        assert person.wait() == status, person.text
        assert (there / ".sidecar/trash").exists() is stays


def test_it_works_when_the_folder_there_is_gone(nearby: Laptop, embedded: Box, there: Path) -> None:
    shutil.rmtree(there)
    done = nearby.sidecar("clean", "--yes")
    assert done.returncode == 0, done.stderr
    assert f"box has no {there}" in done.stderr
    assert ours_at(embedded.home) == []
    assert nearby.sidecar("run", "main.py").stdout == "second\n"


def test_what_another_laptop_started_stays_without_all(
    nearby: Laptop, embedded: Box, there: Path
) -> None:
    """Its jobs, the cache that it uses, too, and a folder that it keeps in step."""
    (mine, *_) = (embedded.home / ".local/state/sidecar").glob("*/jobs/*/record.json")
    record = json.loads(mine.read_text())
    record["notes"].update(laptop="0123456789abcdef", owner="ada@thinkpad")
    mine.write_text(json.dumps(record))
    cache = mine.parents[2] / "cache/debugpy-1"
    cache.mkdir(parents=True)
    (cache / "one.py").write_text("1\n")
    marker = there / ".sidecar/marker.json"
    state = json.loads(marker.read_text())
    marker.write_text(json.dumps({**state, "owner": "ada@thinkpad:/model", "marker": "other"}))
    for note in (there / ".sidecar/frozen").glob("*.jobs/*"):
        os.utime(note, (0, 0))  # a job is given a minute to begin
    found = kept(nearby)
    assert "ada@thinkpad:/model keeps that folder in step" in str(found["trash"]["stays"])
    assert "others on this account use it" in str(found["cache"]["stays"])
    assert nearby.sidecar("clean", "--yes").returncode == 0
    assert mine.exists()
    assert cache.exists()
    assert marker.exists()
    assert len(list(mine.parents[1].iterdir())) == 1
    assert nearby.sidecar("clean", "--yes", "--all").returncode == 0
    assert ours_at(embedded.home) == []
