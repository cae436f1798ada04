"""What an agent managed is known to the next one; or it is told, but never believed wrongly."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.agent.roots import ledger as ledger_module
from sidecar.agent.roots.ledger import Ledger
from sidecar.agent.roots.managed import Managed
from sidecar.agent.roots.root import Root
from sidecar.core import identity
from sidecar.core import messages as m
from sidecar.core.identity import Entry, Identity
from tests.agent.laptop import ROOT, Laptop, small_disk, swept

MARKER = "marker-1"
NAMES = ["a", "b\udcff", "new\nline", "pkg/a", "pkg/in/x", "pkg/in/y"]


def entry(path: str, inode: int = 1) -> Entry:
    return path, Identity("f", 0o644, 3, -5, 1 << 61, inode)


def claimed(folder: Path, marker: str = MARKER) -> Root:
    root = Root(1, os.fsencode(folder))
    root.open(1)
    if not root.marker:
        root.claim(marker, "ada@laptop")
    return root


def pair(root: Root) -> tuple[Managed, Ledger]:
    managed = Managed()
    return managed, Ledger(root, managed)


def loaded(folder: Path, marker: str = MARKER) -> dict[str, Identity | None]:
    """What a new agent would begin with. Its digest is of just that, whatever the file holds."""
    managed, ledger = pair(claimed(folder))
    ledger.load(marker)
    found = contents(managed)
    assert managed.digest == identity.digest(found.items())
    assert managed.count == len(found)
    return found


def contents(managed: Managed) -> dict[str, Identity | None]:
    return {
        f"{path}/{name}" if path else name: identity.from_bytes(packed)
        for path, folder in managed.held()
        for name, packed in folder.names.items()
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "code"
    made.mkdir()
    return made.resolve()


def saved(folder: Path, entries: list[Entry]) -> tuple[Managed, Ledger]:
    managed, ledger = pair(claimed(folder))
    managed.adopt(entries)
    ledger.save()
    assert not ledger.problem
    return managed, ledger


def test_what_was_managed_comes_back(folder: Path) -> None:
    entries = [entry(path) for path in NAMES]
    saved(folder, entries)
    assert loaded(folder) == dict(entries)
    assert (folder / ".sidecar/ledger").stat().st_mode & 0o777 == 0o600
    assert os.listdir(folder / ".sidecar/tmp") == []


def test_a_change_is_appended_and_many_changes_make_the_file_anew(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "APPENDED", 300)
    managed, ledger = saved(folder, [entry(path) for path in NAMES])
    file = folder / ".sidecar/ledger"
    first, sizes, files = file.stat().st_size, set(), set()
    for number in range(20):
        managed.answered("pkg/a", entry("", number)[1])
        managed.answered(f"new-{number}", entry("", number)[1])
        managed.answered(f"new-{number - 1}", None)
        ledger.save()
        assert loaded(folder) == contents(managed)
        sizes.add(file.stat().st_size)
        files.add(file.stat().st_ino)
    assert max(sizes) < 2 * first + 600
    assert 1 < len(files) < 20


def test_a_folder_that_comes_and_one_that_goes_are_followed(folder: Path) -> None:
    managed, ledger = saved(folder, [entry(path) for path in NAMES])
    managed.forget(["pkg/in/x", "pkg/in/y"])
    managed.adopt([entry("other/z")])
    ledger.save()
    assert loaded(folder) == contents(managed)
    managed.forget_folders(["", "nowhere"])
    ledger.save()
    assert loaded(folder) == contents(managed) == dict([entry("pkg/a"), entry("other/z")])
    managed.replace()
    ledger.save()
    assert loaded(folder) == {}


@settings(max_examples=200)
@given(
    cut=st.integers(0, 2000),
    flipped=st.none() | st.tuples(st.integers(0, 2000), st.integers(1, 255)),
)
def test_whatever_is_torn_or_damaged_the_digest_is_of_what_was_read(
    cut: int, flipped: tuple[int, int] | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = (tmp_path_factory.mktemp("ledger") / "code").resolve()
    folder.mkdir()
    managed, ledger = saved(folder, [entry(path) for path in NAMES])
    managed.answered("pkg/late", entry("", 9)[1])
    ledger.save()
    file = folder / ".sidecar/ledger"
    data = bytearray(file.read_bytes())
    if flipped is not None:
        data[flipped[0] % len(data)] ^= flipped[1]
    file.write_bytes(data[: len(data) - cut])
    assert (
        loaded(folder).items()
        <= dict([*(entry(path) for path in NAMES), entry("pkg/late", 9)]).items()
    )


def lost(file: Path) -> None:
    file.unlink()


def of_a_newer_version(file: Path) -> None:
    header = {"version": ledger_module.VERSION + 1, "marker": MARKER, "order": "little"}
    rest = file.read_bytes().split(b"}", 1)[1]
    section = ledger_module._section(b"H", json.dumps(header).encode())
    file.write_bytes(section + rest)


def a_link(file: Path) -> None:
    elsewhere = file.with_name("elsewhere")
    shutil.copy(file, elsewhere)
    file.unlink()
    file.symlink_to(elsewhere)


def a_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def writable_for_others(file: Path) -> None:
    file.chmod(0o666)


def empty(file: Path) -> None:
    file.write_bytes(b"")


def garbage(file: Path) -> None:
    file.write_bytes(b"\xff" * 5000)


@pytest.mark.parametrize(
    "spoil", [lost, of_a_newer_version, a_link, a_pipe, writable_for_others, empty, garbage]
)
def test_what_is_no_ledger_of_ours_is_none(folder: Path, spoil: Callable[[Path], None]) -> None:
    saved(folder, [entry("a")])
    spoil(folder / ".sidecar/ledger")
    assert loaded(folder) == {}


def test_the_ledger_of_another_marker_is_none(folder: Path, tmp_path: Path) -> None:
    saved(folder, [entry("a")])
    assert loaded(folder, "marker-2") == {}
    other = tmp_path / "other"
    other.mkdir()
    claimed(other, "marker-2")
    shutil.copy(folder / ".sidecar/ledger", other / ".sidecar/ledger")
    assert loaded(other, "marker-2") == {}


def section(path: bytes, names: bytes, count: int) -> bytes:
    head = ledger_module._FOLDER.pack(bytes(16), len(path), count)
    return head + path + identity.to_bytes(entry("")[1]) * min(count, 2) + names


@pytest.mark.parametrize(
    "body",
    [
        section(b"", b"..", 1),
        section(b"", b"a/b", 1),
        section(b"", b"", 1),
        section(b"", b".sidecar", 1),
        section(b"", b"a\0b", 1),
        section(b"..", b"a", 1),
        section(b"/etc", b"passwd", 1),
        section(b".sidecar", b"a", 1),
        section(b"pkg", b"a", 1 << 30),
        b"",
    ],
)
def test_a_section_that_names_what_no_folder_holds_is_not_used(folder: Path, body: bytes) -> None:
    saved(folder, [])
    file = folder / ".sidecar/ledger"
    header = ledger_module._section(b"H", ledger_module._dumped(MARKER))
    file.write_bytes(header + ledger_module._section(b"F", body))
    assert loaded(folder) == {}


class TestTwoAgents:
    def test_each_makes_a_file_of_its_own_and_appends_to_no_other(self, folder: Path) -> None:
        one, first = saved(folder, [entry("a")])
        other, second = saved(folder, [entry("b")])
        assert loaded(folder) == dict([entry("b")])
        one.answered("a", entry("", 2)[1])
        first.save()  # its file lies there no more
        assert loaded(folder) == dict([entry("b")])
        other.answered("c", entry("", 3)[1])
        second.save()
        assert loaded(folder) == dict([entry("b"), entry("c", 3)])

    def test_what_could_not_be_written_is_written_at_the_end(self, folder: Path) -> None:
        one, first = saved(folder, [entry("a")])
        saved(folder, [entry("b")])
        one.answered("a", entry("", 2)[1])
        first.save()
        first.save(last=True)
        assert loaded(folder) == dict([entry("a", 2)])

    def test_the_first_takes_it_back_after_a_while(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one, first = saved(folder, [entry("a")])
        saved(folder, [entry("b")])
        one.answered("c", entry("", 2)[1])
        monkeypatch.setattr(ledger_module, "TAKE_OVER", 0.0)
        first.save()
        assert loaded(folder) == dict([entry("a"), entry("c", 2)])

    @given(st.lists(st.tuples(st.booleans(), st.sampled_from(NAMES), st.integers(0, 3))))
    def test_in_any_order_the_file_is_what_one_of_them_held(
        self, tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[bool, str, int]]
    ) -> None:
        folder = (tmp_path_factory.mktemp("two") / "code").resolve()
        folder.mkdir()
        agents = [saved(folder, [entry("a")]), saved(folder, [entry("b")])]
        held: list[Any] = [dict([entry("a")]), dict([entry("b")])]
        for which, path, inode in steps:
            managed, ledger = agents[which]
            managed.answered(path, entry(path, inode)[1] if inode else None)
            ledger.save()
            held.append(contents(managed))
            assert loaded(folder) in held


class TestWhereItCannotBeWritten:
    def test_a_full_disk_is_no_failure_and_the_next_time_it_is_written(
        self, tmp_path: Path
    ) -> None:
        with small_disk(tmp_path / "small") as disk:
            folder = (disk / "code").resolve()
            folder.mkdir()
            managed, ledger = saved(folder, [entry("a")])
            filler = disk / "filler"
            with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(bytes(4096))
            managed.adopt([entry(f"{'x' * 200}-{number}") for number in range(1000)])
            ledger.save()
            assert "No space" in ledger.problem
            assert loaded(folder).items() <= contents(managed).items()
            filler.unlink()
            ledger.save(last=True)
            assert loaded(folder) == contents(managed)
            assert os.listdir(folder / ".sidecar/tmp") == []

    def test_a_read_only_root_is_no_failure(self, tmp_path: Path) -> None:
        with small_disk(tmp_path / "small") as disk:
            folder = (disk / "code").resolve()
            folder.mkdir()
            saved(folder, [entry("a")])  # a file that is open for writing would keep it busy
            managed, ledger = pair(claimed(folder))
            ledger.load(MARKER)
            subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
            managed.answered("b", entry("b")[1])
            ledger.save()
            assert ledger.problem
            assert loaded(folder) == dict([entry("a")])

    def test_a_root_that_is_gone_is_no_failure(self, folder: Path) -> None:
        managed, ledger = saved(folder, [entry("a")])
        shutil.rmtree(folder)
        managed.answered("b", entry("b")[1])
        ledger.save()
        assert "gone" in ledger.problem
        assert not folder.exists()

    def test_a_root_without_a_marker_gets_none(self, folder: Path) -> None:
        root = Root(1, os.fsencode(folder))
        root.open(1)
        managed, ledger = pair(root)
        managed.adopt([entry("a")])
        ledger.save()
        assert os.listdir(folder) == []


class TestTheWire:
    @pytest.fixture
    def laptop(self, tmp_path: Path) -> Iterator[Laptop]:
        laptop = Laptop(tmp_path / "code")
        for path in ("a", "pkg/b", "pkg/in/c"):
            laptop.put(path, b"x")
        yield laptop
        laptop.files.close()

    def again(self, laptop: Laptop) -> Laptop:
        """The next agent."""
        laptop.files.close()
        return Laptop(laptop.folder, claim=False)

    def digest(self, laptop: Laptop) -> str:
        [part] = laptop.parts(lambda id: m.Sweep(id, ROOT))
        return str(part.digest)

    def test_the_same_set_is_swept_at_once(self, laptop: Laptop) -> None:
        digest = self.digest(laptop)
        (laptop.folder / "pkg/b").write_text("changed")
        next_one = self.again(laptop)
        parts = next_one.parts(lambda id: m.Resume(id, ROOT, MARKER, digest))
        assert [path for path, _ in swept(parts)] == ["pkg/b"]
        assert (parts[-1].count, parts[-1].digest) == (3, digest)
        next_one.files.close()

    def test_of_another_set_the_folders_are_told_and_can_be_set_right(self, laptop: Laptop) -> None:
        digest = self.digest(laptop)
        laptop.put("pkg/late", b"x")
        next_one = self.again(laptop)
        [part] = next_one.parts(lambda id: m.Resume(id, ROOT, MARKER, digest))
        assert isinstance(part, m.Remembered)
        assert set(identity.unpack_folders(part.body)) == {"", "pkg", "pkg/in"}
        status = identity.from_stat((laptop.folder / "pkg/b").lstat())
        next_one.files.handle(m.ForgetFolders(ROOT, ["pkg", "nowhere"]))
        answer = next_one.ask(
            lambda id: m.Manage(id, ROOT, False, True, identity.pack([("pkg/b", status)]))
        )
        assert (answer.count, answer.digest) == (3, digest)
        next_one.files.close()

    @pytest.mark.parametrize("marker", ["", "marker-2"])
    def test_who_names_another_marker_gets_nothing(self, laptop: Laptop, marker: str) -> None:
        digest = self.digest(laptop)
        next_one = self.again(laptop)
        [part] = next_one.parts(lambda id: m.Resume(id, ROOT, marker, digest))
        assert isinstance(part, m.Remembered)
        assert identity.unpack_folders(part.body) == {}
        next_one.files.close()

    def test_a_folder_that_is_not_marked_has_none(self, tmp_path: Path) -> None:
        (tmp_path / "code").mkdir()
        laptop = Laptop(tmp_path / "code", claim=False)
        [part] = laptop.parts(lambda id: m.Resume(id, ROOT, "", identity.digest([entry("a")])))
        assert isinstance(part, m.Remembered)
        laptop.files.close()

    def test_an_agent_that_lives_writes_it_without_being_asked(
        self, laptop: Laptop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = laptop.folder / ".sidecar/ledger"
        written = laptop.files._roots[ROOT].ledger
        assert laptop.files._ledgers._thread is not None
        while not file.exists():  # within ledger.QUIET
            laptop.files._ledgers._thread.join(0.02)
        assert not written.problem
