from __future__ import annotations

import os
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.agent.backlog import Backlog
from sidecar.agent.changes.batches import GROUP, MOST_OPEN, Batches
from sidecar.core import batch, delta, identity, patch
from sidecar.core import messages as m
from sidecar.core.batch import File, Patch
from tests.agent.laptop import NOON, NOTHING, PATIENCE, ROOT, Laptop, after, put_message, seen


class Sender:
    """Puts changes into batches, as a laptop does, and finds their answers."""

    def __init__(self, folder: Path) -> None:
        self.laptop = Laptop(folder)
        self.failures: list[str] = []
        self.line = Backlog("batches")
        self.batches = Batches(
            self.laptop.heard.send, self.laptop.files, self.line, self.failures.append
        )

    def handle(self, message: m.Message) -> None:
        """Returns when what this began is done.

        Raises:
            MessageError: then, too, where the link would end by it.
        """
        self.batches.handle(message)
        done = threading.Event()
        self.line.put(0, done.set)
        assert done.wait(PATIENCE)
        if self.failures:
            raise m.MessageError(self.failures[0])

    def file(self, path: str, content: bytes, expect: m.Expect = NOTHING, **fields: Any) -> File:
        file = File(
            self.laptop.next(),
            ROOT,
            path,
            expect,
            NOON,
            False,
            delta.content_digest(content),
            content,
        )
        return file._replace(**fields)

    def patch(self, path: str, old: bytes, new: bytes, **fields: Any) -> Patch:
        """The file there, which has the content `old`, is to have the content `new`."""
        made = Patch(
            self.laptop.next(),
            ROOT,
            path,
            seen(self.there(path), delta.content_digest(old)),
            NOON,
            False,
            delta.content_digest(new),
            len(new),
            patch.make(old, new),
        )
        return made._replace(**fields)

    def send(self, *changes: batch.Change, codec: str = "zlib", parts: int = 1) -> None:
        stream = batch.encode(changes)
        size = len(stream)
        if codec:
            stream = zlib.compress(stream)
        cut = _cut(stream, parts)
        head = m.Batch(changes[0].seq, ROOT, len(changes), size, codec, len(cut) == 1, cut[0])
        self.handle(head)
        for number, body in enumerate(cut[1:], 2):
            self.handle(m.BatchPart(head.seq, ROOT, number == len(cut), body))

    def answers(self) -> dict[int, Any]:
        """What came for each number: an identity (None: nothing there), or a refusal's code."""
        answers: dict[int, Any] = {}
        for message in list(self.laptop.heard.messages):
            if isinstance(message, m.Landed):
                answers.update(batch.decode_landed(message.body))
            elif isinstance(message, m.Applied):
                answers[message.seq] = message.identity
            elif isinstance(message, m.Refused):
                answers[message.seq] = message.code
        return answers

    def there(self, path: str) -> identity.Identity:
        return identity.from_stat((self.laptop.folder / path).lstat())


def _cut(stream: bytes, parts: int) -> list[bytes]:
    step = len(stream) // parts + 1
    return [stream[at : at + step] for at in range(0, len(stream), step)]


@pytest.fixture
def sender(tmp_path: Path) -> Iterator[Sender]:
    sender = Sender(tmp_path / "code")
    yield sender
    sender.batches.close()
    sender.laptop.files.close()
    assert list((sender.laptop.folder / ".sidecar/tmp").iterdir()) == []


@pytest.mark.parametrize("codec", ["", "zlib"])
@pytest.mark.parametrize("parts", [1, 7])
def test_what_a_batch_holds_is_there_afterwards(sender: Sender, codec: str, parts: int) -> None:
    count = 2 * GROUP + 5
    contents = {f"pkg/sub{n % 3}/m{n}.py": os.urandom(n * 7) for n in range(count)}
    changes: list[batch.Change] = [m.MakeDirectory(sender.laptop.next(), ROOT, "pkg")]
    changes += [
        sender.file(path, content, executable=path.endswith("1.py"))
        for path, content in contents.items()
    ]
    changes.append(m.MakeLink(sender.laptop.next(), ROOT, "pkg/link", NOTHING, "sub0"))
    sender.send(*changes, codec=codec, parts=parts)
    assert {path: sender.laptop.read(path) for path in contents} == contents
    assert sender.answers() == {change.seq: sender.there(change.path) for change in changes}
    assert sender.there("pkg/sub1/m1.py").executable
    assert sender.there("pkg/sub1/m1.py").mtime_ns == NOON
    assert os.readlink(sender.laptop.folder / "pkg/link") == "sub0"
    assert sender.laptop.leftovers() == []
    assert sender.laptop.sweep() == []
    managed = {change.path: sender.there(change.path) for change in changes}
    assert sender.laptop.barrier(len(changes), identity.digest(managed.items())) == ("", [])


