"""Folders of ours on this machine: private, and short where sockets live."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import platformdirs
import pytest

from sidecar.config import places
from sidecar.errors import ConfigError


def test_folders_are_made_for_the_person_alone(isolated: Path) -> None:
    for folder in (places.state_dir(), places.runtime_dir(), places.project_state(isolated, "g")):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_that_others_may_read_is_closed_to_them(isolated: Path) -> None:
    folder = places.state_dir()
    folder.chmod(0o755)
    assert stat.S_IMODE(places.state_dir().stat().st_mode) == 0o700


def test_the_state_of_a_project_is_one_for_all_spellings(isolated: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "link").symlink_to(root)
    state = places.project_state(root, "gpu1")
    assert places.project_state(tmp_path / "link", "gpu1") == state
    assert state != places.project_state(root, "gpu2")
    assert (state.name, len(state.parent.name)) == ("gpu1", 16)


def test_the_sockets_path_is_short_however_long_the_folders_are(
    isolated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = places.socket_path()
    assert short.parent == places.runtime_dir()
    monkeypatch.setenv("SIDECAR_RUNTIME_DIR", str(tmp_path / ("long" * 30)))
    long = places.socket_path()
    assert len(os.fsencode(long)) <= places.SOCKET_LIMIT
    assert long.name != short.name
    assert stat.S_IMODE(long.parent.stat().st_mode) == 0o700


def test_two_set_ups_have_two_sockets(
    isolated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = places.socket_path()
    assert places.socket_path() == first
    monkeypatch.setenv("SIDECAR_STATE_DIR", str(tmp_path / "other"))
    assert places.socket_path() != first


def test_a_folder_that_cannot_be_made_is_named(
    isolated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SIDECAR_STATE_DIR", str(tmp_path / "file" / "x"))
    with pytest.raises(ConfigError, match="SIDECAR_STATE_DIR"):
        places.state_dir()


def test_a_file_in_the_place_of_a_folder_is_refused(
    isolated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SIDECAR_STATE_DIR", str(tmp_path / "file"))
    with pytest.raises(ConfigError):
        places.state_dir()


def test_the_session_runtime_folder_is_used_where_there_is_one(
    isolated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SIDECAR_RUNTIME_DIR")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert places.runtime_dir() == tmp_path / "sidecar"
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "gone"))
    assert places.runtime_dir().name.startswith("sidecar-")


def test_a_session_folder_where_others_can_write_is_not_used(
    isolated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SIDECAR_RUNTIME_DIR")
    shared, mine = tmp_path / "shared", tmp_path / "mine"
    shared.mkdir()
    shared.chmod(0o1777)
    mine.mkdir()
    mine.chmod(0o755)
    (shared / "sidecar").symlink_to(mine)  # as somebody else would, to have its mode changed
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(shared))
    assert places.runtime_dir() not in (mine, shared / "sidecar")
    assert stat.S_IMODE(mine.stat().st_mode) == 0o755


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere platformdirs is asked")
@pytest.mark.parametrize("named", ["", "/elsewhere"])
def test_the_usual_folders_are_where_platformdirs_has_them(
    monkeypatch: pytest.MonkeyPatch, named: str, tmp_path: Path
) -> None:
    for name in ("SIDECAR_STATE_DIR", "SIDECAR_CONFIG_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", named and str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", named)
    assert places.config_dir() == platformdirs.user_config_path("sidecar", False)
    assert places.state_dir() == platformdirs.user_state_path("sidecar", False)
