from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from sidecar.agent import private
from sidecar.agent.failure import Failure


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_every_folder_that_is_made_is_ours_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o002)
    try:
        path = Path(private.folder(str(tmp_path / "state" / "node"), "cache", make=True))
    finally:
        os.umask(before)
    assert path == tmp_path / "state" / "node" / "cache"
    assert {mode(one) for one in (path, path.parent, path.parent.parent)} == {0o700}


def test_a_folder_of_ours_where_others_may_write_is_closed_to_them(tmp_path: Path) -> None:
    (tmp_path / "node").mkdir()
    (tmp_path / "node").chmod(0o775)
    private.folder(str(tmp_path / "node"), "jobs")
    assert mode(tmp_path / "node") == 0o755


def test_a_folder_that_is_not_there_is_not_made_by_looking(tmp_path: Path) -> None:
    private.folder(str(tmp_path / "node"), "jobs")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", "jobs"])
@pytest.mark.parametrize("make", [True, False])
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give folders away")
def test_a_folder_that_somebody_else_prepared_is_not_used(
    tmp_path: Path, name: str, make: bool
) -> None:
    (tmp_path / "node" / "jobs").mkdir(parents=True)
    os.chown(tmp_path / "node" / name, 65534, 65534)
    with pytest.raises(Failure, match="belongs to user 65534"):
        private.folder(str(tmp_path / "node"), "jobs", make)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give links away")
def test_a_link_that_somebody_else_put_there_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mine" / "jobs").mkdir(parents=True)
    (tmp_path / "node").symlink_to("mine")
    os.chown(tmp_path / "node", 65534, 65534, follow_symlinks=False)
    with pytest.raises(Failure, match="not safe"):
        private.folder(str(tmp_path / "node"), "jobs")


def test_what_is_no_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "node").touch()
    with pytest.raises(Failure, match="no folder"):
        private.folder(str(tmp_path / "node"), "jobs", make=True)
