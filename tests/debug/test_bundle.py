from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from sidecar.debug import bundle, dap, releases
from sidecar.debug.releases import Release
from sidecar.errors import RunError


def members(release: Release = releases.CURRENT) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(bundle.bundle(release).archive)) as archive:
        return {member.name: member for member in archive}


@pytest.mark.parametrize("release", releases.RELEASES, ids=lambda release: release.version)
def test_the_archive_is_small_and_holds_no_compiled_parts(release: Release) -> None:
    packed = bundle.bundle(release)
    assert packed.name == f"debugpy-{release.version}"
    assert len(packed.archive) < 600_000
    names = members(release)
    assert {os.path.splitext(name)[1] for name in names} <= {".py", ".txt", ""}
    assert bundle.GUARD in names
    assert "debugpy/LICENSE" in names
    assert "debugpy/ThirdPartyNotices.txt" in names


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


def test_an_installed_debugpy_that_was_not_tested_is_not_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = releases.CURRENT._replace(version="1.8.23")
    monkeypatch.setattr(releases, "CURRENT", other)
    bundle.bundle.cache_clear()
    with pytest.raises(RunError, match=r"1\.8\.22, which was not tested.*1\.8\.23"):
        bundle.bundle(other)
    bundle.bundle.cache_clear()
