"""`sidecar.local.toml` is made readable, changed a line at a time, and kept from git."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config import layers
from sidecar.config.write import add_host, keep_from_git, set_value, toml
from sidecar.errors import ConfigError
from tests.config.conftest import Desk
from tests.servers.programs import need_program


def local(desk: Desk) -> str:
    return (desk.root / "sidecar.local.toml").read_text(encoding="utf-8")


def test_a_first_host_is_written_with_comments_and_chosen(desk: Desk) -> None:
    add_host(desk.project, "gpu1", {"ssh": "me@gpu1", "path": "~/digits"})
    assert desk.load().host()[1].ssh == "me@gpu1"
    assert 'host = "gpu1"' in local(desk)
    assert "# python = " in local(desk)


def test_a_second_host_leaves_the_file_as_it_was(desk: Desk) -> None:
    before = '# mine\nhost = "a"\n[hosts.a]\n'
    desk.write("sidecar.local.toml", before)
    add_host(desk.project, "b", {"path": "/x"})
    assert local(desk).startswith(before)
    assert desk.load().host()[0] == "a"
    assert desk.load().host("b")[1].path == "/x"


def test_a_host_is_not_written_twice(desk: Desk) -> None:
    add_host(desk.project, "a", {})
    before = local(desk)
    with pytest.raises(ConfigError) as caught:
        add_host(desk.project, "a", {"path": "/x"})
    assert caught.value.code == "host-exists"
    assert local(desk) == before


def test_wrong_settings_are_not_written(desk: Desk) -> None:
    with pytest.raises(ConfigError, match=r"hosts\.a\.path"):
        add_host(desk.project, "a", {"path": "relative"})
    assert not (desk.root / "sidecar.local.toml").exists()


@pytest.mark.parametrize(
    ("before", "key", "value", "after"),
    [
        ("", ("host",), "b", 'host = "b"\n'),
        ('host = "a" # now\n', ("host",), "b", 'host = "b" # now\n'),
        ('host = "a # b"\n', ("host",), "b", 'host = "b"\n'),
        ("[hosts.b]\n", ("host",), "b", 'host = "b"\n\n[hosts.b]\n'),
        ("[hosts.b]\n", ("hosts", "b", "python"), "x", '[hosts.b]\npython = "x"\n'),
        ("hosts.b.git = true\n", ("hosts", "b", "git"), False, "hosts.b.git = false\n"),
        ("[sync]\npull = []\n", ("sync", "mode"), "push", '[sync]\nmode = "push"\npull = []\n'),
        ("[hosts.a]\n", ("sync", "pull"), ["x"], '[hosts.a]\n\n[sync]\npull = ["x"]\n'),
    ],
)
def test_a_value_is_set_in_its_line(
    desk: Desk, before: str, key: tuple[str, ...], value: Any, after: str
) -> None:
    desk.write("sidecar.local.toml", before)
    set_value(desk.project, key, value)
    assert local(desk) == after
    assert desk.load().config


@pytest.mark.parametrize(
    "before",
    ["hosts = { a = { path = '/x' } }\n", "[hosts]\na.path = '''\n/x'''\na.setup = '''\nb'''\n"],
)
def test_a_file_written_in_another_way_is_left_alone_and_the_line_told(
    desk: Desk, before: str
) -> None:
    desk.write("sidecar.local.toml", before)
    with pytest.raises(ConfigError) as caught:
        set_value(desk.project, ("hosts", "a", "setup"), "y")
    assert 'hosts.a.setup = "y"' in caught.value.fix
    assert local(desk) == before


def test_the_file_keeps_its_mode(desk: Desk) -> None:
    path = desk.write("sidecar.local.toml", "")
    path.chmod(0o640)
    set_value(desk.project, ("host",), "a")
    assert path.stat().st_mode & 0o777 == 0o640
    assert [one.name for one in desk.root.iterdir()] == ["sidecar.local.toml"]


def test_git_leaves_the_file_alone(desk: Desk) -> None:
    git = need_program("git")
    subprocess.run([git, "init", "-q", str(desk.root)], check=True)
    add_host(desk.project, "a", {})
    set_value(desk.project, ("host",), "a")
    exclude = (desk.root / ".git" / "info" / "exclude").read_text()
    assert exclude.split().count("sidecar.local.toml") == 1
    status = subprocess.run(
        [git, "status", "--porcelain"], cwd=desk.root, capture_output=True, check=True
    )
    assert status.stdout == b""


def test_a_worktrees_exclude_file_is_found(desk: Desk, tmp_path: Path) -> None:
    git = need_program("git")
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
    subprocess.run([git, "init", "-q", str(desk.root)], check=True)
    subprocess.run(
        [git, *identity, "commit", "-q", "--allow-empty", "-m", "x"], cwd=desk.root, check=True
    )
    tree = tmp_path / "tree"
    subprocess.run(
        [git, "worktree", "add", "-q", "--detach", str(tree)],
        cwd=desk.root, check=True, capture_output=True,
    )  # fmt: skip
    assert keep_from_git(tree)
    (tree / "sidecar.local.toml").write_text("")
    status = subprocess.run([git, "status", "--porcelain"], cwd=tree, capture_output=True)
    assert status.stdout == b""


def test_outside_of_git_there_is_nothing_to_keep_it_from(desk: Desk) -> None:
    assert not keep_from_git(desk.root)


VALUES = st.recursive(
    st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=10,
)


@given(VALUES)
def test_every_value_is_read_back_as_it_was(value: Any) -> None:
    assert layers.parse(f"x = {toml(value)}\n", "test") == {"x": value}
