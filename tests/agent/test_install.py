from __future__ import annotations

import io
import os
import stat
import tarfile
from pathlib import Path

import pytest

from sidecar.agent.install import Installer
from sidecar.core import messages as m
from sidecar.core.delta import content_digest
from tests.agent.recorder import Recorder


def archive(*members: tarfile.TarInfo | tuple[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                tar.addfile(info, io.BytesIO(member[1]))
    return file.getvalue()


GOOD = archive(("package/__init__.py", b"x = 1\n"), ("package/data.bin", bytes(100_000)))


def install(
    state: Path, data: bytes, *, name: str = "thing-1.0", digest: str = "", size: int = -1
) -> list[object]:
    """The answers to an announcement and, where it is wanted, to the parts."""
    wire = Recorder()
    installer = Installer(wire.send, str(state))
    digest = digest or content_digest(data)
    installer.handle(m.Install(1, name, digest, len(data) if size < 0 else size))
    if wire.messages[-1] == m.Installed(1, ""):
        for at in range(0, len(data), 1000):
            part = data[at : at + 1000]
            installer.handle(m.InstallPart(1, at + 1000 >= len(data), part))
    installer.close()
    return wire.messages


def problem(state: Path, data: bytes, **more: object) -> str:
    answer = install(state, data, **more)[-1]  # type: ignore[arg-type]
    assert isinstance(answer, m.Fail)
    assert (answer.id, answer.code) == (1, "install")
    cache = state / "cache"
    assert not cache.exists() or list(cache.iterdir()) == []
    return answer.why


def test_an_archive_is_unpacked_once_and_found_afterwards(tmp_path: Path) -> None:
    wanted, done = install(tmp_path, GOOD)
    assert wanted == m.Installed(1, "")
    assert isinstance(done, m.Installed)
    folder = Path(done.path)
    assert (folder / "package/__init__.py").read_bytes() == b"x = 1\n"
    assert (folder / "package/data.bin").stat().st_size == 100_000
    assert install(tmp_path, GOOD) == [done]
    assert [p.name for p in (tmp_path / "cache").iterdir()] == [folder.name]


def test_nobody_else_may_look_into_the_cache(tmp_path: Path) -> None:
    install(tmp_path, GOOD)
    assert stat.S_IMODE((tmp_path / "cache").stat().st_mode) == 0o700


def test_two_that_send_the_same_at_once_both_find_it(tmp_path: Path) -> None:
    first, second = Recorder(), Recorder()
    installers = [Installer(first.send, str(tmp_path)), Installer(second.send, str(tmp_path))]
    for installer in installers:
        installer.handle(m.Install(1, "thing", content_digest(GOOD), len(GOOD)))
    for installer in installers:
        installer.handle(m.InstallPart(1, True, GOOD))
    assert first.messages[-1] == second.messages[-1]
    assert len(list((tmp_path / "cache").iterdir())) == 1


@pytest.mark.parametrize(
    "member",
    [
        ("../outside", b""),
        ("/absolute", b""),
        ("a/../../b", b""),
        *(_ for _ in [tarfile.TarInfo("link"), tarfile.TarInfo("hard"), tarfile.TarInfo("pipe")]),
    ],
    # No addresses in a test's name: the workers of one run must agree on them.
    ids=lambda member: member.name if isinstance(member, tarfile.TarInfo) else member[0],
)
def test_only_files_and_folders_below_the_target_are_unpacked(
    tmp_path: Path, member: tarfile.TarInfo | tuple[str, bytes]
) -> None:
    if isinstance(member, tarfile.TarInfo):
        kinds = {"link": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE, "pipe": tarfile.FIFOTYPE}
        member.type, member.linkname = kinds[member.name], "/etc/passwd"
    assert "the archive holds" in problem(tmp_path, archive(("fine", b"1"), member))
    assert not (tmp_path / "outside").exists()


def test_what_was_damaged_on_its_way_is_not_unpacked(tmp_path: Path) -> None:
    assert "damaged" in problem(tmp_path, GOOD, digest=content_digest(GOOD + b"x"))


def test_more_than_was_announced_is_refused_with_the_last_part(tmp_path: Path) -> None:
    assert "more came" in problem(tmp_path, GOOD, size=10)


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    assert problem(tmp_path, b"this is no archive" * 100)
    assert problem(tmp_path, GOOD[:-100])


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "A", "x" * 65, ".hidden"])
def test_a_name_that_could_lead_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    assert "name" in problem(tmp_path, GOOD, name=name)
    assert "name" in problem(tmp_path, GOOD, digest="../../x")


