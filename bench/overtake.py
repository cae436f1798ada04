"""A save while a large file goes up, at 80 ms and 50 Mbit/s: beside an idle line in the same run,
and what the upload loses by it."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

from bench import save
from bench.figures import Figure, single, spread
from bench.line import Line
from bench.remote import remote
from sidecar.demo.editor import Editor

UPLOAD = 60_000_000
"""Bytes: ten seconds of the line."""


def measure(line: Line | None, name: str) -> list[Figure]:
    with remote(line) as box:
        path = box.project / "main.py"
        path.write_text(save.source(random.Random(1)))
        editor = Editor(box.project, box.environ, box.prefix)
        try:
            editor.open()
            editor.wait_for("sidecar/didChangeStatus", lambda health: health["state"] == "ready")

            def one() -> float:
                return save.milliseconds(path, box.there / "main.py", lambda: editor.save(path))

            idle = [one() for _ in range(30)]
            alone = _upload(editor, box.project / "alone.bin", 1)
            busy: list[float] = []
            over = threading.Event()

            def saving() -> None:
                over.wait(2)
                while not over.wait(0.15):
                    busy.append(one())

            thread = threading.Thread(target=saving)
            thread.start()
            together = _upload(editor, box.project / "together.bin", 2)
            over.set()
            thread.join()
        finally:
            editor.close()
    return [
        spread(f"save → visible, {name}: idle line", idle, "ms"),
        spread(f"save → visible, {name}: during an upload", busy, "ms"),
        single(f"upload, {name}: alone", alone, "MB/s"),
        single(f"upload, {name}: with saves", together, "MB/s"),
    ]


def _upload(editor: Editor, file: Path, seed: int) -> float:
    """MB/s, from the save to the answer."""
    file.write_bytes(random.Random(seed).randbytes(UPLOAD))
    began = time.perf_counter()
    editor.save(file)
    editor.wait_for("sidecar/synced", lambda synced: file.name in synced["paths"])
    return UPLOAD / (time.perf_counter() - began) / 1e6
