from __future__ import annotations

import os
from pathlib import Path

from sidecar.lsp.diagnostics import LARGEST_SOURCE, is_source


def test_only_regular_files_of_some_size_are_read_for_a_traceback(tmp_path: Path) -> None:
    source, device, pipe, large = (tmp_path / name for name in ("a.py", "zero.py", "p.py", "l.py"))
    source.write_text("1/0\n")
    device.symlink_to("/dev/zero")
    os.mkfifo(pipe)
    with large.open("wb") as file:
        file.truncate(LARGEST_SOURCE + 1)
    found = [is_source(str(path)) for path in (source, device, pipe, large, tmp_path / "no.py")]
    assert found == [True, False, False, False, False]
    assert not is_source("nul\0.py")
