"""debugpy's compiled parts, borrowed from the program's environment or not."""

from __future__ import annotations

import importlib.machinery
import sys
from pathlib import Path

import pytest

from sidecar.debug import bundle, compiled
from tests.debug.client import DapClient
from tests.debug.conftest import Bench

SUFFIX = importlib.machinery.EXTENSION_SUFFIXES[0]
CYTHON = f"debugpy/_vendored/pydevd/_pydevd_bundle/pydevd_cython{SUFFIX}"


def environment(folder: Path, version: bytes = b"1.8.22", ending: bytes = b"\n") -> str:
    part = folder / CYTHON
    part.parent.mkdir(parents=True)
    part.write_bytes(b"compiled")
    (folder / "debugpy/_version.py").write_bytes(b"version = " + version + ending)
    return str(folder)


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    environment(tmp_path / "ours")
    (tmp_path / "ours" / CYTHON).unlink()
    return tmp_path / "ours"


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"], ids=["unix", "windows"])
def test_they_are_borrowed_from_the_same_release(ours: Path, tmp_path: Path, ending: bytes) -> None:
    places = [
        "",
        "relative",
        str(tmp_path / "nowhere"),
        environment(tmp_path / "env", ending=ending),
    ]
    assert compiled.borrow(str(ours), places) == [CYTHON.removeprefix("debugpy/")]
    assert (ours / CYTHON).read_bytes() == b"compiled"
    assert [path.name for path in (ours / CYTHON).parent.iterdir()] == [Path(CYTHON).name]
    # Once: the environment may have another release by now.
    assert compiled.borrow(str(ours), places) == []


def test_not_from_another_release(ours: Path, tmp_path: Path) -> None:
    assert compiled.borrow(str(ours), [environment(tmp_path / "env", b"1.8.21")]) == []
    assert not (ours / CYTHON).exists()


def test_one_that_is_too_large_or_no_file_is_left(
    ours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = environment(tmp_path / "env")
    monkeypatch.setattr(compiled, "LIMIT", 7)
    assert compiled.borrow(str(ours), [place]) == []
    (tmp_path / "env" / CYTHON).unlink()
    (tmp_path / "env" / CYTHON).mkdir()
    assert compiled.borrow(str(ours), [place]) == []
    assert list((ours / CYTHON).parent.iterdir()) == []


async def test_a_session_in_an_environment_with_the_same_debugpy_uses_them(bench: Bench) -> None:
    there = Path(str(bundle.distribution().locate_file(CYTHON)))
    if not there.exists():
        pytest.skip("only on a Python that debugpy has compiled parts for")
    session = await bench.start(interpreter=sys.executable)
    async with DapClient.connected(session.port) as client:
        frames = await client.stop_at(str(bench.here / "model.py"), 2)
        found = await client.ask(
            "evaluate",
            expression="__import__('sys').modules['_pydevd_bundle.pydevd_cython'].__file__",
            frameId=frames[0]["id"],
        )
        assert bench.home in found["result"]
        assert found["result"].strip("'").endswith(SUFFIX)