def test_a_switched_branch_is_one_batch(sender: Sender) -> None:
    old = [sender.file(f"a{n}.py", b"old %d" % n) for n in range(6)]
    sender.send(*old)
    was = sender.answers()

    def expected(n: int) -> m.Expect:
        return seen(was[old[n].seq], old[n].digest)

    changes: list[batch.Change] = [
        m.MakeDirectory(sender.laptop.next(), ROOT, "new"),
        sender.file("new/b.py", b"b"),
        *(sender.file(f"a{n}.py", b"new", expected(n)) for n in range(3)),
        m.SetMode(sender.laptop.next(), ROOT, "a3.py", expected(3), NOON, True),
        *(m.Remove(sender.laptop.next(), ROOT, f"a{n}.py", expected(n)) for n in (4, 5)),
    ]
    sender.send(*changes)
    answers = sender.answers()
    assert [answers[change.seq] for change in changes[-2:]] == [None, None]
    for change in changes[:-2]:
        assert answers[change.seq] == sender.there(change.path)
    assert sender.laptop.read("a0.py") == b"new"
    assert sender.there("a3.py").executable
    assert not (sender.laptop.folder / "a4.py").exists()
    assert sender.laptop.trashed("a0.py") == [b"old 0"]
    assert sender.laptop.trashed("a5.py") == [b"old 5"]
    assert sender.laptop.sweep() == []


