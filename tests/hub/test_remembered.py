from __future__ import annotations

import stat
from pathlib import Path

from sidecar.config import places
from sidecar.hub.remembered import MOST_FILES, Arguments


def test_a_file_is_run_again_as_it_was_run_last(isolated: Path) -> None:
    known = Arguments(isolated)
    assert known.recall("a.py", []) == []
    assert known.recall("a.py", ["--lr", "1"]) == ["--lr", "1"]
    assert Arguments(isolated).recall("a.py", []) == ["--lr", "1"]
    assert known.recall("b.py", []) == []
    assert known.recall("a.py", ["--", "--lr", "2"]) == ["--lr", "2"]
    assert known.of("a.py") == ["--lr", "2"]
    assert known.recall("a.py", ["--"]) == []
    assert known.of("a.py") == []


def test_only_so_many_are_kept_and_for_the_person_alone(isolated: Path) -> None:
    known = Arguments(isolated)
    for number in range(MOST_FILES + 1):
        known.keep(f"{number}.py", ["x"])
    assert known.of("0.py") == []
    assert known.of("1.py") == ["x"]
    known.keep("1.py", ["x" * 10_000])
    assert known.of("1.py") == []
    (file,) = (places.state_dir() / "arguments").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_what_cannot_be_read_is_as_if_nothing_was_remembered(isolated: Path) -> None:
    known = Arguments(isolated)
    known.keep("a.py", ["x"])
    (file,) = (places.state_dir() / "arguments").iterdir()
    file.write_bytes(b"{half")
    assert known.of("a.py") == []
