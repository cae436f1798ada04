"""A file of 256 MB, edited: bytes on the wire and time, for 1 KB overwritten in its middle and for
100 bytes inserted at its front."""

from __future__ import annotations

import random
import time
from pathlib import Path

from bench.figures import Figure, single
from bench.line import Line
from bench.remote import remote
from sidecar.demo.editor import Editor

SIZE = 256 * 1024 * 1024


def measure(line: Line | None, name: str) -> list[Figure]:
    figures: list[Figure] = []
    with remote(line) as box:
        path = box.project / "data.bin"
        generator = random.Random(3)
        content = bytearray().join(generator.randbytes(1 << 20) for _ in range(SIZE >> 20))
        path.write_bytes(content)
        editor = Editor(box.project, box.environ, box.prefix)
        try:
            editor.open()
            editor.wait_for("sidecar/didChangeStatus", lambda health: health["state"] == "ready")
            content[SIZE // 2 : SIZE // 2 + 1024] = random.Random(4).randbytes(1024)
            figures += _save(editor, path, content, box.there, f"1 KB overwritten, {name}")
            content[:0] = random.Random(5).randbytes(100)
            figures += _save(editor, path, content, box.there, f"100 B in front, {name}")
        finally:
            editor.close()
    return figures


def _save(editor: Editor, path: Path, content: bytearray, there: Path, name: str) -> list[Figure]:
    path.write_bytes(content)
    began = time.perf_counter()
    editor.save(path)
    synced = editor.wait_for("sidecar/synced", lambda synced: path.name in synced["paths"])
    took = (time.perf_counter() - began) * 1000
    if (there / path.name).read_bytes() != content:
        raise RuntimeError("what arrived is not what was saved")
    return [
        single(f"256 MB, {name}: on the wire", synced["bytesSent"], "bytes"),
        single(f"256 MB, {name}: save → answer", took, "ms"),
    ]
