from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.agent.roots import content as content_module
from sidecar.core import delta, frames, identity
from sidecar.core import messages as m
from tests.agent.laptop import PATIENCE, ROOT, Laptop


@pytest.fixture
def laptop(tmp_path: Path) -> Iterator[Laptop]:
    laptop = Laptop(tmp_path / "code")
    yield laptop
    laptop.files.close()


def there(laptop: Laptop, path: str) -> identity.Identity:
    return identity.from_stat((laptop.folder / path).lstat())


class TestDigests:
    def test_of_files_and_links_and_nothing_else(self, laptop: Laptop) -> None:
        large = os.urandom(3 << 20)
        (laptop.folder / "f").write_bytes(large)
        (laptop.folder / "empty").write_bytes(b"")
        (laptop.folder / "l").symlink_to("/etc/passwd")
        (laptop.folder / "d").mkdir()
        os.mkfifo(laptop.folder / "pipe")
        paths = ["f", "empty", "l", "d", "pipe", "gone", "l/below", "f/below"]
        answer = laptop.ask(lambda id: m.Digests(id, ROOT, paths))
        assert answer.digests == [
            delta.content_digest(large),
            delta.content_digest(b""),
            delta.content_digest(b"/etc/passwd"),
            *[""] * 5,
        ]

    def test_a_path_that_leaves_the_root_fails(self, laptop: Laptop) -> None:
        answer = laptop.ask(lambda id: m.Digests(id, ROOT, ["f", "../f"]))
        assert (type(answer), answer.code) == (m.Fail, "path")

    def test_too_many_at_once_fail(self, laptop: Laptop, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(content_module, "MOST_DIGESTS", 2)
        assert isinstance(laptop.ask(lambda id: m.Digests(id, ROOT, ["a"] * 3)), m.Fail)


class TestSignature:
    def test_of_every_block(self, laptop: Laptop) -> None:
        data = os.urandom(3_000_000)
        (laptop.folder / "f").write_bytes(data)
        parts = laptop.parts(lambda id: m.Signature(id, ROOT, "f", 1024))
        sums = b"".join(part.body for part in parts)
        assert sums == b"".join(
            hashlib.blake2b(data[at : at + 1024], digest_size=16).digest()
            for at in range(0, len(data), 1024)
        )
        assert len(parts) > 1
        assert parts[-1].identity == there(laptop, "f")
        assert set(laptop.heard.lanes[-len(parts) :]) == {frames.BULK}

    def test_each_whole_blocks_beginning_comes_with_it(self, laptop: Laptop) -> None:
        data = os.urandom(3000)
        (laptop.folder / "f").write_bytes(data)
        parts = laptop.parts(lambda id: m.Signature(id, ROOT, "f", 1024, 16))
        told = b"".join(part.body for part in parts)
        assert len(told) == 3 * 16 + 2 * 16
        assert (told[16:32], told[48:64]) == (data[:16], data[1024:1040])

    def test_of_an_empty_file(self, laptop: Laptop) -> None:
        (laptop.folder / "f").write_bytes(b"")
        [part] = laptop.parts(lambda id: m.Signature(id, ROOT, "f", 1024))
        assert (part.last, part.body) == (True, b"")

    @pytest.mark.parametrize("path", ["gone", "d", "l", "pipe", "../f", "l/f"])
    def test_of_no_file_fails(self, laptop: Laptop, path: str) -> None:
        (laptop.folder / "d").mkdir()
        (laptop.folder / "l").symlink_to("d")
        os.mkfifo(laptop.folder / "pipe")
        assert isinstance(laptop.ask(lambda id: m.Signature(id, ROOT, path, 1024)), m.Fail)
        assert isinstance(laptop.ask(lambda id: m.Fetch(id, ROOT, path)), (m.Fail, m.FetchPart))

    @pytest.mark.parametrize(
        ("block", "anchors"), [(0, 0), (-1, 0), (1, 0), (1 << 40, 0), (1024, -1), (1024, 65)]
    )
    def test_blocks_have_a_sensible_size(self, laptop: Laptop, block: int, anchors: int) -> None:
        (laptop.folder / "f").write_bytes(b"x")
        assert isinstance(laptop.ask(lambda id: m.Signature(id, ROOT, "f", block, anchors)), m.Fail)


class TestFetch:
    @pytest.mark.parametrize("size", [0, 1, frames.CHUNK, frames.CHUNK + 1, 100_000])
    def test_a_file_comes_whole_in_chunks(self, laptop: Laptop, size: int) -> None:
        data = os.urandom(size)
        (laptop.folder / "f").write_bytes(data)
        parts = laptop.parts(lambda id: m.Fetch(id, ROOT, "f"))
        assert b"".join(part.body for part in parts) == data
        assert max(len(part.body) for part in parts) <= frames.CHUNK
        assert [part.last for part in parts] == [False] * (len(parts) - 1) + [True]
        assert parts[-1].identity == there(laptop, "f")
        assert set(laptop.heard.lanes[-len(parts) :]) == {frames.BULK}

    @pytest.mark.parametrize(
        ("offset", "length"), [(0, 5), (3, 4), (7, 100), (10, 5), (500, 5), (2, 0), (4, -1)]
    )
    def test_a_range_comes(self, laptop: Laptop, offset: int, length: int) -> None:
        data = b"0123456789"
        (laptop.folder / "f").write_bytes(data)
        parts = laptop.parts(lambda id: m.Fetch(id, ROOT, "f", offset, length))
        end = len(data) if length < 0 else offset + length
        assert b"".join(part.body for part in parts) == data[offset:end]

    def test_a_link_is_its_target(self, laptop: Laptop) -> None:
        (laptop.folder / "l").symlink_to("/etc/passwd")
        [part] = laptop.parts(lambda id: m.Fetch(id, ROOT, "l"))
        assert (part.body, part.identity) == (b"/etc/passwd", there(laptop, "l"))

    @pytest.mark.parametrize(("offset", "length"), [(-1, 5), (0, -2)])
    def test_no_such_range_fails(self, laptop: Laptop, offset: int, length: int) -> None:
        (laptop.folder / "f").write_bytes(b"x")
        assert isinstance(laptop.ask(lambda id: m.Fetch(id, ROOT, "f", offset, length)), m.Fail)

    def test_a_file_that_changes_while_it_is_read_has_no_identity(
        self, laptop: Laptop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (laptop.folder / "f").write_bytes(b"x" * 100_000)
        send = laptop.heard.send
        told: list[m.Message] = []

        def change_it(message: m.Message, lane: int) -> None:
            if not told:
                (laptop.folder / "f").write_bytes(b"y" * 100_000)
            told.append(message)
            send(message, lane)

        laptop.files._roots[ROOT].content._send = change_it
        answer = laptop.ask(lambda id: m.Fetch(id, ROOT, "f"))
        assert (answer.last, answer.identity) == (True, None)


class TestListing:
    def listed(self, laptop: Laptop, **fields: object) -> tuple[list[str], bool]:
        ask = {"path": "", "depth": 100, "limit": 1000, "prune": []} | fields
        parts = laptop.parts(lambda id: m.List_(id, ROOT, **ask))  # type: ignore[arg-type]
        entries = [entry for part in parts for entry in identity.unpack(part.body)]
        for path, found in entries:
            assert found == there(laptop, path)
        return [path for path, _ in entries], parts[-1].truncated

    @pytest.fixture
    def tree(self, laptop: Laptop) -> Laptop:
        for path in ("a/b/c/f", "a/g", "node_modules/x/y", "z"):
            (laptop.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (laptop.folder / path).write_text("x")
        (laptop.folder / "l").symlink_to("a")
        os.mkfifo(laptop.folder / "pipe")
        return laptop

    def test_all_of_it_but_our_own(self, tree: Laptop) -> None:
        found, truncated = self.listed(tree)
        assert found == [
            "a", "a/b", "a/b/c", "a/b/c/f", "a/g", "l", "node_modules", "node_modules/x",
            "node_modules/x/y", "pipe", "z",
        ]  # fmt: skip
        assert not truncated

    def test_as_deep_as_asked(self, tree: Laptop) -> None:
        assert self.listed(tree, depth=1)[0] == ["a", "l", "node_modules", "pipe", "z"]
        assert self.listed(tree, depth=2, path="a")[0] == ["a/b", "a/b/c", "a/g"]

    def test_what_is_pruned_is_told_but_not_entered(self, tree: Laptop) -> None:
        found, _ = self.listed(tree, prune=["node_modules", "c"])
        assert "node_modules" in found
        assert "node_modules/x" not in found
        assert "a/b/c/f" not in found

    def test_it_stops_at_the_limit_and_says_so(self, tree: Laptop) -> None:
        assert self.listed(tree, limit=3) == (["a", "a/b", "a/b/c"], True)
        assert self.listed(tree, limit=11)[1] is False
        assert self.listed(tree, limit=0) == ([], True)

    def test_odd_names_come_back(self, laptop: Laptop) -> None:
        names = ["caf\udce9", "new\nline", "tab\t", "é", "e\u0301", '"', "\\", "\x01"]
        for name in names:
            (laptop.folder / name).write_text("x")
        assert sorted(self.listed(laptop)[0]) == sorted(names)

    @pytest.mark.parametrize("path", ["gone", "z", "l", "../", "l/b"])
    def test_what_is_no_folder_fails(self, tree: Laptop, path: str) -> None:
        assert isinstance(tree.ask(lambda id: m.List_(id, ROOT, path, 1, 10, [])), m.Fail)

    def test_another_file_system_is_not_entered(self, tree: Laptop) -> None:
        from tests.agent.laptop import small_disk

        with small_disk(tree.folder / "data") as disk:
            (disk / "f").write_text("x")
            found, _ = self.listed(tree)
        assert "data" in found
        assert "data/f" not in found

    def test_a_long_list_comes_in_parts(self, laptop: Laptop) -> None:
        for number in range(3000):
            os.close(os.open(laptop.folder / f"{number:0100}", os.O_CREAT | os.O_WRONLY))
        assert len(self.listed(laptop, limit=5000)[0]) == 3000
        assert len(laptop.heard.of(m.Listed)) > 1


def test_lookup_says_what_is_at_each_path(laptop: Laptop) -> None:
    (laptop.folder / "f").write_text("x")
    (laptop.folder / "l").symlink_to("f")
    answer = laptop.ask(lambda id: m.Lookup(id, ROOT, ["f", "gone", "l", "l/x", "gone/x"]))
    assert identity.unpack(answer.body) == [
        ("f", there(laptop, "f")),
        ("gone", None),
        ("l", there(laptop, "l")),
        ("l/x", None),
        ("gone/x", None),
    ]
    assert isinstance(laptop.ask(lambda id: m.Lookup(id, ROOT, ["../x"])), m.Fail)


def test_a_fetch_that_was_cancelled_ends_before_the_next_part(laptop: Laptop) -> None:
    (laptop.folder / "f").write_bytes(b"x" * (3 * frames.CHUNK))
    laptop.files.handle(m.Cancel(101 + laptop._id))
    laptop._id += 100
    answer = laptop.ask(lambda id: m.Fetch(id, ROOT, "f"))
    assert isinstance(answer, m.Fail)
    assert answer.code == "cancelled"
    assert laptop.heard.of(m.FetchPart) == []


def test_no_descriptor_is_left_open(laptop: Laptop) -> None:
    (laptop.folder / "f").write_bytes(b"x" * 100_000)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        laptop.ask(lambda id: m.Fetch(id, ROOT, "f"))
        laptop.ask(lambda id: m.Signature(id, ROOT, "f", 512))
        laptop.ask(lambda id: m.Digests(id, ROOT, ["f", "gone"]))
        laptop.ask(lambda id: m.List_(id, ROOT, "", 5, 1, []))
    deadline = time.monotonic() + PATIENCE
    while len(os.listdir("/proc/self/fd")) > before:  # what reads answers before it lets go
        assert time.monotonic() < deadline


def test_a_file_that_grows_for_ever_ends_where_it_ended_at_first(laptop: Laptop) -> None:
    log, send = laptop.folder / "log", laptop.heard.send
    log.write_bytes(b"x" * 50_000)

    def write_more(message: m.Message, lane: int) -> None:
        with log.open("ab") as file:
            file.write(b"y" * 200_000)
        send(message, lane)

    laptop.files._roots[ROOT].content._send = write_more
    parts = laptop.parts(lambda id: m.Fetch(id, ROOT, "log"))
    assert sum(len(part.body) for part in parts) <= 50_000 + frames.CHUNK
    assert parts[-1].identity is None
    parts = laptop.parts(lambda id: m.Signature(id, ROOT, "log", 512))
    assert parts[-1].last
