from __future__ import annotations

import os
import shutil
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.agent.changes.order import Order, Outcome
from sidecar.agent.roots import managed as managed_module
from sidecar.agent.roots.managed import Managed
from sidecar.core import frames, identity
from sidecar.core import messages as m
from sidecar.core.identity import Entry, Identity
from tests.agent.laptop import (
    NOTHING,
    ROOT,
    Laptop,
    Passed,
    after,
    put_message,
    seen,
    swept,
)


@pytest.fixture
def laptop(tmp_path: Path) -> Iterator[Laptop]:
    laptop = Laptop(tmp_path / "code")
    yield laptop
    laptop.files.close()


def entries_of(laptop: Laptop) -> list[Entry]:
    """Everything there, as the agent would report it."""
    found: list[Entry] = []
    for place in sorted(laptop.folder.rglob("*")):
        path = str(place.relative_to(laptop.folder))
        if not path.startswith(".sidecar"):
            found.append((path, identity.from_stat(place.lstat())))
    return found


class TestTheSet:
    def test_it_follows_changes_that_are_applied(self, laptop: Laptop) -> None:
        laptop.directory("pkg")
        laptop.put("pkg/a.py", b"x")
        laptop.link("l", "pkg")
        laptop.put("gone", b"x")
        laptop.remove("gone", after(4))
        laptop.put("pkg/a.py", b"refused", NOTHING)
        [part] = laptop.parts(lambda id: m.Sweep(id, ROOT))
        assert (part.count, part.last) == (3, True)
        assert part.digest == identity.digest(entries_of(laptop))

    def test_manage_replaces_or_extends_it(self, laptop: Laptop) -> None:
        (laptop.folder / "a").write_text("x")
        (laptop.folder / "b").write_text("x")
        a, b = entries_of(laptop)
        for first, part, expected in ((True, [a], [a]), (False, [b], [a, b]), (True, [b], [b])):
            answer = laptop.ask(
                lambda id, first=first, part=part: m.Manage(  # type: ignore[misc]
                    id, ROOT, first, True, identity.pack(part)
                )
            )
            assert (answer.count, answer.digest) == (len(expected), identity.digest(expected))

    def test_a_set_may_come_in_parts(self, laptop: Laptop) -> None:
        (laptop.folder / "a").write_text("x")
        (laptop.folder / "b").write_text("x")
        a, b = entries_of(laptop)
        laptop.files.handle(m.Manage(0, ROOT, True, False, identity.pack([a])))
        answer = laptop.ask(lambda id: m.Manage(id, ROOT, False, True, identity.pack([b])))
        assert answer.digest == identity.digest([a, b])
        assert len(laptop.heard.of(m.Swept)) == 1

    def test_forget_leaves_the_file(self, laptop: Laptop) -> None:
        laptop.put("a", b"x")
        laptop.files.handle(m.Forget(0, ROOT, ["a", "never/there"]))
        [part] = laptop.parts(lambda id: m.Sweep(id, ROOT))
        assert (part.count, part.digest) == (0, identity.digest([]))
        assert laptop.read("a") == b"x"

    @pytest.mark.parametrize("path", ["../x", "/etc/passwd", "", ".sidecar/x", "a//b"])
    def test_a_path_that_leaves_the_root_is_not_managed(self, laptop: Laptop, path: str) -> None:
        entry = (path, Identity("f", 0, 0, 0, 0, 0))
        answer = laptop.ask(lambda id: m.Manage(id, ROOT, True, True, identity.pack([entry])))
        assert (type(answer), answer.code) == (m.Fail, "path")

    def test_a_damaged_list_is_told(self, laptop: Laptop) -> None:
        answer = laptop.ask(lambda id: m.Manage(id, ROOT, True, True, b"no list"))
        assert (type(answer), answer.code) == (m.Fail, "damaged")

    def test_it_is_bounded(self, laptop: Laptop, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(managed_module, "MOST_PATHS", 3)
        entries = [(f"f{number}", Identity("f", 0, 0, 0, 0, 0)) for number in range(4)]
        answer = laptop.ask(lambda id: m.Manage(id, ROOT, True, True, identity.pack(entries)))
        assert isinstance(answer, m.Fail)


class TestSweep:
    def test_it_finds_every_kind_of_difference(self, laptop: Laptop, tmp_path: Path) -> None:
        names = ["same", "content", "mode", "time", "gone", "swapped", "link", "a/b/c/deep", "a/x"]
        for name in names:
            laptop.put(name, b"content")
        laptop.directory("folder")
        assert laptop.sweep() == []
        (laptop.folder / "content").write_bytes(b"CONTENT")
        (laptop.folder / "mode").chmod(0o600)
        os.utime(laptop.folder / "time", ns=(1, 1))
        (laptop.folder / "gone").unlink()
        (laptop.folder / "swapped").unlink()
        (laptop.folder / "swapped").mkdir()
        (laptop.folder / "link").unlink()
        (laptop.folder / "link").symlink_to("same")
        (laptop.folder / "folder").rmdir()
        (laptop.folder / "not-managed").write_text("x")
        (laptop.folder / "a/b").rename(tmp_path / "moved")
        (laptop.folder / "a/b").symlink_to(tmp_path / "moved")
        found = dict(laptop.sweep())
        assert set(found) == set(names) - {"same", "a/x"} | {"folder"}
        assert found["gone"] is found["folder"] is found["a/b/c/deep"] is None
        assert [found[name].kind for name in ("swapped", "link")] == ["d", "l"]  # type: ignore[union-attr]
        assert found["content"] == identity.from_stat((laptop.folder / "content").lstat())

    def test_what_changes_in_a_folder_is_no_difference_of_the_folder(self, laptop: Laptop) -> None:
        laptop.directory("d")
        (laptop.folder / "d/theirs").write_text("x")
        assert laptop.sweep() == []

    def test_it_is_cut_into_parts_that_fit_into_frames(self, laptop: Laptop) -> None:
        """Names that JSON makes six times as long, and that hardly compress."""
        entries = []
        for number in range(5000):
            raw = os.urandom(100).replace(b"/", b"-").replace(b"\0", b"-")
            name = f"{raw.decode('utf-8', 'surrogateescape')}{number}"
            entries.append((name, Identity("f", 0, 0, 0, 0, number)))
        for last, packed in identity.pack_parts(entries):
            laptop.files.handle(m.Manage(9000, ROOT, False, last, packed))
        parts = laptop.heard.of(m.Swept)
        assert len(parts) > 1
        assert all(len(frames.encode(m.encode(part))) < frames.MAX_FRAME / 2 for part in parts)
        assert [part.last for part in parts] == [False] * (len(parts) - 1) + [True]
        assert sorted(swept(parts)) == sorted((path, None) for path, _ in entries)

    def test_changes_made_meanwhile_are_no_differences(self, laptop: Laptop) -> None:
        for number in range(50):
            laptop.put(f"d{number % 5}/f{number}", b"x")
        stop = threading.Event()

        def change() -> None:
            seq = laptop.seq
            while not stop.is_set():
                for number in range(50):
                    seq += 1
                    path = f"d{number % 5}/f{number}"
                    expect = seen(laptop.files._roots[ROOT].managed.get(path))
                    laptop.files.handle(put_message(seq, path, b"%d" % seq, expect))

        changer = threading.Thread(target=change)
        changer.start()
        try:
            for _ in range(30):
                assert laptop.sweep() == []
        finally:
            stop.set()
            changer.join()
        assert laptop.heard.of(m.Refused) == []

    def test_a_folder_that_nobody_may_enter_is_a_difference(
        self, laptop: Laptop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        laptop.put("d/f", b"x")
        shutil.rmtree(laptop.folder / "d")
        (laptop.folder / "d").write_text("now a file")
        assert laptop.sweep() == [("d/f", None)]


class TestBarrier:
    def test_a_run_starts_when_the_set_is_as_it_says(self, laptop: Laptop) -> None:
        laptop.put("a", b"x")
        assert laptop.barrier(1, identity.digest(entries_of(laptop))) == ("", [])
        assert laptop.barrier(1) == ("", [])

    def test_a_managed_file_that_differs_is_named(self, laptop: Laptop) -> None:
        laptop.put("a", b"x")
        (laptop.folder / "a").write_bytes(b"theirs")
        why, entries = laptop.barrier(1)
        assert "1 managed file" in why
        assert entries == entries_of(laptop)
        assert laptop.barrier(1, "nonsense", force=True) == ("", [])

    def test_another_set_is_told_though_nothing_differs(self, laptop: Laptop) -> None:
        laptop.put("a", b"x")
        why, entries = laptop.barrier(1, identity.digest([]).replace("0", "1"))
        assert "list of files" in why
        assert entries == []

    def test_a_set_whose_answers_are_on_their_way_will_do(self, laptop: Laptop) -> None:
        laptop.put("a", b"x")
        before = identity.digest(entries_of(laptop))
        laptop.put("b", b"x")
        laptop.put("a", b"y", after(1))
        assert laptop.barrier(1, before) == ("", [])

    def test_a_run_waits_for_a_change_that_has_not_even_begun(self, laptop: Laptop) -> None:
        passed = Passed()
        laptop.files.barrier(ROOT, 2, "", False, passed)
        laptop.files.handle(put_message(2, "small", b"x"))
        laptop.answer(2)
        assert not passed.calls
        laptop.files.handle(put_message(1, "large", b"12345", stream=b"\x00\x0512", last=False))
        assert not passed.calls
        laptop.files.handle(m.PutPart(1, ROOT, True, False, b"345"))
        assert passed.result() == ("", [])

    def test_an_aborted_change_is_named(self, laptop: Laptop) -> None:
        passed = Passed()
        laptop.files.barrier(ROOT, 1, "", False, passed)
        laptop.files.handle(put_message(1, "model.py", b"12345", stream=b"\x00\x0512", last=False))
        laptop.files.handle(m.PutPart(1, ROOT, True, True, b""))
        why, entries = passed.result()
        assert "model.py" in why
        assert entries == []

    def test_a_refused_save_is_named_until_it_is_dealt_with(self, laptop: Laptop) -> None:
        (laptop.folder / "a").write_text("theirs")
        laptop.put("a", b"mine")
        assert "a could not be written" in laptop.barrier(1)[0]
        laptop.put("b", b"mine")
        assert "a could not be written" in laptop.barrier(2)[0]
        laptop.files.handle(m.Forget(0, ROOT, ["a"]))
        assert laptop.barrier(2) == ("", [])

    def test_a_later_save_of_the_path_deals_with_it(self, laptop: Laptop) -> None:
        (laptop.folder / "a").write_text("theirs")
        have = laptop.put("a", b"mine").have
        laptop.put("a", b"mine", seen(have))
        assert laptop.barrier(2) == ("", [])

    def test_a_refusal_behind_the_run_does_not_matter(self, laptop: Laptop) -> None:
        laptop.put("a", b"x")
        laptop.put("a", b"y")
        assert laptop.barrier(1) == ("", [])

    def test_several_runs_wait_at_once(self, laptop: Laptop) -> None:
        waiting = [Passed() for _ in range(20)]
        for number, passed in enumerate(waiting):
            laptop.files.barrier(ROOT, number % 3 + 1, "", False, passed)
        for number in range(3):
            laptop.put(f"f{number}", b"x")
        assert [passed.result() for passed in waiting] == [("", [])] * 20

    def test_a_run_in_a_folder_that_was_not_opened_is_told(self, laptop: Laptop) -> None:
        passed = Passed()
        laptop.files.barrier(99, 0, "", False, passed)
        assert "not opened" in passed.result()[0]

    @pytest.mark.parametrize("force", [False, True])
    def test_who_waits_is_told_at_the_end(self, laptop: Laptop, force: bool) -> None:
        passed = Passed()
        laptop.files.barrier(ROOT, 7, "", force, passed)
        laptop.files.close()
        assert passed.result()[0]

    def test_who_waits_is_told_when_the_root_is_opened_again(self, laptop: Laptop) -> None:
        passed = Passed()
        laptop.files.barrier(ROOT, 7, "", False, passed)
        laptop.ask(lambda id: m.Open(id, ROOT, str(laptop.folder)))
        assert "opened again" in passed.result()[0]

    def test_a_root_that_is_gone_is_told(self, laptop: Laptop) -> None:
        laptop.put("a", b"x")
        shutil.rmtree(laptop.folder)
        assert laptop.barrier(1)[0]

    def test_the_named_paths_are_bounded(self, laptop: Laptop) -> None:
        entries = [(f"f{number}", Identity("f", 0, 0, 0, 0, 0)) for number in range(1500)]
        laptop.manage(list(entries))
        why, named = laptop.barrier(0)
        assert "1500" in why
        assert len(named) == 1000


IDENTITIES = st.one_of(
    st.none(),
    st.builds(
        Identity,
        st.sampled_from("fdlo"),
        st.integers(0, 0o7777),
        *[st.integers(0, 1 << 62)] * 4,
    ),
)


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b", "d/a", "d/e/b"]), IDENTITIES, st.booleans()),
        max_size=30,
    )
)
def test_the_digest_is_that_of_the_set_however_it_came_about(
    changes: list[tuple[str, Identity | None, bool]],
) -> None:
    managed, model = Managed(), {}
    digests = [managed.digest]
    for path, found, answer in changes:
        if answer:
            managed.answered(path, found)
        else:
            managed.adopt([(path, found)])
        model[path] = found
        if found is None:
            del model[path]
        assert managed.digest == identity.digest(model.items())
        assert managed.count == len(model)
        assert {name: managed.get(name) for name in model} == model
        digests.append(managed.digest)
    if all(answer for _, _, answer in changes):
        assert all(managed.is_known_as(digest) for digest in digests)


@given(st.permutations(range(1, 12)), st.lists(st.integers(0, 12), max_size=8))
def test_who_waits_is_let_go_once_and_in_time(order: list[int], waits: list[int]) -> None:
    changes, let_go, answered = Order(), [], set[int]()
    for number, upto in enumerate(waits):
        if not changes.after_all(upto, lambda number=number: let_go.append(number)):  # type: ignore[misc]
            assert upto == 0
            let_go.append(number)
    for seq in order:
        for task in changes.answer(seq, Outcome("f", None)):
            task()
        answered.add(seq)
        complete = 0
        while complete + 1 in answered:
            complete += 1
        assert changes.all_upto == complete
        free = sorted(number for number, upto in enumerate(waits) if upto <= complete)
        assert sorted(let_go) == free
    assert [changes.is_answered(seq) for seq in range(13)] == [True] * 12 + [False]


def test_an_entry_takes_little_memory() -> None:
    """161 bytes, measured."""
    numbers = range(4000)
    managed = Managed()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        managed.adopt(
            (f"package_{n // 40}/module_number{n % 40}.py", Identity("f", 420, n, 10**18, n, n))
            for n in numbers
        )
        managed.take_unsaved()
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert taken / len(numbers) < 200
