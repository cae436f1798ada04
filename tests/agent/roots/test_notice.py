from __future__ import annotations

import os
import resource
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.agent.roots import notice
from sidecar.agent.roots.notice import Notices
from sidecar.core import identity, paths
from sidecar.core import messages as m
from sidecar.core.identity import Entry, Identity
from tests.agent.laptop import ROOT, Laptop, seen

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="inotify is Linux's")


class Desk(Laptop):
    """A laptop whose agent notices."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.notices = Notices(self.heard.send, self.files)

    def watch(self, *folders: str) -> tuple[m.Watching, dict[str, Identity | None]]:
        self._id += 1
        ask = m.Watch(self._id, ROOT, list(folders))
        self.notices.handle(ask)
        last = self.heard.first(lambda one: isinstance(one, m.Watching) and one.id == ask.id)
        parts = [one for one in self.heard.of(m.Watching) if one.id == ask.id]
        return last, {p: there for part in parts for p, there in identity.unpack(part.body)}

    def told(self) -> dict[str, Identity | None]:
        """The last that was told of each path."""
        news = self.heard.of(m.Noticed)
        return {p: there for one in news for p, there in identity.unpack(one.body)}

    def until_told(self, path: str, *, gone: bool = False) -> Identity | None:
        def is_it(message: object) -> bool:
            return isinstance(message, m.Noticed) and any(
                one == path and (there is None) == gone
                for one, there in identity.unpack(message.body)
            )

        self.heard.first(is_it)
        return self.told()[path]

    def write(self, path: str, content: str) -> Path:
        place = self.folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content)
        return place

    def close(self) -> None:
        self.notices.close()
        self.files.close()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path / "code")
    yield desk
    desk.close()


def now(desk: Desk, path: str) -> Identity:
    return identity.from_stat((desk.folder / path).lstat())


def test_an_edit_of_a_managed_file_is_told(desk: Desk) -> None:
    desk.put("pkg/a.py", b"ours")
    desk.watch()
    desk.write("pkg/a.py", "theirs")
    assert desk.until_told("pkg/a.py") == now(desk, "pkg/a.py")


def test_a_file_replaced_by_a_rename_and_one_removed_are_told(desk: Desk) -> None:
    desk.put("a", b"ours")
    desk.put("b", b"ours")
    desk.watch()
    os.replace(desk.write("new", "theirs"), desk.folder / "a")
    (desk.folder / "b").unlink()
    desk.until_told("a")
    desk.until_told("b", gone=True)


def test_what_was_seen_before_a_change_is_told_before_its_answer(desk: Desk) -> None:
    """Else what was settled meanwhile would look undecided: answers, too, are sent with the lock
    of the set held."""
    held: list[bool] = []
    send = desk.heard.send

    def sent(message: object, lane: int) -> None:
        if isinstance(message, (m.Noticed, m.Swept, m.Applied)):
            lock = desk.files.place(ROOT)[1].lock

            def look() -> None:
                held.append(not lock.acquire(blocking=False))
                if not held[-1]:
                    lock.release()

            other = threading.Thread(target=look)
            other.start()
            other.join()
        send(message, lane)

    desk.put("a.py", b"ours")
    desk.watch()
    desk.heard.send = sent  # type: ignore[method-assign]
    desk.files._send = desk.notices._send = sent
    desk.write("a.py", "theirs")
    desk.until_told("a.py")
    assert desk.sweep() == [("a.py", now(desk, "a.py"))]
    assert held == [True, True]


def test_our_own_changes_are_no_news(desk: Desk) -> None:
    desk.put("a", b"one")
    desk.watch()
    there = desk.put("a", b"two", seen(now(desk, "a"))).identity
    desk.directory("new")
    desk.put("new/b", b"x")
    desk.remove("a", seen(there))
    desk.write("new/b", "theirs")  # events come in order
    desk.until_told("new/b")
    assert set(desk.told()) == {"new/b"}


def test_what_is_not_managed_is_told_only_where_it_was_asked_for(desk: Desk) -> None:
    desk.put("a", b"ours")
    desk.write("runs/old.log", "x")
    answer, listed = desk.watch("runs")
    assert answer.missing == ""
    assert not answer.truncated
    assert listed == {"runs/old.log": now(desk, "runs/old.log")}
    desk.write("noise.log", "x")
    desk.write("runs/plot.png", "x")
    desk.until_told("runs/plot.png")
    assert set(desk.told()) == {"runs/plot.png"}
    (desk.folder / "runs/plot.png").unlink()
    desk.until_told("runs/plot.png", gone=True)


def test_a_new_folder_in_a_watched_one_is_told_and_can_be_asked_for(desk: Desk) -> None:
    (desk.folder / "runs").mkdir()
    desk.watch("runs")
    desk.write("runs/1/loss.png", "x")
    found = desk.until_told("runs/1")
    assert found is not None
    assert found.kind == identity.DIRECTORY
    assert "runs/1/loss.png" in desk.watch("runs/1")[1]
    desk.write("runs/1/later.png", "x")
    desk.until_told("runs/1/later.png")


def test_a_managed_folder_that_moves_away_and_comes_back_takes_its_files_along(desk: Desk) -> None:
    desk.put("pkg/sub/a.py", b"x")
    desk.watch()
    os.rename(desk.folder / "pkg", desk.folder / "elsewhere")
    desk.until_told("pkg/sub/a.py", gone=True)
    os.rename(desk.folder / "elsewhere", desk.folder / "pkg")
    desk.heard.first(lambda _: desk.told()["pkg/sub/a.py"] == now(desk, "pkg/sub/a.py"))
    desk.write("pkg/sub/a.py", "theirs, later")
    desk.heard.first(lambda _: desk.told()["pkg/sub/a.py"] == now(desk, "pkg/sub/a.py"))


def test_a_file_that_is_being_written_is_told_again_and_again(desk: Desk) -> None:
    (desk.folder / "runs").mkdir()
    desk.watch("runs")
    with (desk.folder / "runs/log").open("w") as log:
        for lines in (1, 2):
            log.write("a line\n")
            log.flush()
            size = 7 * lines
            desk.heard.first(lambda _, size=size: _size(desk.told().get("runs/log")) == size)  # type: ignore[misc]


def test_a_folder_managed_later_is_watched_from_the_next_sweep_on(desk: Desk) -> None:
    desk.watch()
    desk.write("late/a", "x")
    entries: list[Entry] = [("late", now(desk, "late")), ("late/a", now(desk, "late/a"))]
    assert desk.manage(entries) == []
    desk.write("late/a", "other")
    desk.until_told("late/a")


def test_what_never_was_ours_is_not_looked_into(desk: Desk, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (desk.folder / "link").symlink_to(outside)
    _, listed = desk.watch("link")
    assert listed == {}
    for folder in ("../outside", "/etc", ".sidecar"):
        with pytest.raises(paths.PathError):
            desk.watch(folder)
    (outside / "secret").write_text("x")
    desk.put("a", b"x")
    desk.write("a", "theirs")
    desk.until_told("a")
    assert "link/secret" not in desk.told()


def test_a_network_file_system_is_not_watched_and_that_is_said(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notice, "_file_system", lambda folder: 0x6969)
    desk.write("runs/x", "x")
    answer, listed = desk.watch("runs")
    assert answer.missing.startswith("NFS")
    assert "runs/x" in listed


def test_watches_are_bounded_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notice, "MOST_WATCHES", 3)
    desk = Desk(tmp_path / "code")
    try:
        for number in range(5):
            desk.write(f"runs/{number}/x", "x")
        answer, listed = desk.watch("runs", *(f"runs/{number}" for number in range(5)))
        assert "more folders" in answer.missing
        assert "runs/4/x" in listed
        assert len(desk.notices._at) == 3
    finally:
        desk.close()


def test_an_overflow_is_told_as_a_loss(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notice, "MOST_PENDING", 50)
    (desk.folder / "runs").mkdir()
    desk.watch("runs")
    with desk.notices._lock:  # so that they come all at once
        for number in range(200):
            (desk.folder / "runs" / str(number)).touch()
    desk.heard.first(lambda one: isinstance(one, m.Noticed) and one.lost)
    shutil.rmtree(desk.folder / "runs")


def test_a_listing_is_bounded(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notice, "MOST_LISTED", 10)
    for number in range(20):
        desk.write(f"runs/{number}", "x")
    answer, listed = desk.watch("runs")
    assert answer.truncated
    assert len(listed) == 10


def test_nothing_runs_while_nothing_happens(desk: Desk) -> None:
    desk.put("a", b"x")
    desk.watch()
    desk.write("a", "theirs")
    desk.until_told("a")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
    assert desk.notices._patience() is None
    assert resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - before < 50


def test_a_root_opened_anew_is_watched_anew(desk: Desk) -> None:
    desk.put("a", b"x")
    desk.watch()
    desk.ask(lambda id: m.Open(id, ROOT, str(desk.folder)))
    desk.watch()
    assert desk.manage([("a", now(desk, "a"))]) == []
    desk.write("a", "theirs")
    desk.until_told("a")


def _size(there: Identity | None) -> int:
    return there.size if there is not None else -1
