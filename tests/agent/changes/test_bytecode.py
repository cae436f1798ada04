from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.agent.changes import bytecode
from sidecar.core import messages as m
from tests.agent.laptop import NOON, SECOND, Laptop, after


@pytest.fixture
def laptop(tmp_path: Path) -> Iterator[Laptop]:
    laptop = Laptop(tmp_path / "code")
    yield laptop
    laptop.files.close()


def imported(folder: Path) -> str:
    """What a program says that imports `module`, with a cache of bytecode as it normally is."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX")
    }
    program = "import module; print(module.VALUE)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_a_second_save_of_equal_size_in_one_second_runs_the_new_code(laptop: Laptop) -> None:
    laptop.put("module.py", b"VALUE = 1\n", mtime_ns=NOON)
    assert imported(laptop.folder) == "1"
    assert list((laptop.folder / "__pycache__").iterdir())
    for value in range(2, 5):
        content = b"VALUE = %d\n" % value
        laptop.put("module.py", content, after(laptop.seq), mtime_ns=NOON + value)
        assert imported(laptop.folder) == str(value)


def test_without_us_python_would_run_the_old_code(laptop: Laptop) -> None:
    """The trap is real with this interpreter; else the test above would prove nothing."""
    laptop.put("module.py", b"VALUE = 1\n", mtime_ns=NOON)
    assert imported(laptop.folder) == "1"
    (laptop.folder / "module.py").write_bytes(b"VALUE = 2\n")
    os.utime(laptop.folder / "module.py", ns=(NOON, NOON))
    assert imported(laptop.folder) == "1"


def test_an_mtime_set_back_alone_drops_bytecode_too(laptop: Laptop) -> None:
    laptop.put("module.py", b"VALUE = 1\n", mtime_ns=NOON)
    assert imported(laptop.folder) == "1"
    laptop.put("module.py", b"VALUE = 2\n", after(laptop.seq), mtime_ns=NOON + 5 * SECOND)
    laptop.mode("module.py", after(laptop.seq), False, NOON)
    assert imported(laptop.folder) == "2"


def compiled(cache: Path, name: str, seconds: int, size: int, flags: int = 0) -> Path:
    cache.mkdir(exist_ok=True)
    header = b"magi" + b"".join(n.to_bytes(4, "little") for n in (flags, seconds, size))
    (cache / name).write_bytes(header + b"code")
    return cache / name


def test_only_the_sources_own_bytecode_that_would_be_taken_goes(laptop: Laptop) -> None:
    cache, seconds = laptop.folder / "__pycache__", NOON // SECOND
    taken = [
        compiled(cache, "module.cpython-311.pyc", seconds, 10),
        compiled(cache, "module.cpython-38.opt-2.pyc", seconds, 10),
    ]
    old_python = cache / "module.cpython-36.pyc"
    old_python.write_bytes(
        b"magi" + seconds.to_bytes(4, "little") + (10).to_bytes(4, "little") + b"code"
    )
    kept = [
        compiled(cache, "module.cpython-312.pyc", seconds - 1, 10),
        compiled(cache, "module.cpython-313.pyc", seconds, 11),
        compiled(cache, "module.cpython-39.pyc", seconds, 10, flags=1),
        compiled(cache, "module2.cpython-311.pyc", seconds, 10),
        compiled(cache, "module.cpython-311.pyc.backup", seconds, 10),
    ]
    (cache / "module.short.pyc").write_bytes(b"x")
    os.mkfifo(cache / "module.fifo.pyc")
    (cache / "module.link.pyc").symlink_to(kept[0])
    assert isinstance(laptop.put("module.py", b"VALUE = 1\n"), m.Applied)
    assert [one.exists() for one in [*taken, old_python]] == [False] * 3
    assert [one.exists() for one in kept] == [True] * 5


def test_a_cache_that_is_a_link_is_left_alone(laptop: Laptop, tmp_path: Path) -> None:
    elsewhere = compiled(tmp_path / "elsewhere", "module.x.pyc", NOON // SECOND, 10)
    (laptop.folder / "__pycache__").symlink_to(elsewhere.parent)
    laptop.put("module.py", b"VALUE = 1\n")
    assert elsewhere.exists()


def test_bytecode_that_cannot_be_removed_is_not_taken_either(
    laptop: Laptop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: int, name: str, source: os.stat_result) -> int:
        raise PermissionError(13, "Permission denied")

    laptop.put("module.py", b"VALUE = 1\n", mtime_ns=NOON)
    assert imported(laptop.folder) == "1"
    monkeypatch.setattr(bytecode, "drop", refuse)
    applied = laptop.put("module.py", b"VALUE = 2\n", after(laptop.seq), mtime_ns=NOON)
    assert applied.identity.mtime_ns == NOON + SECOND
    assert imported(laptop.folder) == "2"
    assert laptop.sweep() == []
