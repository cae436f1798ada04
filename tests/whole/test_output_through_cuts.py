"""Twenty cuts of the line under one job: whoever looks at it sees what a local run prints."""

from __future__ import annotations

import asyncio
import base64
import subprocess
import sys
import threading
from itertools import pairwise
from typing import Any

from tests.hub.laptop import PATIENCE, Laptop
from tests.lsp.editor import Editor
from tests.servers.box import Box

CUTS = 20
LINES = 50
"""Between two cuts, on each stream."""

PROGRAM = f"""\
import sys
out, err = sys.stdout.buffer, sys.stderr.buffer
for cut in range({CUTS + 1}):
    for n in range({LINES}):
        number = cut * {LINES} + n
        out.write(b"line %d \\xe6\\xbc\\xa2 \\xff\\n" % number)
        err.write(b"err %d\\n" % number)
    out.flush()
    err.flush()
    if cut < {CUTS}:
        out.write(b"typed: %s" % sys.stdin.buffer.readline())
sys.exit(7)
"""

TYPED = b"".join(b"answer %d\n" % cut for cut in range(CUTS))


class Reader:
    """Reads one pipe to its end, and lets a test wait for what comes."""

    def __init__(self, pipe: Any) -> None:
        self.data = b""
        self._pipe, self._changed = pipe, threading.Condition()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        while data := self._pipe.read1(65536):
            with self._changed:
                self.data += data
                self._changed.notify_all()

    def wait(self, text: bytes) -> None:
        with self._changed:
            found = self._changed.wait_for(lambda: text in self.data, PATIENCE)
        assert found, self.data[-300:]

    def all(self) -> bytes:
        self._thread.join(PATIENCE)
        return self.data


def shown(editor: Editor, job: str, stream: str) -> bytes:
    """What an editor got of that stream; offsets without a gap, nothing twice."""
    parts = [part for part in editor.told["sidecar/output"] if part.job == job]
    for one, following in pairwise(parts):
        assert one.end == following.offset
    return b"".join(
        base64.b64decode(part.data) if part.encoding == "base64" else part.data.encode()
        for part in parts
        if part.stream == stream
    )


async def test_a_terminal_an_editor_attach_and_logs_see_what_a_local_run_prints(
    nearby: Laptop, editor: Editor, embedded: Box
) -> None:
    path = nearby.write("count.py", PROGRAM)
    local = subprocess.run([sys.executable, str(path)], input=TYPED, capture_output=True)
    assert local.returncode == 7

    def run() -> tuple[Any, Reader, Reader]:
        running = nearby.start("run", "count.py")
        out, err = Reader(running.stdout), Reader(running.stderr)
        out.wait(b"line 0 ")
        return running, out, err

    running, out, err = await asyncio.to_thread(run)
    logs = nearby.start("logs", "-f")
    attached = nearby.start("attach")
    others = [(Reader(one.stdout), Reader(one.stderr)) for one in (logs, attached)]
    await editor.start()
    job = (await editor.request("sidecar/attach")).job
    for cut in range(CUTS):
        last = b"line %d " % (cut * LINES + LINES - 1)
        for seen, _ in ((out, err), *others):
            await asyncio.to_thread(seen.wait, last)
        embedded.cut()
        # Typed while there is no connection, and perhaps once more behind the cut: it comes once.
        running.stdin.write(b"answer %d\n" % cut)
        running.stdin.flush()
    assert await asyncio.to_thread(running.wait, PATIENCE) == 7
    assert await asyncio.to_thread(logs.wait, PATIENCE) == 7
    assert await asyncio.to_thread(attached.wait, PATIENCE) == 7
    end = await editor.wait("sidecar/exited", lambda one: one.job == job)
    assert end.status == 7
    for seen, errors in ((out, err), *others):
        assert await asyncio.to_thread(seen.all) == local.stdout
        assert await asyncio.to_thread(errors.all) == local.stderr
    assert shown(editor, job, "stdout") == local.stdout
    assert shown(editor, job, "stderr") == local.stderr
    # And who comes behind all of it.
    late = nearby.start("logs")
    late_out, late_err = Reader(late.stdout), Reader(late.stderr)
    assert await asyncio.to_thread(late.wait, PATIENCE) == 0
    assert (late_out.all(), late_err.all()) == (local.stdout, local.stderr)
