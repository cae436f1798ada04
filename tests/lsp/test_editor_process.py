from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

from sidecar.lsp import editor_process


def sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)


@pytest.mark.parametrize("by_event", [True, False])
async def test_the_end_of_the_editor_is_seen(
    by_event: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not by_event:
        monkeypatch.delattr(os, "pidfd_open", raising=False)
        monkeypatch.setattr(editor_process, "LOOK_EVERY", 0.01)
    with sleeper() as editor:
        watching = asyncio.create_task(editor_process.gone(editor.pid))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not watching.done()
        editor.kill()
        editor.wait()
        await asyncio.wait_for(watching, 30)


async def test_a_process_that_cannot_be_seen_from_here_counts_as_living() -> None:
    with sleeper() as editor:
        editor.kill()
    watching = asyncio.create_task(editor_process.gone(editor.pid))
    done, _ = await asyncio.wait({watching}, timeout=0.05)
    assert not done
    watching.cancel()
