import os
from pathlib import Path

import pytest

from sidecar.core import identity
from sidecar.core.paths import PathError
from sidecar.sync.disk import local_files
from sidecar.sync.disk.local_files import Changed


def test_a_files_content_comes_with_the_identity_it_belongs_to(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_bytes(b"content")
    found, data = local_files.read(tmp_path, "d/f", 100)
    assert data == b"content"
    assert found == identity.from_stat(os.lstat(tmp_path / "d" / "f"))
    assert local_files.lookup(tmp_path, "d/f") == found


def test_a_name_that_is_no_utf_8_is_read(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9")).write_bytes(b"x")
    assert local_files.read(tmp_path, "caf\udce9", 10)[1] == b"x"


def test_a_link_on_the_way_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("x")
    root = tmp_path / "root"
    root.mkdir()
    (root / "way").symlink_to(outside)
    with pytest.raises(NotADirectoryError), local_files.open_source(root, "way/secret"):
        pass
    with pytest.raises(NotADirectoryError):
        local_files.read_link(root, "way/secret")
    assert local_files.lookup(root, "way/secret") is None


def test_a_link_in_a_files_place_is_a_change(tmp_path: Path) -> None:
    (tmp_path / "f").symlink_to("/etc/passwd")
    with pytest.raises(Changed), local_files.open_source(tmp_path, "f"):
        pass


def test_the_roots_own_parents_may_be_links(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "f").write_text("x")
    (tmp_path / "spelled").symlink_to("real")
    assert local_files.read(tmp_path / "spelled", "f", 10)[1] == b"x"


@pytest.mark.parametrize("path", ["../f", "a/../../f", "/etc/passwd", "", ".sidecar/x"])
def test_a_path_out_of_the_root_is_refused(tmp_path: Path, path: str) -> None:
    for function in (local_files.lookup, local_files.read_link):
        with pytest.raises(PathError):
            function(tmp_path, path)


def test_a_fifo_in_a_files_place_neither_blocks_nor_counts(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "f")
    with pytest.raises(Changed), local_files.open_source(tmp_path, "f"):
        pass


def test_a_links_target_is_read_as_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "l").symlink_to("caf\udce9/../x")
    assert local_files.read_link(tmp_path, "l")[1] == "caf\udce9/../x"
    (tmp_path / "f").write_text("no link")
    with pytest.raises(Changed):
        local_files.read_link(tmp_path, "f")


def test_a_file_that_was_replaced_before_it_is_opened_is_a_change(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("one")
    seen = local_files.lookup(tmp_path, "f")
    (tmp_path / "new").write_text("two")
    (tmp_path / "new").rename(file)
    with pytest.raises(Changed), local_files.open_source(tmp_path, "f", seen):
        pass


@pytest.mark.parametrize("how", ["overwrite", "replace", "truncate", "append"])
def test_a_file_that_changes_while_it_is_read_is_never_a_mixture(tmp_path: Path, how: str) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"a" * 3000)
    with local_files.open_source(tmp_path, "f") as source:
        source.read_at(0, 1000)
        if how == "overwrite":
            with file.open("r+b") as again:
                again.write(b"b")
        elif how == "replace":
            (tmp_path / "new").write_bytes(b"b" * source.size)
            (tmp_path / "new").rename(file)
        elif how == "truncate":
            os.truncate(file, 5)
        else:
            with file.open("ab") as again:
                again.write(b"b")

        def rest() -> None:
            source.read_at(1000, 2000)
            source.check_unchanged()

        with pytest.raises(Changed):
            rest()


def test_a_small_file_that_changes_once_is_read_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "f"
    file.write_text("one")

    class SourceUnderAWriter(local_files.Source):
        written = False

        def read_at(self, offset: int, length: int) -> bytes:
            data = super().read_at(offset, length)
            if not SourceUnderAWriter.written:
                SourceUnderAWriter.written = True
                file.write_text("three")
            return data

    monkeypatch.setattr(local_files, "Source", SourceUnderAWriter)
    assert local_files.read(tmp_path, "f", 100)[1] == b"three"


def test_a_file_over_the_limit_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"12345")
    with pytest.raises(Changed):
        local_files.read(tmp_path, "f", 4)


def test_a_change_of_a_moment_ago_may_hide_another(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    found = local_files.lookup(tmp_path, "f")
    assert found is not None
    assert local_files.may_hide_a_change(found, found.mtime_ns + 1)
    assert not local_files.may_hide_a_change(found, found.ctime_ns + 2 * local_files.TICK_NS)


def test_without_descriptors_of_folders_links_are_refused_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_files, "_WALKS", False)
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_text("x")
    (tmp_path / "l").symlink_to("d")
    assert local_files.read(tmp_path, "d/f", 10)[1] == b"x"
    with pytest.raises(NotADirectoryError):
        local_files.read(tmp_path, "l/f", 10)


def test_one_look_tells_what_is_there_and_has_a_small_files_content(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/small").write_bytes(b"12345")
    (tmp_path / "folder/large").write_bytes(b"123456")
    os.mkfifo(tmp_path / "folder/fifo")
    (tmp_path / "folder/link").symlink_to("small")
    for name, content in {
        "small": b"12345",
        "large": None,
        "fifo": None,
        "link": None,
        "gone": None,
        "small/below": None,
    }.items():
        path = f"folder/{name}"
        found = local_files.lookup(tmp_path, path)
        with local_files.Folders(tmp_path) as folders:
            assert local_files.look(folders, path, 5) == (found, content)


def test_a_look_at_a_file_that_changes_meanwhile_has_no_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"before")
    found = local_files.lookup(tmp_path, "file")
    read_at = local_files.Source.read_at

    def changing(source: local_files.Source, offset: int, length: int) -> bytes:
        (tmp_path / "file").write_bytes(b"a longer one")
        return read_at(source, offset, length)

    monkeypatch.setattr(local_files.Source, "read_at", changing)
    with local_files.Folders(tmp_path) as folders:
        assert local_files.look(folders, "file", 100) == (found, None)


def test_folders_that_stay_open_tell_of_each_path_what_a_walk_of_its_own_does(
    tmp_path: Path,
) -> None:
    for path in ("a/b/one", "a/b/two", "a/three", "four"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
    (tmp_path / "link").symlink_to("a")
    tried = ["a/b/one", "a/b/two", "link/three", "a/b/two", "a/three", "four", "x/y", "a/b/one"]
    before = len(os.listdir("/dev/fd"))
    with local_files.Folders(tmp_path) as folders:
        for path in tried:
            found = local_files.lookup(tmp_path, path)
            content = path.encode() if found else None
            assert local_files.look(folders, path, 100) == (found, content)
        with pytest.raises(PathError):
            local_files.look(folders, "../secret", 100)
        with pytest.raises(PathError):
            folders.parent("a/b/..")
    assert len(os.listdir("/dev/fd")) == before
