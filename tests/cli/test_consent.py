"""A run where the remote does not have what is here, as a person at a shell meets it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.cli.person import TerminalSession
from tests.hub.laptop import Laptop
from tests.servers.box import Box

SHOW = "print(open('a.txt').read().strip(), open('b.txt').read().strip())\n"


@pytest.fixture
def there(embedded: Box) -> Path:
    return embedded.home / "model"


@pytest.fixture
def met(nearby: Laptop) -> Laptop:
    """Both sides are the same, and a client keeps the hub from ending between two commands."""
    nearby.write("show.py", SHOW)
    nearby.write("a.txt", "mine\n")
    nearby.write("b.txt", "mine\n")
    done = nearby.sidecar("sync")
    assert done.returncode == 0, done.stderr
    nearby.serve()
    return nearby


def records(laptop: Laptop) -> list[dict[str, Any]]:
    listed = laptop.sidecar("jobs", "--json")
    assert listed.returncode == 0, listed.stderr
    return list(json.loads(listed.stdout))


def asked(laptop: Laptop, answer: str, *arguments: str) -> tuple[int, str]:
    """A run on a terminal, the question that it asks answered by the option of that name."""
    person = TerminalSession(laptop, "run", *(arguments or ("show.py",)))
    person.expect("not as ")
    person.expect("Choose")
    number = next(
        number for number in "123456" if f"{number}  {answer}" in person.seen.replace("\r", "")
    )
    person.type(f"{number}\n")
    status = person.wait()
    return status, person.text


def test_where_nobody_can_be_asked_the_run_is_refused_and_every_way_out_is_named(
    met: Laptop, there: Path
) -> None:
    (there / "a.txt").write_text("theirs, longer\n")
    done = met.sidecar("run", "show.py")
    assert (done.returncode, done.stdout) == (125, "")
    for words in ("a.txt", "changed on the remote", "--keep local", "--keep remote", "--as-is"):
        assert words in done.stderr
    assert records(met) == []
    assert met.sidecar("run", "--as-is", "show.py").stdout == "theirs, longer mine\n"
    (job,) = records(met)
    assert job["as_is"] is True
    assert job["tree"] == ""


def test_a_file_that_was_only_touched_there_is_no_question(met: Laptop, there: Path) -> None:
    (there / "a.txt").touch()
    done = met.sidecar("run", "show.py")
    assert (done.returncode, done.stdout) == (0, "mine mine\n"), done.stderr


@pytest.mark.parametrize(
    ("answer", "output", "here", "remote"),
    [
        ("Push mine", "mine mine", "mine", "mine"),
        ("Take theirs", "theirs mine", "theirs", "theirs"),
        ("Leave it to the remote", "theirs mine", "mine", "theirs"),
        ("Run what is there", "theirs mine", "mine", "theirs"),
    ],
)
def test_on_a_terminal_the_person_chooses(
    met: Laptop, there: Path, answer: str, output: str, here: str, remote: str
) -> None:
    (there / "a.txt").write_text("theirs\n")
    status, text = asked(met, answer)
    assert status == 0, text
    assert output in text
    assert (met.project / "a.txt").read_text() == f"{here}\n"
    assert (there / "a.txt").read_text() == f"{remote}\n"
    (job,) = records(met)
    assert job["as_is"] is (answer == "Run what is there")
    if answer == "Run what is there":
        assert job["differing"] == ["a.txt"]
        assert met.sidecar("run", "show.py").returncode == 125
    else:
        assert met.sidecar("run", "show.py").stdout == f"{output}\n"


def test_a_conflict_is_asked_about_like_any_difference(met: Laptop, there: Path) -> None:
    (there / "a.txt").write_text("theirs\n")
    met.write("a.txt", "edited here too\n")
    status, text = asked(met, "Leave it to the remote")
    assert status == 0, text
    assert "theirs mine" in text
    # Neither edit is lost, and nobody is asked again before one is decided for.
    assert met.sidecar("run", "show.py").stdout == "theirs mine\n"
    assert (met.project / "a.txt").read_text() == "edited here too\n"
    assert met.sidecar("conflicts").returncode == 1
    done = met.sidecar("resolve", "a.txt", "--keep", "local")
    assert done.returncode == 0, done.stderr
    assert met.sidecar("run", "show.py").stdout == "edited here too mine\n"
    (there / "a.txt").write_text("theirs again\n")  # ours again, so it is asked about
    assert met.sidecar("run", "show.py").returncode == 125


@pytest.mark.parametrize("how", ["Cancel", "Ctrl-C"])
def test_a_question_can_be_left_and_nothing_starts(met: Laptop, there: Path, how: str) -> None:
    (there / "a.txt").write_text("theirs\n")
    if how == "Cancel":
        status, text = asked(met, "Cancel")
        assert status == 125
        assert "Nothing was started" in text
    else:
        person = TerminalSession(met, "run", "show.py")
        person.expect("Choose", "\x03")
        assert person.wait() == 130
    assert records(met) == []
    assert (there / "a.txt").read_text() == "theirs\n"


def test_what_a_job_of_ours_wrote_is_offered_for_pull(met: Laptop, there: Path) -> None:
    met.write("log.csv", "step,loss\n")
    met.write("train.py", "open('log.csv', 'a').write('1,0.5\\n')\n")
    assert met.sidecar("run", "train.py").returncode == 0
    done = met.sidecar("run", "train.py")
    assert done.returncode == 125
    (job,) = records(met)
    assert f"written while your job {job['id']} ran" in done.stderr
    assert "sync.pull" in done.stderr
    status, text = asked(met, "Take theirs, also from now on (pull)", "train.py")
    assert status == 0, text
    assert 'pull = ["/log.csv"]' in (met.project / "sidecar.local.toml").read_text()
    assert "1,0.5\n" in (met.project / "log.csv").read_text()
    assert met.sidecar("run", "train.py").returncode == 0
    assert (there / "log.csv").read_text() == "step,loss\n" + "1,0.5\n" * 3


def test_a_run_after_a_change_that_cannot_be_sent_is_refused(met: Laptop, there: Path) -> None:
    (there / "folder").mkdir()
    (there / "folder" / "theirs.txt").write_text("only there\n")
    met.write("folder", "a file here\n")
    done = met.sidecar("run", "show.py")
    assert done.returncode == 125
    assert "folder" in done.stderr
    assert "--as-is" in done.stderr


LARGE = 6 << 20
"""Bytes; half a minute of a line with this pace, which is longer than anybody is asked behind."""
PACE = 200_000


@pytest.mark.timeout(180)  # the line is slow on purpose
def test_a_run_need_not_wait_for_a_large_file_that_somebody_names(
    met: Laptop, embedded: Box, there: Path
) -> None:
    met.write(
        "look.py", "import os\nprint('large' if os.path.exists('big.bin') else 'without it')\n"
    )
    assert met.sidecar("sync").returncode == 0
    keeper = met.start("sync", "--watch")
    assert keeper.stderr is not None
    while b"watching" not in keeper.stderr.readline():
        pass
    embedded.line.pace = PACE
    (met.project / "big.bin").write_bytes(os.urandom(LARGE))
    person = TerminalSession(met, "run", "look.py")
    person.expect("The run waits for big.bin")
    person.expect("Choose", "1\n")
    person.expect("without it")
    assert person.wait() == 0
    embedded.line.pace = 0
    (job,) = records(met)
    assert job["without"] == ["big.bin"]
    assert met.sidecar("run", "look.py").stdout == "large\n"
    assert records(met)[0]["tree"] != job["tree"]


@pytest.mark.timeout(180)
def test_the_question_about_a_large_file_goes_when_it_has_arrived(
    met: Laptop, embedded: Box
) -> None:
    met.write("look.py", "import os\nprint(os.path.getsize('big.bin'))\n")
    assert met.sidecar("sync").returncode == 0
    keeper = met.start("sync", "--watch")
    assert keeper.stderr is not None
    while b"watching" not in keeper.stderr.readline():
        pass
    embedded.line.pace = PACE
    (met.project / "big.bin").write_bytes(os.urandom(LARGE))
    person = TerminalSession(met, "run", "look.py")
    person.expect("The run waits for big.bin")
    person.expect("Choose")
    embedded.line.pace = 0
    person.expect("not needed any more")
    person.expect(str(LARGE))
    assert person.wait() == 0
    assert records(met)[0]["without"] == []