def test_old_bytecode_of_a_source_in_a_batch_goes(sender: Sender) -> None:
    first = sender.file("a.py", b"x = 1\n")
    sender.send(first)
    cache = sender.laptop.folder / "__pycache__"
    cache.mkdir()
    stale = cache / "a.cpython-311.pyc"
    size = len(first.content)
    header = b"\0" * 8 + (NOON // 10**9).to_bytes(4, "little") + size.to_bytes(4, "little")
    stale.write_bytes(header)
    sender.send(sender.file("a.py", b"x = 2\n", seen(sender.there("a.py"), first.digest)))
    assert not stale.exists()


def test_a_patch_makes_the_new_content_of_the_one_there(sender: Sender) -> None:
    old, new = b"a line\n" * 300, b"a line\n" * 150 + b"another\n" + b"a line\n" * 150
    sender.send(sender.file("a.py", old), sender.file("b.py", old))
    sender.send(sender.patch("a.py", old, new, executable=True), sender.patch("b.py", old, b""))
    assert sender.laptop.read("a.py") == new
    assert sender.laptop.read("b.py") == b""
    assert sender.there("a.py").executable
    assert sender.answers()[3] == sender.there("a.py")
    assert sender.laptop.trashed("a.py") == [old]
    assert sender.laptop.sweep() == []


class TestRefused:
    def test_a_patch_of_a_file_that_is_changed_there_leaves_it(self, sender: Sender) -> None:
        sender.send(sender.file("a.py", b"one"))
        made = sender.patch("a.py", b"one", b"two")
        (sender.laptop.folder / "a.py").write_bytes(b"theirs")
        sender.send(made)
        assert sender.answers()[2] == "differs"
        assert sender.laptop.read("a.py") == b"theirs"

    @pytest.mark.parametrize("damage", [{"patch": b"\xff"}, {"size": 7}, {"digest": "0" * 64}])
    def test_a_patch_that_does_not_fit_is_refused_as_damaged(
        self, sender: Sender, damage: dict[str, Any]
    ) -> None:
        sender.send(sender.file("a.py", b"one"), sender.file("b.py", b"one"))
        sender.send(
            sender.patch("a.py", b"one", b"two", **damage), sender.patch("b.py", b"one", b"two")
        )
        assert sender.answers()[3] == "damaged"
        assert sender.laptop.read("a.py") == b"one"
        assert sender.laptop.read("b.py") == b"two"

    def test_a_patch_of_a_file_under_another_identity_is_asked_for_whole(
        self, sender: Sender
    ) -> None:
        sender.send(sender.file("a.py", b"one"))
        made = sender.patch("a.py", b"one", b"two")
        os.utime(sender.laptop.folder / "a.py", ns=(1, 1))
        sender.send(made)
        assert sender.answers()[2] == "damaged"
        assert sender.laptop.read("a.py") == b"one"

    def test_what_differs_there_is_refused_alone(self, sender: Sender) -> None:
        (sender.laptop.folder / "theirs.py").write_bytes(b"theirs")
        changes = [
            sender.file("a.py", b"a"),
            sender.file("theirs.py", b"mine"),
            sender.file("theirs.py/below", b"mine"),
            sender.file("b.py", b"b"),
        ]
        sender.send(*changes)
        answers = sender.answers()
        assert answers[2] == "differs"
        assert answers[3] == "path"
        assert answers[1] == sender.there("a.py")
        assert answers[4] == sender.there("b.py")
        assert sender.laptop.read("theirs.py") == b"theirs"
        why, _ = sender.laptop.barrier(4)
        assert "could not be written" in why

    def test_a_file_that_is_changed_there_stays(self, sender: Sender) -> None:
        sender.send(sender.file("a.py", b"one"))
        was = sender.there("a.py")
        (sender.laptop.folder / "a.py").write_bytes(b"theirs")
        sender.send(
            sender.file("a.py", b"two", seen(was, delta.content_digest(b"one"))),
            m.Remove(sender.laptop.next(), ROOT, "a.py", seen(was)),
        )
        assert sender.answers()[2] == sender.answers()[3] == "differs"
        assert sender.laptop.read("a.py") == b"theirs"

    def test_equal_content_under_another_identity_will_do(self, sender: Sender) -> None:
        sender.send(sender.file("a.py", b"one"))
        was = sender.there("a.py")
        os.utime(sender.laptop.folder / "a.py", ns=(1, 1))
        two = sender.file("a.py", b"two", seen(was, delta.content_digest(b"one")))
        again = sender.file("b.py", b"same")
        (sender.laptop.folder / "b.py").write_bytes(b"same")
        sender.send(two, again)
        assert sender.laptop.read("a.py") == b"two"
        assert sender.answers()[2] == sender.there("a.py")
        assert sender.answers()[3] == sender.there("b.py")

    def test_a_content_that_is_not_the_announced_one_is_refused(self, sender: Sender) -> None:
        bad = sender.file("bad.py", b"bad", digest=delta.content_digest(b"good"))
        good = sender.file("good.py", b"good")
        sender.send(bad, good)
        assert sender.answers() == {1: "damaged", 2: sender.there("good.py")}
        assert not (sender.laptop.folder / "bad.py").exists()

    @pytest.mark.parametrize("path", ["../out", "/etc/passwd", ".sidecar/x", "a//b", "a\0b", ""])
    def test_a_path_that_may_not_be_used_is_refused(self, sender: Sender, path: str) -> None:
        sender.send(sender.file(path, b"x"), m.MakeDirectory(sender.laptop.next(), ROOT, path))
        assert sender.answers() == {1: "path", 2: "path"}

    def test_nothing_goes_through_a_link(self, sender: Sender, tmp_path: Path) -> None:
        (tmp_path / "outside").mkdir()
        (sender.laptop.folder / "link").symlink_to(tmp_path / "outside")
        sender.send(
            sender.file("link/a.py", b"x"), m.MakeDirectory(sender.laptop.next(), ROOT, "link/d")
        )
        assert sender.answers() == {1: "path", 2: "path"}
        assert list((tmp_path / "outside").iterdir()) == []

    def test_a_root_that_was_claimed_by_another_is_not_written_to(self, sender: Sender) -> None:
        marker = sender.laptop.folder / ".sidecar/marker.json"
        marker.write_text('{"version": 1, "marker": "other", "owner": "bob"}')
        sender.send(sender.file("a.py", b"x"), sender.file("b.py", b"x"))
        assert sender.answers() == {1: "root", 2: "root"}

    def test_a_folder_that_was_not_opened_refuses_each_change(self, sender: Sender) -> None:
        stream = batch.encode([m.MakeDirectory(1, 7, "a"), m.MakeDirectory(2, 7, "b")])
        sender.handle(m.Batch(1, 7, 2, len(stream), "", True, stream))
        assert sender.answers() == {1: "path", 2: "path"}


class TestOrder:
    def test_a_save_waits_for_the_version_in_a_batch_that_comes_later(self, sender: Sender) -> None:
        first = sender.file("a.py", b"one")
        changes = [first, *(sender.file(f"b{n}.py", b"b") for n in range(40))]
        seq = sender.laptop.next()
        put = put_message(seq, "a.py", b"two", after(first.seq))
        sender.laptop.files.handle(put)
        assert sender.answers() == {}
        sender.send(*changes)
        assert sender.laptop.read("a.py") == b"two"
        assert sender.answers()[seq] == sender.there("a.py")

    def test_a_change_in_a_batch_waits_for_a_save_that_comes_later(self, sender: Sender) -> None:
        save = sender.laptop.next()
        later = sender.file("a.py", b"two", after(save))
        sender.send(later, sender.file("b.py", b"b"))
        assert sender.answers() == {3: sender.there("b.py")}
        put = put_message(save, "a.py", b"one")
        sender.laptop.files.handle(put)
        assert sender.laptop.read("a.py") == b"two"
        assert sender.answers()[later.seq] == sender.there("a.py")

    def test_one_batch_may_hold_two_versions_of_a_path(self, sender: Sender) -> None:
        one = sender.file("a.py", b"one")
        two = sender.file("a.py", b"two", after(one.seq))
        gone = m.Remove(sender.laptop.next(), ROOT, "a.py", after(two.seq))
        again = sender.file("a.py/b.py", b"three")
        sender.send(one, two, gone, again)
        assert sender.laptop.read("a.py/b.py") == b"three"
        assert sender.answers() == {
            1: sender.answers()[1],
            2: sender.answers()[2],
            3: None,
            4: sender.there("a.py/b.py"),
        }

    def test_a_batch_that_is_cut_off_is_not_there_at_all(self, sender: Sender) -> None:
        changes = [sender.file(f"a{n}.py", b"x" * 100) for n in range(10)]
        stream = batch.encode(changes)
        sender.handle(m.Batch(1, ROOT, 10, len(stream), "", False, stream[:-1]))
        assert sender.answers() == {}
        assert [one.name for one in sender.laptop.folder.iterdir()] == [".sidecar"]


def whole(sender: Sender, **fields: Any) -> m.Batch:
    stream = batch.encode([sender.file("a.py", b"x" * 1000)])
    good = m.Batch(1, ROOT, 1, len(stream), "zlib", True, zlib.compress(stream))
    return good._replace(**fields)


DAMAGES: dict[str, Callable[[Sender], m.Batch]] = {
    "no zlib": lambda sender: whole(sender, body=b"nonsense"),
    "cut off": lambda sender: whole(sender, body=whole(sender).body[:-3]),
    "bytes behind": lambda sender: whole(sender, body=whole(sender).body + b"x"),
    "longer than announced": lambda sender: whole(sender, size=whole(sender).size - 1),
    "shorter than announced": lambda sender: whole(sender, size=whole(sender).size + 1),
    "more changes": lambda sender: whole(sender, changes=2),
    "no changes": lambda sender: whole(sender, changes=0),
    "too many changes": lambda sender: whole(sender, changes=batch.MOST_CHANGES + 1),
    "too large": lambda sender: whole(sender, size=batch.MOST_BYTES + 1),
    "an unknown codec": lambda sender: whole(sender, codec="lzma"),
    "a bomb": lambda sender: whole(sender, body=zlib.compress(bytes(50_000_000), 9)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_batch_ends_the_link_and_changes_nothing(sender: Sender, damage: str) -> None:
    with pytest.raises(m.MessageError):
        sender.handle(DAMAGES[damage](sender))
    assert not (sender.laptop.folder / "a.py").exists()
    assert sender.answers() == {}


def test_a_part_of_nothing_ends_the_link(sender: Sender) -> None:
    with pytest.raises(m.MessageError):
        sender.handle(m.BatchPart(5, ROOT, True, b""))


def test_more_than_was_announced_is_not_kept(sender: Sender) -> None:
    sender.handle(m.Batch(1, ROOT, 1, 1000, "zlib", False, b""))
    piece = m.BatchPart(1, ROOT, False, bytes(1000))
    sender.handle(piece)
    with pytest.raises(m.MessageError):
        _again(sender, [piece] * 3)


def test_only_so_many_batches_may_be_open(sender: Sender) -> None:
    begun = [m.Batch(seq, ROOT, 1, 1000, "zlib", False, b"") for seq in range(1, MOST_OPEN + 2)]
    _again(sender, begun[:-1])
    with pytest.raises(m.MessageError):
        _again(sender, begun[-1:])


def _again(sender: Sender, some: list[Any]) -> None:
    for message in some:
        sender.handle(message)
