from __future__ import annotations

import contextlib
import errno
import os
import stat
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.agent.changes import copying, incoming
from sidecar.agent.changes.permissions import with_executable
from sidecar.core import delta, identity
from sidecar.core import messages as m
from tests.agent.laptop import (
    NOON,
    NOTHING,
    ROOT,
    Laptop,
    after,
    put_message,
    seen,
    small_disk,
)


@pytest.fixture
def laptop(tmp_path: Path) -> Iterator[Laptop]:
    laptop = Laptop(tmp_path / "code")
    yield laptop
    laptop.files.close()
    assert list((laptop.folder / ".sidecar/tmp").iterdir()) == []


def there(laptop: Laptop, path: str) -> identity.Identity:
    return identity.from_stat((laptop.folder / path).lstat())


class TestPut:
    def test_a_new_file_is_there_as_announced(self, laptop: Laptop) -> None:
        applied = laptop.put("pkg/sub/a.py", b"x = 1\n", executable=True)
        assert applied == m.Applied(1, ROOT, "pkg/sub/a.py", there(laptop, "pkg/sub/a.py"))
        assert laptop.read("pkg/sub/a.py") == b"x = 1\n"
        assert applied.identity.mtime_ns == NOON
        assert applied.identity.executable
        assert laptop.leftovers() == []

    @pytest.mark.parametrize("codec", ["", "zlib"])
    @pytest.mark.parametrize("size", [0, 1, 5000, 3 << 20])
    def test_content_of_any_size_comes_whole(self, laptop: Laptop, codec: str, size: int) -> None:
        content = bytes(range(256)) * (size // 256 + 1)
        content = content[:size]
        assert isinstance(laptop.put("f", content, codec=codec), m.Applied)
        assert laptop.read("f") == content

    def test_a_delta_is_applied_to_what_is_there(self, laptop: Laptop) -> None:
        laptop.put("f", b"0123456789")
        stream = (
            delta.encode_copy(5, 5)
            + delta.encode_literal(b"--")
            + delta.encode_copy(0, 3)
            + delta.encode_copy(0, 0)
        )
        laptop.put("f", b"56789--012", after(1), stream=stream, old=True)
        assert laptop.read("f") == b"56789--012"

    def test_a_stream_comes_in_parts(self, laptop: Laptop) -> None:
        content = os.urandom(100_000)
        stream = zlib.compress(delta.encode_literal(content))
        seq = laptop.next()
        head = put_message(seq, "f", content, stream=stream[:10], codec="zlib", last=False)
        laptop.files.handle(head)
        for at in range(10, len(stream), 30_000):
            laptop.files.handle(m.PutPart(seq, ROOT, False, False, stream[at : at + 30_000]))
        assert not (laptop.folder / "f").exists()
        laptop.files.handle(m.PutPart(seq, ROOT, True, False, b""))
        assert isinstance(laptop.answer(seq), m.Applied)
        assert laptop.read("f") == content

    def test_an_aborted_stream_leaves_nothing(self, laptop: Laptop) -> None:
        seq = laptop.next()
        laptop.files.handle(put_message(seq, "f", b"12345", stream=b"\x00\x05123", last=False))
        laptop.files.handle(m.PutPart(seq, ROOT, True, True, b""))
        assert laptop.answer(seq).code == "aborted"
        assert laptop.leftovers() == []
        assert laptop.barrier(seq)[0]  # a run behind it is answered, too

    def test_a_part_without_its_beginning_is_answered(self, laptop: Laptop) -> None:
        laptop.files.handle(m.PutPart(1, ROOT, True, False, b"x"))
        assert laptop.answer(1).code == "aborted"

    @pytest.mark.parametrize(
        ("stream", "codec"),
        [
            (b"", ""),
            (b"\x05", ""),
            (b"\x00", ""),
            (b"\x00\x05123", ""),
            (b"\x00\x0612345x", ""),
            (b"\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", ""),
            (delta.encode_literal(b"54321"), ""),
            (delta.encode_copy(0, 5), ""),
            (delta.encode_literal(b"12345"), "zlib"),
            (zlib.compress(delta.encode_literal(b"12345"))[:-1], "zlib"),
            (zlib.compress(delta.encode_literal(b"12345")) + b"x", "zlib"),
            (zlib.compress(delta.encode_literal(b"x" * 50_000_000)), "zlib"),
            (zlib.compress(b"\x00\x00" * 10_000_000), "zlib"),
            (delta.encode_literal(b"12345"), "zstd"),
        ],
    )
    def test_a_damaged_stream_is_refused(self, laptop: Laptop, stream: bytes, codec: str) -> None:
        laptop.put("f", b"old")
        refused = laptop.put("f", b"12345", after(1), stream=stream, codec=codec)
        assert refused.code == "damaged"
        assert laptop.read("f") == b"old"
        assert laptop.leftovers() == []

    @pytest.mark.parametrize("copy", [(0, 4), (3, 1), (1 << 60, 1), (0, 1 << 60)])
    def test_a_copy_beyond_the_old_content_is_refused(
        self, laptop: Laptop, copy: tuple[int, int]
    ) -> None:
        laptop.put("f", b"old")
        stream = delta.encode_copy(*copy)
        refused = laptop.put("f", b"1234", after(1), stream=stream, old=True)
        assert (refused.code, laptop.read("f")) == ("damaged", b"old")

    @pytest.mark.parametrize("fields", [{"size": -1}, {"mtime_ns": 1 << 100}])
    def test_numbers_that_no_file_can_have_are_refused(
        self, laptop: Laptop, fields: dict[str, Any]
    ) -> None:
        assert laptop.put("f", b"x", **fields).code == "damaged"
        assert not (laptop.folder / "f").exists()

    def test_copies_stay_right_without_help_of_the_kernel(
        self, laptop: Laptop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def cannot(*_: int) -> int:
            raise OSError(errno.ENOSYS, "Function not implemented")

        content = os.urandom(3 << 20)
        laptop.put("f", content)
        for ways in ([cannot, copying._sendfile], [cannot, cannot], [lambda *_: 0]):
            monkeypatch.setattr(copying, "_IN_KERNEL", ways)
            stream = delta.encode_copy(1 << 20, 2 << 20) + delta.encode_copy(0, 1 << 20)
            content = content[1 << 20 :] + content[: 1 << 20]
            laptop.put("f", content, after(laptop.seq), stream=stream, old=True)
            assert laptop.read("f") == content

    def test_a_file_changed_while_it_is_copied_is_refused(self, laptop: Laptop) -> None:
        laptop.put("f", b"0123456789")
        seq = laptop.next()
        head = put_message(
            seq, "f", b"0123456789", after(1), stream=delta.encode_copy(0, 5), old=True, last=False
        )
        laptop.files.handle(head)
        with (laptop.folder / "f").open("r+b") as file:
            file.write(b"theirs")
        rest = delta.encode_copy(5, 5)
        laptop.files.handle(m.PutPart(seq, ROOT, True, False, rest))
        refused = laptop.answer(seq)
        assert (refused.code, refused.have) == ("differs", there(laptop, "f"))
        assert laptop.read("f") == b"theirs6789"
        assert laptop.leftovers() == []


class TestWhatIsExpected:
    def test_nothing_is_overwritten_where_nothing_is_expected(self, laptop: Laptop) -> None:
        (laptop.folder / "f").write_bytes(b"theirs")
        refused = laptop.put("f", b"mine")
        assert (refused.code, refused.have) == ("differs", there(laptop, "f"))
        assert laptop.read("f") == b"theirs"

    def test_an_edit_there_is_never_overwritten(self, laptop: Laptop) -> None:
        before = laptop.put("f", b"mine").identity
        (laptop.folder / "f").write_bytes(b"theirs")
        for expect in (after(1), seen(before), seen(before, delta.content_digest(b"mine"))):
            refused = laptop.put("f", b"newer", expect)
            assert (refused.code, refused.have) == ("differs", there(laptop, "f"))
        assert laptop.remove("f", after(1)).code == "differs"
        assert laptop.mode("f", after(1), True).code == "differs"
        assert laptop.read("f") == b"theirs"

    def test_an_edit_of_equal_size_and_mtime_is_seen(self, laptop: Laptop) -> None:
        before = laptop.put("f", b"mine").identity
        (laptop.folder / "f").write_bytes(b"hers")
        os.utime(laptop.folder / "f", ns=(NOON, NOON))
        assert laptop.put("f", b"newer", seen(before)).code == "differs"

    def test_equal_content_under_another_identity_will_do(self, laptop: Laptop) -> None:
        before = laptop.put("f", b"same").identity
        os.utime(laptop.folder / "f", ns=(NOON + 5, NOON + 5))
        applied = laptop.put("f", b"new", seen(before, delta.content_digest(b"same")))
        assert isinstance(applied, m.Applied)
        assert laptop.read("f") == b"new"

    def test_what_is_there_already_is_applied_again(self, laptop: Laptop) -> None:
        """The answer was lost with the connection, and the change comes once more."""
        first = laptop.put("f", b"old")
        second = laptop.put("f", b"new", seen(first.identity))
        again = laptop.put("f", b"new", seen(first.identity), executable=True)
        assert again.identity.inode == second.identity.inode
        assert again.identity.executable
        stream = delta.encode_copy(0, 1) + delta.encode_literal(b"ew")
        once_more = laptop.put("f", b"new", seen(first.identity), stream=stream, old=True)
        assert isinstance(once_more, m.Applied)
        assert laptop.read("f") == b"new"

    def test_gone_there_is_told(self, laptop: Laptop) -> None:
        before = laptop.put("f", b"mine").identity
        (laptop.folder / "f").unlink()
        refused = laptop.put("f", b"newer", seen(before))
        assert (refused.code, refused.have) == ("differs", None)

    def test_saves_of_one_path_follow_each_other_without_waiting(self, laptop: Laptop) -> None:
        for number in range(1, 20):
            laptop.files.handle(
                put_message(
                    number, "f", b"%d" % number, after(number - 1) if number > 1 else NOTHING
                )
            )
        assert isinstance(laptop.answer(19), m.Applied)
        assert laptop.read("f") == b"19"

    def test_a_refused_change_refuses_those_that_follow_it(self, laptop: Laptop) -> None:
        (laptop.folder / "f").write_bytes(b"theirs")
        laptop.put("f", b"1")
        assert laptop.put("f", b"2", after(1)).code == "follows"
        assert laptop.remove("f", after(2)).code == "follows"
        assert laptop.put("g", b"1").seq == 4
        assert laptop.read("f") == b"theirs"

    def test_a_change_waits_for_the_one_before_it_and_holds_up_no_other(
        self, laptop: Laptop
    ) -> None:
        large = put_message(1, "f", b"12345", stream=b"\x00\x0512", last=False)
        laptop.files.handle(large)
        laptop.files.handle(put_message(2, "f", b"newer", after(1)))
        laptop.files.handle(m.Remove(3, ROOT, "f", after(2)))
        laptop.files.handle(put_message(4, "g", b"other"))
        laptop.files.handle(put_message(5, "f", b"67890", after(3), stream=b"\x00\x05", last=False))
        laptop.files.handle(m.PutPart(5, ROOT, False, False, b"678"))
        laptop.files.handle(m.PutPart(5, ROOT, True, False, b"90"))
        assert isinstance(laptop.answer(4), m.Applied)
        assert [one.seq for one in laptop.heard.of(m.Applied)] == [4]
        laptop.files.handle(m.PutPart(1, ROOT, True, False, b"345"))
        assert isinstance(laptop.answer(5), m.Applied)
        assert [one.seq for one in laptop.heard.of(m.Applied)] == [4, 1, 2, 3, 5]
        assert laptop.read("f") == b"67890"

    def test_too_much_that_waits_is_refused(
        self, laptop: Laptop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(incoming, "MOST_HELD", 10)
        laptop.files.handle(put_message(1, "f", b"12345", stream=b"\x00\x0512", last=False))
        laptop.files.handle(put_message(2, "f", b"x" * 20, after(1), stream=b"", last=False))
        laptop.files.handle(m.PutPart(2, ROOT, False, False, b"x" * 11))
        assert laptop.answer(2).code == "aborted"
        laptop.files.handle(m.PutPart(2, ROOT, True, False, b"x"))
        laptop.files.handle(m.PutPart(1, ROOT, True, False, b"345"))
        assert isinstance(laptop.answer(1), m.Applied)

    @pytest.mark.parametrize("seq", [2, 7, -1])
    def test_expecting_a_change_that_is_not_before_is_refused(
        self, laptop: Laptop, seq: int
    ) -> None:
        laptop.next()
        assert laptop.put("f", b"x", m.Expect(seq, None, "")).code == "damaged"

    def test_expecting_a_change_of_another_path_is_refused(self, laptop: Laptop) -> None:
        laptop.put("f", b"x")
        assert laptop.put("g", b"x", after(1)).code == "damaged"

    @pytest.mark.parametrize("seq", [0, -5, 1 << 40])
    def test_a_number_out_of_turn_is_refused(self, laptop: Laptop, seq: int) -> None:
        laptop.files.handle(put_message(seq, "f", b"x"))
        assert laptop.answer(seq).code == "aborted"

    def test_a_change_told_twice_is_made_once(self, laptop: Laptop) -> None:
        laptop.put("f", b"x")
        laptop.files.handle(put_message(1, "f", b"y"))
        assert laptop.read("f") == b"x"
        assert len(laptop.heard.of(m.Applied)) == 1


class TestSwaps:
    """A file, a folder and a link in each other's place: told, never followed."""

    def test_a_folder_where_a_file_was(self, laptop: Laptop) -> None:
        laptop.put("f", b"x")
        (laptop.folder / "f").unlink()
        (laptop.folder / "f").mkdir()
        (laptop.folder / "f/inner").write_text("theirs")
        for refused in (
            laptop.put("f", b"y", after(1)),
            laptop.link("f", "x", after(1)),
            laptop.remove("f", after(1)),
            laptop.mode("f", after(1), True),
        ):
            assert (refused.code, refused.have.kind) == ("differs", "d")
        assert laptop.put("f", b"y", seen(there(laptop, "f"))).code == "differs"

    def test_a_link_where_a_file_was(self, laptop: Laptop, tmp_path: Path) -> None:
        (tmp_path / "outside").write_bytes(b"x")
        laptop.put("f", b"x")
        (laptop.folder / "f").unlink()
        (laptop.folder / "f").symlink_to(tmp_path / "outside")
        for refused in (
            laptop.put("f", b"y", after(1)),
            laptop.remove("f", after(1)),
            laptop.mode("f", after(1), True),
            laptop.directory("f"),
        ):
            assert (refused.code, refused.have.kind) == ("differs", "l")
        assert (tmp_path / "outside").read_bytes() == b"x"

    def test_a_link_that_is_expected_is_replaced_and_not_followed(
        self, laptop: Laptop, tmp_path: Path
    ) -> None:
        (tmp_path / "outside").write_bytes(b"x")
        (laptop.folder / "f").symlink_to(tmp_path / "outside")
        assert isinstance(laptop.put("f", b"y", seen(there(laptop, "f"))), m.Applied)
        assert (tmp_path / "outside").read_bytes() == b"x"
        assert laptop.read("f") == b"y"

    def test_a_file_where_a_folder_was(self, laptop: Laptop) -> None:
        folder = laptop.directory("d").identity
        (laptop.folder / "d").rmdir()
        (laptop.folder / "d").write_text("theirs")
        assert laptop.remove("d", seen(folder)).code == "differs"
        assert laptop.directory("d").have.kind == "f"
        assert laptop.put("d/f", b"x").code == "path"
        assert laptop.read("d") == b"theirs"

    def test_a_fifo_where_a_file_was(self, laptop: Laptop) -> None:
        laptop.put("f", b"x")
        (laptop.folder / "f").unlink()
        os.mkfifo(laptop.folder / "f")
        for refused in (laptop.put("f", b"y", after(1)), laptop.remove("f", after(1))):
            assert (refused.code, refused.have.kind) == ("differs", "o")
        assert laptop.put("f", b"y", seen(there(laptop, "f"))).code == "differs"


ATTACKS = [
    "", "/", "/etc/passwd", "..", "../f", "a/../../f", "a/./f", "a//f", "f/", "a\0b",
    ".sidecar", ".sidecar/marker.json", "x" * 256, "a/" * 2049 + "f", "\ud800",
]  # fmt: skip


class TestAttacks:
    @pytest.mark.parametrize("path", ATTACKS)
    def test_a_path_that_leaves_the_root_is_refused(self, laptop: Laptop, path: str) -> None:
        before = sorted(laptop.folder.parent.rglob("*"))
        answers = [
            laptop.put(path, b"x"),
            laptop.link(path, "x"),
            laptop.directory(path),
            laptop.remove(path, NOTHING),
            laptop.mode(path, NOTHING, True),
        ]
        assert {answer.code for answer in answers} == {"path"}
        assert sorted(laptop.folder.parent.rglob("*")) == before

    @pytest.mark.parametrize("target", ["/etc", "..", "a/../../x", "", "x\0y"])
    def test_a_link_that_leads_out_is_refused(self, laptop: Laptop, target: str) -> None:
        assert laptop.link("l", target).code == "path"
        assert not (laptop.folder / "l").is_symlink()

    def test_nothing_is_written_through_a_link(self, laptop: Laptop, tmp_path: Path) -> None:
        (tmp_path / "outside").mkdir()
        (laptop.folder / "l").symlink_to(tmp_path / "outside")
        answers = [
            laptop.put("l/f", b"x"),
            laptop.link("l/f", "x"),
            laptop.directory("l/f"),
            laptop.put("l/a/b/f", b"x"),
            laptop.mode("l/f", NOTHING, True),
            laptop.remove("l/f", NOTHING),
        ]
        assert {answer.code for answer in answers} == {"path"}
        assert list((tmp_path / "outside").iterdir()) == []

    def test_a_link_swapped_in_between_two_parts_is_not_followed(
        self, laptop: Laptop, tmp_path: Path
    ) -> None:
        (tmp_path / "outside").mkdir()
        laptop.directory("d")
        seq = laptop.next()
        laptop.files.handle(put_message(seq, "d/f", b"12345", stream=b"\x00\x0512", last=False))
        (laptop.folder / "d").rename(laptop.folder / "moved")
        (laptop.folder / "d").symlink_to(tmp_path / "outside")
        laptop.files.handle(m.PutPart(seq, ROOT, True, False, b"345"))
        assert laptop.answer(seq).code == "path"
        assert list((tmp_path / "outside").iterdir()) == []

    def test_while_links_are_swapped_in_and_out_nothing_gets_out(
        self, laptop: Laptop, tmp_path: Path
    ) -> None:
        outside, folder, real = tmp_path / "outside", laptop.folder / "d", laptop.folder / "real"
        outside.mkdir()
        real.mkdir()
        stop = threading.Event()

        def swap() -> None:
            """d is in turn a folder and a link to the outside, by renames."""
            steps: list[Callable[[], Any]] = [
                lambda: real.rename(folder),
                lambda: folder.rename(real),
                lambda: folder.symlink_to(outside),
                lambda: folder.unlink(),
            ]
            while not stop.is_set():
                for step in steps:
                    with contextlib.suppress(OSError):  # the agent makes d where it is missing
                        step()

        swapper = threading.Thread(target=swap)
        swapper.start()
        try:
            for number in range(200):
                seq = laptop.next()
                laptop.files.handle(put_message(seq, f"d/f{number}", b"x"))
        finally:
            stop.set()
            swapper.join()
        laptop.answer(laptop.seq)
        assert list(outside.iterdir()) == []

    def test_changes_of_a_root_that_was_not_opened_are_refused(self, laptop: Laptop) -> None:
        message = put_message(1, "f", b"x")._replace(root=99)
        laptop.files.handle(message)
        laptop.files.handle(m.PutPart(1, 99, True, False, b""))
        assert laptop.answer(1).code == "path"

    def test_a_root_without_our_marker_is_not_written_to(self, tmp_path: Path) -> None:
        (tmp_path / "code").mkdir()
        laptop = Laptop(tmp_path / "code", claim=False)
        assert laptop.put("f", b"x").code == "path"
        assert list((tmp_path / "code").iterdir()) == []
        laptop.files.close()

    def test_a_root_that_was_replaced_is_not_written_to(self, tmp_path: Path) -> None:
        laptop = Laptop(tmp_path / "code")
        laptop.put("f", b"x")
        laptop.folder.rename(tmp_path / "old")
        assert laptop.put("g", b"x").code == "root"
        laptop.folder.mkdir()
        assert laptop.put("g", b"x").code == "root"
        assert list(laptop.folder.iterdir()) == []
        assert not (tmp_path / "old/g").exists()
        laptop.files.close()


class TestModes:
    def test_a_new_file_follows_the_umask(self, laptop: Laptop) -> None:
        before = os.umask(0o027)
        try:
            plain, program = laptop.put("f", b"x"), laptop.put("p", b"x", executable=True)
        finally:
            os.umask(before)
        assert plain.identity.mode == 0o640
        assert program.identity.mode == 0o750

    @pytest.mark.parametrize(
        ("before", "executable", "expected"),
        [
            (0o600, False, 0o600),
            (0o600, True, 0o700),
            (0o640, True, 0o750),
            (0o755, False, 0o644),
            (0o754, True, 0o754),
            (0o666, False, 0o666),
            (0o6755, True, 0o755),
        ],
    )
    def test_a_replaced_files_mode_stays_but_for_the_executable_bit(
        self, laptop: Laptop, before: int, executable: bool, expected: int
    ) -> None:
        laptop.put("f", b"x")
        (laptop.folder / "f").chmod(before)
        applied = laptop.put("f", b"y", seen(there(laptop, "f")), executable=executable)
        assert applied.identity.mode == expected

    @given(st.integers(0, 0o777), st.booleans())
    def test_a_mode_is_never_wider_than_reading_was(self, mode: int, executable: bool) -> None:
        wider = with_executable(mode, executable) & ~mode
        assert wider & ~0o111 == 0
        assert wider & ~(mode >> 2) == 0

    def test_mode_and_mtime_alone(self, laptop: Laptop) -> None:
        before = laptop.put("f", b"x").identity
        applied = laptop.mode("f", after(1), True, NOON + 7)
        assert applied.identity == there(laptop, "f")
        assert (applied.identity.inode, applied.identity.mtime_ns) == (before.inode, NOON + 7)
        assert applied.identity.mode == before.mode | 0o111
        assert laptop.mode("f", after(2), False).identity.mode == before.mode

    @pytest.mark.skipif(os.getuid() != 0, reason="only on a machine where we are root")
    def test_owner_and_group_stay(self, laptop: Laptop) -> None:
        laptop.put("f", b"x")
        os.chown(laptop.folder / "f", 12345, 12346)
        laptop.put("f", b"y", seen(there(laptop, "f")))
        status = (laptop.folder / "f").stat()
        assert (status.st_uid, status.st_gid) == (12345, 12346)

    @pytest.mark.skipif(os.getuid() != 0, reason="only on a machine where we are root")
    def test_a_setgid_folder_gives_its_group(self, laptop: Laptop) -> None:
        laptop.directory("d")
        os.chown(laptop.folder / "d", -1, 12346)
        (laptop.folder / "d").chmod(0o2775)
        applied = laptop.put("d/f", b"x", executable=True)
        laptop.put("d/sub/g", b"x")
        assert (laptop.folder / "d/f").stat().st_gid == 12346
        assert (laptop.folder / "d/sub/g").stat().st_gid == 12346
        assert stat.S_IMODE((laptop.folder / "d/sub").stat().st_mode) & stat.S_ISGID
        assert applied.identity.executable


class TestOthers:
    def test_links_are_made_replaced_and_removed(self, laptop: Laptop) -> None:
        assert laptop.link("d/l", "../a").identity == there(laptop, "d/l")
        assert laptop.link("d/l", "caf\udce9", after(1)).identity == there(laptop, "d/l")
        assert os.readlink(os.fsencode(laptop.folder / "d/l")) == b"caf\xe9"
        assert laptop.remove("d/l", after(2)).identity is None
        assert not (laptop.folder / "d/l").is_symlink()
        assert laptop.leftovers() == []

    def test_names_that_are_no_utf8_are_names(self, laptop: Laptop) -> None:
        laptop.put("caf\udce9/\udcff", b"x")
        assert os.listdir(os.fsencode(laptop.folder) + b"/caf\xe9") == [b"\xff"]

    def test_a_folder_that_is_there_is_made(self, laptop: Laptop) -> None:
        first, second = laptop.directory("a/b"), laptop.directory("a/b")
        assert first.identity == second.identity == there(laptop, "a/b")

    def test_only_an_empty_folder_is_removed(self, laptop: Laptop) -> None:
        folder = laptop.directory("d").identity
        (laptop.folder / "d/theirs").write_text("x")
        refused = laptop.remove("d", seen(folder))
        assert (refused.code, "theirs" in refused.why) == ("differs", True)
        (laptop.folder / "d/theirs").unlink()
        assert laptop.remove("d", seen(folder)).identity is None

    def test_bytecode_of_removed_modules_does_not_keep_a_folder(self, laptop: Laptop) -> None:
        folder = laptop.directory("d").identity
        cache = laptop.folder / "d/__pycache__"
        cache.mkdir()
        (cache / "a.cpython-311.pyc").write_bytes(b"x")
        assert isinstance(laptop.remove("d", seen(folder)), m.Applied)
        assert not cache.parent.exists()

    @pytest.mark.parametrize("other", ["d/x", "d/__pycache__/notes.txt", "d/__pycache__/f.pyc/x"])
    def test_anything_else_does(self, laptop: Laptop, other: str) -> None:
        folder = laptop.directory("d").identity
        cache = laptop.folder / "d/__pycache__"
        cache.mkdir()
        (cache / "a.pyc").write_bytes(b"x")
        (laptop.folder / other).parent.mkdir(exist_ok=True)
        (laptop.folder / other).write_bytes(b"x")
        assert laptop.remove("d", seen(folder)).code == "differs"
        assert (cache / "a.pyc").exists()
        assert (laptop.folder / other).exists()

    def test_what_is_gone_already_is_removed(self, laptop: Laptop) -> None:
        before = laptop.put("f", b"x").identity
        (laptop.folder / "f").unlink()
        assert laptop.remove("f", seen(before)) == m.Applied(2, ROOT, "f", None)
        assert isinstance(laptop.remove("never/there", seen(before)), m.Applied)


class TestFullDisk:
    def test_a_full_disk_is_told_and_nothing_is_left_over(self, tmp_path: Path) -> None:
        with small_disk(tmp_path / "disk") as disk:
            laptop = Laptop(disk / "code")
            laptop.put("f", b"old" * 1000)
            content = os.urandom(700_000)
            assert isinstance(laptop.put("g", content), m.Applied)
            refused = laptop.put("f", content, after(1))
            assert (refused.code, "full" in refused.why) == ("disk", True)
            assert laptop.put("h", b"x" * (2 << 20), codec="zlib").code == "disk"
            assert laptop.read("f") == b"old" * 1000
            assert laptop.leftovers() == []
            laptop.remove("f", after(1))
            assert isinstance(laptop.put("f", b"small", after(laptop.seq)), m.Applied)
            laptop.files.close()

    def test_a_mount_inside_the_root_is_written_to_as_well(self, tmp_path: Path) -> None:
        laptop = Laptop(tmp_path / "code")
        with small_disk(tmp_path / "code/data") as disk:
            applied = laptop.put("data/f", b"one", executable=True)
            assert applied.identity == there(laptop, "data/f")
            assert applied.identity.mtime_ns == NOON
            assert applied.identity.executable
            laptop.put("data/f", b"two", after(1))
            laptop.link("data/l", "f")
            laptop.link("data/l", "g", after(3))
            assert os.readlink(disk / "l") == "g"
            assert laptop.put("data/g", b"x" * 900_000).seq == 5
            refused = laptop.put("data/h", b"x" * 900_000)
            assert refused.code == "disk"
            assert laptop.remove("data/f", after(2)).identity is None
            assert sorted(os.listdir(disk)) == ["g", "l"]
            assert sorted(laptop.trashed("data/f")) == [b"one", b"two"]
            assert laptop.leftovers() == []
            laptop.files.close()

    @pytest.mark.parametrize(
        "number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EACCES, errno.EROFS]
    )
    def test_every_error_of_the_disk_is_told(
        self, laptop: Laptop, number: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object, **__: object) -> int:
            raise OSError(number, os.strerror(number))

        laptop.put("f", b"old")
        # Links alone can be missing on a file system; then there is another way.
        for names in (["pwrite"], ["utime"], ["link", "rename"]):
            with monkeypatch.context() as patch:
                for name in names:
                    patch.setattr(os, name, fail)
                refused = laptop.put("f", b"new", after(1))
                new = laptop.put("new", b"new")
            assert refused.code in ("disk", "path")
            assert new.code in ("disk", "path")
            assert refused.why
            assert laptop.read("f") == b"old"
            assert not (laptop.folder / "new").exists()
            assert laptop.leftovers() == []


def test_leftovers_of_an_agent_that_died_are_removed(tmp_path: Path) -> None:
    """An agent is killed in the middle of a Put, on both kinds of staging."""
    program = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from sidecar.agent.changes.staging import Staging
from sidecar.agent.roots.root import Root
root = Root(1, {os.fsencode(tmp_path / "code")!r})
root.claim("marker-1", "ada@laptop")
os.mkdir({str(tmp_path / "code/data")!r})
area = Staging(root)
os.write(area.new().descriptor, b"half")
second = area.new()
area.note(b"2", "data")
with root.folder(["data"]) as folder:
    beside = b".sidecar-new-" + area.token.encode() + b"-2"
    os.close(os.open(beside, os.O_CREAT, 0o600, dir_fd=folder))
print(area.token, flush=True)
sys.stdin.read()
os.kill(os.getpid(), signal.SIGKILL)
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as agent:
        assert agent.stdout
        assert agent.stdin
        token = agent.stdout.readline().strip()
        laptop = Laptop(tmp_path / "code")
        laptop.put("f", b"x")
        theirs = laptop.folder / ".sidecar/tmp" / token
        assert sorted(one.name for one in theirs.iterdir()) == ["1", "2", "2.beside", "lock"]
        laptop.files.close()
        agent.stdin.close()
        agent.wait()
    laptop = Laptop(tmp_path / "code")
    laptop.put("g", b"x")
    assert not theirs.exists()
    assert list((laptop.folder / "data").iterdir()) == []
    laptop.files.close()


def test_an_agent_killed_at_any_moment_leaves_the_file_whole(tmp_path: Path) -> None:
    program = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from sidecar.agent.changes.files import Files
from sidecar.core import delta, identity, messages as m
folder = {str(tmp_path / "code")!r}
files = Files(lambda message, lane: None, folder + "/state")
files.handle(m.Open(1, 1, folder))
files.handle(m.Claim(2, 1, "marker-1", "ada@laptop"))
there = identity.from_stat(os.lstat(folder + "/f")) if os.path.exists(folder + "/f") else None
expect, seq = m.Expect(0, there, ""), 0
while True:
    seq += 1
    data = bytes([65 + seq % 26]) * (50_000 + seq % 26)
    stream, digest = delta.encode_literal(data), delta.content_digest(data)
    put = (seq, 1, "f", expect, len(data), 10**18, False, digest, False, "", True, 0, False, stream)
    files.handle(m.Put(*put))
    expect = m.Expect(seq, None, "")
    print(seq, flush=True)
"""
    for saves in (1, 2, 3, 5, 8, 13):
        with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as agent:
            assert agent.stdout
            for _ in range(saves):
                assert agent.stdout.readline()
            agent.kill()
        content = (tmp_path / "code/f").read_bytes()
        assert content == content[:1] * (50_000 + content[0] - 65)
    laptop = Laptop(tmp_path / "code")
    laptop.put("g", b"x")
    assert len(list((laptop.folder / ".sidecar/tmp").iterdir())) == 1
    laptop.files.close()


def test_changes_become_durable_when_they_have_settled(laptop: Laptop) -> None:
    for number in range(5):
        laptop.put(f"f{number}", b"x")
    durable = laptop.heard.first(lambda one: isinstance(one, m.Durable) and one.seq == 5)
    assert durable == m.Durable(ROOT, 5)


def test_a_change_that_is_still_arriving_is_not_durable(laptop: Laptop) -> None:
    laptop.put("f", b"x")
    laptop.files.handle(put_message(2, "g", b"12345", stream=b"\x00\x0512", last=False))
    laptop.files.handle(put_message(3, "h", b"x"))
    assert laptop.heard.first(lambda one: isinstance(one, m.Durable)).seq == 1


def test_a_reader_never_sees_half_a_file(laptop: Laptop) -> None:
    contents = [bytes([65 + number]) * (1000 + 7 * number) for number in range(20)]
    laptop.put("f", contents[0])
    stop, torn = threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            if (content := laptop.read("f")) not in contents:
                torn.append(content)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(300):
            laptop.put("f", contents[number % 20], after(laptop.seq))
    finally:
        stop.set()
        reader.join()
    assert torn == []


class TestManyThreads:
    def test_a_large_copy_does_not_hold_up_a_save_behind_it(
        self, laptop: Laptop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        content = os.urandom(1 << 20) * 9
        laptop.put("large", content)
        go_on, copying_began = threading.Event(), threading.Event()

        def slow(source: int, target: int, offset: int, length: int, at: int) -> int:
            copying_began.set()
            assert go_on.wait(20)
            return copying._sendfile(source, target, offset, length, at)

        monkeypatch.setattr(copying, "_IN_KERNEL", [slow])
        stream = delta.encode_copy(1, len(content) - 1)
        laptop.files.handle(put_message(2, "large", content[1:], after(1), stream=stream, old=True))
        laptop.files.handle(put_message(3, "small", b"x"))
        laptop.files.handle(put_message(4, "large", b"small now", after(2)))
        assert isinstance(laptop.answer(3), m.Applied)
        assert copying_began.wait(20)
        assert len(laptop.heard.of(m.Applied)) == 2
        go_on.set()
        assert isinstance(laptop.answer(4), m.Applied)
        assert laptop.read("large") == b"small now"

    def test_three_threads_change_and_look_at_once(self, laptop: Laptop) -> None:
        def change(numbers: range, last: bool) -> None:
            """Each change names the one before it of its path, which comes on the other thread."""
            for seq in numbers:
                expect = after(seq - 3) if seq > 3 else NOTHING
                content = b"%d" % seq
                stream = delta.encode_literal(content)
                head = b"" if not last else stream
                laptop.files.handle(
                    put_message(seq, f"f{seq % 3}", content, expect, stream=head, last=last)
                )
                if not last:
                    laptop.files.handle(m.PutPart(seq, ROOT, False, False, stream[:2]))
                    laptop.files.handle(m.PutPart(seq, ROOT, True, False, stream[2:]))

        def look() -> None:
            for _ in range(30):
                laptop.files.handle(m.Sweep(5000, ROOT))
                laptop.files.handle(m.List_(5001, ROOT, "", 3, 100, []))

        with ThreadPoolExecutor(3) as threads:
            work = [
                threads.submit(change, range(1, 201, 2), True),
                threads.submit(change, range(2, 201, 2), False),
                threads.submit(look),
            ]
            for one in work:
                one.result()
        assert laptop.barrier(200) == ("", [])
        assert [laptop.read(f"f{number}") for number in range(3)] == [b"198", b"199", b"200"]
        swept = [identity.unpack(one.body) for one in laptop.heard.of(m.Swept)]
        assert swept == [[]] * 30


# --- random changes against a model -----------------------------------------------------------

PATHS = ["a", "b", "d/a", "d/e/b"]


@st.composite
def steps(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    path = st.sampled_from(PATHS)
    content = st.binary(max_size=40)
    one = st.one_of(
        st.tuples(st.just("put"), path, content, st.booleans()),
        st.tuples(st.just("remove"), path),
        st.tuples(st.just("link"), path),
        st.tuples(st.just("mode"), path, st.booleans()),
        st.tuples(st.just("theirs"), path, content),
        st.tuples(st.just("theirs gone"), path),
    )
    return draw(st.lists(one, max_size=25))


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=steps(), data=st.data())
def test_whatever_comes_nothing_of_theirs_is_lost(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[Any, ...]], data: st.DataObject
) -> None:
    """Changes pipelined over what the laptop last knew, and edits by somebody else in between:
    each change is made whole or not at all, and what others wrote stays, or is in the trash."""
    laptop = Laptop(tmp_path_factory.mktemp("root") / "code")
    last: dict[str, int] = {}
    model: dict[str, tuple[str, bytes]] = {}
    touched: set[str] = set()
    theirs: list[tuple[str, bytes]] = []
    for step in steps:
        kind, path = step[0], step[1]
        place = laptop.folder / path
        if kind == "theirs":
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.is_symlink():
                place.unlink()
            place.write_bytes(step[2])
            theirs.append((path, step[2]))
            model[path] = ("f", step[2])
            touched.add(path)
        elif kind == "theirs gone":
            if path in model:
                place.unlink()
                del model[path]
                theirs = [one for one in theirs if one[0] != path]
                touched.add(path)
        else:
            knows = data.draw(st.booleans()) or path not in last
            if knows:
                have = place.lstat() if path in model else None
                expect = seen(identity.from_stat(have) if have else None)
            else:
                expect = after(last[path])
            before = model.get(path)
            if kind == "put":
                answer = laptop.put(path, step[2], expect, executable=step[3])
                result: tuple[str, bytes] | None = ("f", step[2])
            elif kind == "remove":
                answer, result = laptop.remove(path, expect), None
            elif kind == "link":
                answer, result = laptop.link(path, "a", expect), ("l", b"a")
            else:
                answer, result = laptop.mode(path, expect, step[2]), before
            last[path] = answer.seq
            if isinstance(answer, m.Applied):
                fresh = knows or path not in touched
                same = before == result or (kind == "remove" and before is None)
                assert fresh or same, "an edit of theirs was overwritten unseen"
                touched.discard(path)
                if result is None:
                    model.pop(path, None)
                else:
                    model[path] = result
        for one in PATHS:
            there_now = laptop.folder / one
            if one not in model:
                assert not os.path.lexists(there_now)
            elif model[one][0] == "l":
                assert os.readlink(there_now).encode() == model[one][1]
            else:
                assert there_now.read_bytes() == model[one][1]
    kept = [(path, content) for path in PATHS for content in laptop.trashed(path)]
    for path, content in theirs:
        last_of_path = [one for one in theirs if one[0] == path][-1]
        if (path, content) == last_of_path:
            assert model.get(path) == ("f", content) or (path, content) in kept
    assert laptop.leftovers() == []
    laptop.files.close()
