from __future__ import annotations

import errno
import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from sidecar.core.identity import Identity
from sidecar.sync.disk import trash as trash_module
from sidecar.sync.disk.local_files import Changed, lookup
from sidecar.sync.disk.trash import LocalTrash, TooLarge

PULL = "replaced by a pull"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.fixture
def trash(tmp_path: Path) -> LocalTrash:
    return LocalTrash(tmp_path / "trash")


def at(root: Path, path: str) -> Identity:
    found = lookup(root, path)
    assert found is not None
    return found


def old(trash: LocalTrash, seconds: float) -> None:
    """What is in the trash was kept so long before."""
    for file in trash.folder.iterdir():
        micro, _, rest = file.name.partition("-")
        file.rename(file.with_name(f"{int(micro) - int(seconds * 1e6):017d}-{rest}"))


def test_what_is_kept_is_listed_newest_first_with_its_path_and_why(
    root: Path, trash: LocalTrash
) -> None:
    (root / "pkg").mkdir()
    (root / "pkg/a.py").write_text("one")
    first = trash.keep(root, "pkg/a.py", at(root, "pkg/a.py"), PULL)
    (root / "pkg/a.py").unlink()
    (root / "pkg/a.py").write_text("two!")
    trash.keep(root, "pkg/a.py", at(root, "pkg/a.py"), "replaced by undo")
    found = LocalTrash(trash.folder).entries()
    assert [(one.path, one.why, one.file.read_text()) for one in found] == [
        ("pkg/a.py", "replaced by undo", "two!"),
        ("pkg/a.py", PULL, "one"),
    ]
    assert found[1]._replace(identity=first.identity) == first
    assert len({one.id for one in found}) == 2
    assert abs(found[0].when - time.time()) < 60


def test_a_copy_costs_no_space_and_takes_what_is_still_written_into_the_old_file(
    root: Path, trash: LocalTrash
) -> None:
    with (root / "log").open("w") as writer:
        writer.write("one\n")
        writer.flush()
        kept = trash.keep(root, "log", at(root, "log"), PULL)
        (root / "new").write_text("theirs\n")
        (root / "new").rename(root / "log")
        writer.write("two\n")
    assert kept.file.read_text() == "one\ntwo\n"


def test_a_file_of_several_names_is_copied(root: Path, trash: LocalTrash) -> None:
    (root / "a").write_text("kept")
    os.link(root / "a", root / "b")
    kept = trash.keep(root, "a", at(root, "a"), PULL)
    (root / "a").unlink()
    (root / "b").write_text("else")
    assert kept.file.read_text() == "kept"


def test_where_links_cannot_be_the_content_mode_and_time_are_copied(
    root: Path, trash: LocalTrash, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.EXDEV, "another file system")

    monkeypatch.setattr(os, "link", no_links)
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    os.utime(root / "run.sh", (5, 5))
    (root / "link").symlink_to("run.sh")
    kept = trash.keep(root, "run.sh", at(root, "run.sh"), PULL)
    link = trash.keep(root, "link", at(root, "link"), PULL)
    (root / "run.sh").unlink()
    assert kept.file.read_text() == "#!/bin/sh\n"
    assert kept.identity.executable
    assert kept.file.stat().st_mtime == 5
    assert os.readlink(link.file) == "run.sh"


def test_what_is_not_as_expected_any_more_is_not_kept(root: Path, trash: LocalTrash) -> None:
    (root / "a").write_text("one")
    was = at(root, "a")
    (root / "a").write_text("another")
    with pytest.raises(Changed):
        trash.keep(root, "a", was, PULL)
    assert trash.entries() == []
    assert list(trash.folder.iterdir()) == []


def test_nothing_is_kept_through_a_link(root: Path, trash: LocalTrash, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/a").write_text("secret")
    was = at(tmp_path / "elsewhere", "a")
    (root / "pkg").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotADirectoryError):
        trash.keep(root, "pkg/a", was, PULL)
    assert trash.entries() == []


def test_what_alone_is_larger_than_the_trash_is_refused(
    root: Path, trash: LocalTrash, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trash_module, "MOST_BYTES", 10)
    (root / "a").write_text("x" * 11)
    with pytest.raises(TooLarge, match="too large for the trash"):
        trash.keep(root, "a", at(root, "a"), PULL)


def test_the_oldest_go_when_there_is_too_much(
    root: Path, trash: LocalTrash, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trash_module, "MOST_BYTES", 10)
    for number in range(4):
        (root / "a").write_text(f"{number}" * 4)
        trash.keep(root, "a", at(root, "a"), PULL)
        (root / "a").unlink()
    assert len(trash.entries()) == 4  # all of this moment
    old(trash, 2 * trash_module.A_MOMENT)
    again = LocalTrash(trash.folder)
    again.prune(time.time())
    assert [one.file.read_text() for one in again.entries()] == ["3333", "2222"]


def test_what_is_older_than_two_weeks_goes(root: Path, trash: LocalTrash) -> None:
    (root / "a").write_text("one")
    trash.keep(root, "a", at(root, "a"), PULL)
    old(trash, trash_module.MOST_SECONDS + 1)
    (root / "b").write_text("two")
    again = LocalTrash(trash.folder)
    again.keep(root, "b", at(root, "b"), PULL)
    assert [one.path for one in again.entries()] == ["b"]


def test_a_crash_before_the_content_was_kept_leaves_nothing_behind(
    root: Path, trash: LocalTrash
) -> None:
    (root / "a").write_text("one")
    trash.keep(root, "a", at(root, "a"), PULL).file.unlink()
    assert trash.entries() == []
    old(trash, 2 * trash_module.A_MOMENT)
    LocalTrash(trash.folder).prune(time.time())
    assert list(trash.folder.iterdir()) == []


def test_a_content_whose_line_was_lost_is_still_listed(root: Path, trash: LocalTrash) -> None:
    (root / "a").write_text("one")
    kept = trash.keep(root, "a", at(root, "a"), PULL)
    kept.file.with_suffix(".json").write_text("")
    [found] = trash.entries()
    assert (found.path, found.id, found.file.read_text()) == ("", kept.id, "one")
    assert str(kept.file) in found.why


def test_what_is_dropped_is_gone(root: Path, trash: LocalTrash) -> None:
    (root / "a").write_text("one")
    kept = trash.keep(root, "a", at(root, "a"), PULL)
    trash.drop(kept)
    trash.drop(kept)
    assert list(trash.folder.iterdir()) == []


def test_it_is_for_the_person_alone(root: Path, trash: LocalTrash) -> None:
    (root / "a").write_text("one")
    trash.keep(root, "a", at(root, "a"), PULL)
    assert stat.S_IMODE(trash.folder.stat().st_mode) == 0o700


def test_names_that_are_no_utf8_are_kept(root: Path, trash: LocalTrash) -> None:
    path = os.fsdecode(b"caf\xe9\n")
    (root / path).write_text("one")
    trash.keep(root, path, at(root, path), PULL)
    assert [one.path for one in trash.entries()] == [path]
