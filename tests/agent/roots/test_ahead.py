"""A sweep made ahead of a run: it stands for that run's own, and for nothing else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.agent.roots import ahead as ahead_module
from sidecar.agent.roots.ahead import Ahead
from sidecar.agent.roots.managed import Managed
from sidecar.agent.roots.root import Root
from sidecar.core import identity
from sidecar.core import messages as m
from sidecar.core.identity import Entry
from tests.agent.laptop import ROOT, Laptop, after


@pytest.fixture
def laptop(tmp_path: Path) -> Iterator[Laptop]:
    laptop = Laptop(tmp_path / "code")
    yield laptop
    laptop.files.close()


@pytest.fixture
def ahead(laptop: Laptop) -> Ahead:
    return Ahead(laptop.files)


@pytest.fixture
def sweeps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows by each sweep."""
    seen: list[str] = []
    real = Managed.sweep

    def sweep(self: Managed, root: Root) -> list[Entry]:
        seen.append(root.name)
        return real(self, root)

    monkeypatch.setattr(Managed, "sweep", sweep)
    return seen


def is_over(laptop: Laptop) -> None:
    """Returns when the sweeps that were begun so far are."""
    done = threading.Event()
    laptop.files.sweeps.submit(done.set)
    assert done.wait(30)


def test_a_run_does_not_sweep_again(laptop: Laptop, ahead: Ahead, sweeps: list[str]) -> None:
    laptop.put("a", b"x")
    ahead.handle(m.LookAhead(ROOT))
    assert laptop.barrier(1) == ("", [])
    assert len(sweeps) == 1


def test_what_it_found_refuses_the_run(laptop: Laptop, ahead: Ahead, sweeps: list[str]) -> None:
    laptop.put("a", b"x")
    (laptop.folder / "a").write_bytes(b"theirs")
    ahead.handle(m.LookAhead(ROOT))
    why, entries = laptop.barrier(1)
    assert "1 managed file" in why
    assert [path for path, _ in entries] == ["a"]
    assert len(sweeps) == 1


def test_what_it_found_may_be_settled_when_the_run_comes(laptop: Laptop, ahead: Ahead) -> None:
    laptop.put("a", b"x")
    (laptop.folder / "a").write_bytes(b"theirs")
    theirs = identity.from_stat((laptop.folder / "a").lstat())
    ahead.handle(m.LookAhead(ROOT))
    is_over(laptop)
    laptop.put("a", b"mine", m.Expect(0, theirs, ""))
    assert laptop.barrier(2) == ("", [])


def test_a_save_that_comes_in_between_is_no_difference(laptop: Laptop, ahead: Ahead) -> None:
    laptop.put("a", b"x")
    ahead.handle(m.LookAhead(ROOT))
    laptop.put("a", b"y", after(1))
    laptop.put("b", b"new")
    assert laptop.barrier(3) == ("", [])


def test_it_serves_one_run(laptop: Laptop, ahead: Ahead, sweeps: list[str]) -> None:
    laptop.put("a", b"x")
    ahead.handle(m.LookAhead(ROOT))
    assert laptop.barrier(1) == ("", [])
    (laptop.folder / "a").write_bytes(b"theirs")
    assert "1 managed file" in laptop.barrier(1)[0]
    assert len(sweeps) == 2


def test_an_old_one_does_not_count(
    laptop: Laptop, ahead: Ahead, sweeps: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead_module, "VALID", -1.0)
    laptop.put("a", b"x")
    ahead.handle(m.LookAhead(ROOT))
    assert laptop.barrier(1) == ("", [])
    assert len(sweeps) == 2


def test_paths_that_came_into_the_set_unseen_are_looked_at(
    laptop: Laptop, ahead: Ahead, sweeps: list[str]
) -> None:
    laptop.put("a", b"x")
    (laptop.folder / "b").write_bytes(b"as it was told")
    told = identity.from_stat((laptop.folder / "b").lstat())
    ahead.handle(m.LookAhead(ROOT))
    is_over(laptop)
    (laptop.folder / "b").write_bytes(b"another")
    laptop.parts(lambda id: m.Manage(id, ROOT, False, True, identity.pack([("b", told)])))
    why, entries = laptop.barrier(1)
    assert "1 managed file" in why
    assert [path for path, _ in entries] == ["b"]


def test_a_folder_that_is_not_open_is_left_alone(ahead: Ahead, sweeps: list[str]) -> None:
    ahead.handle(m.LookAhead(99))
    assert sweeps == []
