from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from sidecar.debug import bundle, dap
from sidecar.errors import RunError


def members() -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(bundle.bundle().archive)) as archive:
        return {member.name: member for member in archive}


def test_the_archive_is_small_and_holds_no_compiled_parts() -> None:
    packed = bundle.bundle()
    assert packed.name == f"debugpy-{bundle.version()}"
    assert len(packed.archive) < 700_000
    names = members()
    assert {os.path.splitext(name)[1] for name in names} <= {".py", ".txt", ""}
    assert bundle.GUARD in names
    assert "debugpy/LICENSE" in names
    assert "debugpy/ThirdPartyNotices.txt" in names
    assert not [name for name in names if "attach_to_process" in name]


def test_its_bytes_depend_on_its_content_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    first = bundle.bundle().archive
    for member in members().values():
        assert (member.mtime, member.uid, member.gid, member.uname) == (0, 0, 0, "")
    bundle.bundle.cache_clear()
    monkeypatch.setattr(time, "time", lambda: 1e9)
    assert bundle.bundle().archive == first


def test_unpacked_it_runs_with_nothing_else(tmp_path: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(bundle.bundle().archive)) as archive:
        archive.extractall(tmp_path)
    # Modules that lie about are not imported in the place of the standard library's.
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "json.py").write_text("raise SystemExit('the wrong json')")
    with subprocess.Popen(
        [sys.executable, "-I", str(tmp_path / bundle.GUARD)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=tmp_path / "elsewhere",
        env={"PYTHONPATH": str(tmp_path / "elsewhere")},
    ) as adapter:
        assert adapter.stdin is not None
        assert adapter.stdout is not None
        adapter.stdin.write(dap.encode(dap.request("initialize", {"adapterID": "x"}, seq=1)))
        adapter.stdin.flush()
        decoder = dap.Decoder()
        messages: list[dap.Message] = []
        while not any(message["type"] == "response" for message in messages):
            messages += decoder.feed(os.read(adapter.stdout.fileno(), 1 << 16))
        answer = next(message for message in messages if message["type"] == "response")
        assert answer["body"]["supportsConditionalBreakpoints"]


@pytest.mark.parametrize("python", ["3.10.0", "3.11.7", "3.14.0a1", "4.0.0"])
def test_pythons_that_debugpy_runs_on_are_let_through(python: str) -> None:
    bundle.require_supported(python, "/usr/bin/python3")


@pytest.mark.parametrize("python", ["3.8.18", "3.9.18", "2.7.18", "", "nonsense"])
def test_others_are_refused_with_their_name_and_the_way_out(python: str) -> None:
    with pytest.raises(RunError) as refused:
        bundle.require_supported(python, "/opt/py/bin/python")
    assert "/opt/py/bin/python" in str(refused.value)
    assert "3.10 or newer" in refused.value.why
    assert "sidecar envs use" in refused.value.fix
    assert refused.value.code == "debugger-python"
