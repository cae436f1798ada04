from __future__ import annotations

import os
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core import identity
from sidecar.core.identity import Entry, Identity, PackError, SetDigest

# What os.fsdecode makes of a name: any text, and bytes that are no UTF-8 as lone surrogates.
names = st.binary(min_size=1, max_size=12).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
numbers = st.integers(-(1 << 63), (1 << 64) - 1)
identities = st.builds(
    Identity,
    st.sampled_from("fdlo"),
    st.integers(0, 0o7777),
    st.integers(0, 1 << 62),
    numbers,
    numbers,
    st.integers(0, (1 << 64) - 1),
)
entries = st.lists(st.tuples(names, st.none() | identities), max_size=8)
trees = st.dictionaries(names, st.none() | identities, max_size=8)


@given(entries)
def test_entries_come_out_as_they_went_in(some: list[Entry]) -> None:
    assert identity.unpack(identity.pack(some)) == some


@given(entries)
def test_parts_of_a_list_make_the_list_and_the_last_says_so(some: list[Entry]) -> None:
    parts = list(identity.pack_parts(some))
    assert [last for last, _ in parts] == [False] * (len(parts) - 1) + [True]
    assert [entry for _, packed in parts for entry in identity.unpack(packed)] == some


def test_parts_of_a_long_list_fit_into_frames() -> None:
    some: list[Entry] = [("\udcff" * 600 + str(at), None) for at in range(500)]
    parts = list(identity.pack_parts(some))
    assert len(parts) > 1
    for _, packed in parts:
        assert len(zlib.decompress(packed)) <= 2 * identity.PART_LIMIT


@given(st.binary(max_size=200))
def test_garbage_gives_our_error(garbage: bytes) -> None:
    with pytest.raises(PackError):
        identity.unpack(garbage)


@given(st.binary(max_size=200))
def test_compressed_garbage_gives_our_error(garbage: bytes) -> None:
    with pytest.raises(PackError):
        identity.unpack(zlib.compress(garbage))


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[1]",
        '[["a"]]',
        "[[1,null]]",
        '[["a",["f",1,2,3,4]]]',
        '[["a",["x",1,2,3,4,5]]]',
        '[["a",["f",1,2,3,4,true]]]',
        '[["a",["f",1,2,3,4,1.5]]]',
        '[["a",["f",1,2,3,4,18446744073709551616]]]',
        '[["\\ud800",null]]',
        "[" * 100_000,
    ],
)
def test_malformed_entries_are_refused(text: str) -> None:
    with pytest.raises(PackError):
        identity.unpack(zlib.compress(text.encode()))


def test_a_list_with_bytes_behind_it_or_cut_off_is_refused() -> None:
    packed = identity.pack([("a", None)])
    for wrong in (packed + b"x", packed[:-1], b""):
        with pytest.raises(PackError, match="cut off"):
            identity.unpack(wrong)


def test_a_list_that_unfolds_without_end_is_refused() -> None:
    with pytest.raises(PackError, match="too long"):
        identity.unpack(zlib.compress(b" " * (identity.UNPACKED_LIMIT + 2)))


@given(trees, st.randoms())
def test_the_digest_of_a_set_does_not_depend_on_the_order(
    tree: dict[str, Identity | None], random: object
) -> None:
    some = list(tree.items())
    other = list(some)
    random.shuffle(other)  # type: ignore[attr-defined]
    assert identity.digest(some) == identity.digest(other)


@given(trees, names, identities)
def test_a_changed_entry_changes_the_digest_and_back(
    tree: dict[str, Identity | None], name: str, now: Identity
) -> None:
    tree[name] = None
    kept = SetDigest()
    for entry in tree.items():
        kept.add(*entry)
    before = kept.hexdigest()
    assert before == identity.digest(tree.items())
    kept.discard(name, None)
    kept.add(name, now)
    assert kept.hexdigest() != before
    assert kept.hexdigest() == identity.digest((tree | {name: now}).items())
    kept.discard(name, now)
    kept.add(name, None)
    assert kept.hexdigest() == before


def test_the_kinds_of_things_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "file").chmod(0o755)
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")

    def of(name: str) -> Identity:
        return identity.from_stat(os.lstat(tmp_path / name))

    file = of("file")
    assert (file.kind, file.mode, file.size, file.executable) == ("f", 0o755, 5, True)
    assert file.mtime_ns == os.lstat(tmp_path / "file").st_mtime_ns
    assert (of("link").kind, of("link").executable) == ("l", False)
    assert of("pipe").kind == "o"
    assert (of(".").kind, of(".").size, of(".").mtime_ns) == ("d", 0, 0)


def test_a_folder_is_the_same_whatever_is_put_into_it(tmp_path: Path) -> None:
    before = identity.from_stat(os.lstat(tmp_path))
    (tmp_path / "new").write_bytes(b"")
    assert identity.from_stat(os.lstat(tmp_path)) == before