def test_what_is_too_large_is_refused_before_it_comes(tmp_path: Path) -> None:
    assert "too many" in problem(tmp_path, GOOD, size=1 << 40)


def test_a_folder_that_cannot_be_written_is_an_answer(tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(b"")
    answer = install(tmp_path, GOOD)[-1]
    assert isinstance(answer, m.Fail)
    assert str(tmp_path / "cache") in answer.fix


@pytest.mark.parametrize("how", ["folder", "link", "writable"])
def test_what_somebody_else_could_have_written_to_is_not_believed(tmp_path: Path, how: str) -> None:
    done = install(tmp_path, GOOD)[-1]
    assert isinstance(done, m.Installed)
    folder = Path(done.path)
    (folder / "package/__init__.py").write_bytes(b"evil")
    if how == "writable":
        folder.chmod(0o770)
    elif how == "link":
        folder.rename(tmp_path / "theirs")
        folder.symlink_to(tmp_path / "theirs")
    elif os.geteuid() == 0:
        os.chown(folder, 65534, 65534)
    else:
        pytest.skip("only on a machine where the tests are root")
    assert install(tmp_path, GOOD)[-1] == done
    assert (folder / "package/__init__.py").read_bytes() == b"x = 1\n"
    assert stat.S_IMODE(folder.lstat().st_mode) == 0o700


def test_what_has_holes_is_unpacked_anew(tmp_path: Path) -> None:
    done = install(tmp_path, GOOD)[-1]
    assert isinstance(done, m.Installed)
    folder = Path(done.path)
    (folder / "package/__pycache__").mkdir()  # what Python adds is not looked at
    assert install(tmp_path, GOOD) == [done]
    (folder / "package/data.bin").unlink()
    assert install(tmp_path, GOOD)[-1] == done
    assert (folder / "package/data.bin").stat().st_size == 100_000


def test_where_the_home_is_read_only_the_cache_is_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.access
    home, memory = tmp_path / "home", tmp_path / "memory"
    home.mkdir()
    memory.mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: path != str(home) and real(path, mode))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(memory))
    done = install(home / ".local" / "state", GOOD)[-1]
    assert isinstance(done, m.Installed)
    assert Path(done.path).parent == memory / f"sidecar-{os.geteuid()}" / "cache"
    assert stat.S_IMODE(Path(done.path).parent.stat().st_mode) == 0o700
    assert install(home / ".local" / "state", GOOD) == [done]
    assert list(home.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only on a machine where the tests are root")
def test_a_folder_that_somebody_else_prepared_there_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "state").mkdir()
    theirs = tmp_path / "sidecar-0"
    theirs.mkdir()
    os.chown(theirs, 65534, 65534)
    monkeypatch.setattr(os, "access", lambda path, mode: path == str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    answer = install(tmp_path / "state", GOOD)[-1]
    assert isinstance(answer, m.Fail)
    assert "belongs to user 65534" in answer.why
    assert list(theirs.iterdir()) == []


def test_versions_that_nobody_asked_for_in_a_month_go(tmp_path: Path) -> None:
    def installed(data: bytes, name: str = "thing-1.0") -> Path:
        answer = install(tmp_path, data, name=name)[-1]
        assert isinstance(answer, m.Installed)
        return Path(answer.path)

    second = archive(("a", b"1"))  # made once: the time stands in it
    old, used = installed(GOOD), installed(second)
    other = installed(GOOD, name="other")
    for folder in (old, used, other):
        os.utime(folder, (0, 0))
    installed(second)
    installed(archive(("a", b"2")))
    assert not old.exists()
    assert used.exists()
    assert other.exists()


def test_parts_of_something_never_announced_are_answered(tmp_path: Path) -> None:
    wire = Recorder()
    Installer(wire.send, str(tmp_path)).handle(m.InstallPart(9, True, b""))
    assert wire.wait(m.Fail).id == 9
