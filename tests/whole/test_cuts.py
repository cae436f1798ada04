"""The line goes at any moment: files are old or new, jobs go on, and all is told once."""

from __future__ import annotations

import hashlib
import os
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.debug.client import DapClient
from tests.hub.laptop import PATIENCE, Laptop
from tests.lsp.editor import Editor
from tests.servers.box import Box
from tests.whole import traces
from tests.whole.waiting import eventually, soon

LARGE = 6_000_000


class Watched:
    """A file that is read whole all the time; remembers every content that was ever seen."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.seen: list[str] = []
        self.looks = 0

    def _look(self) -> None:
        while not self._over.is_set():
            digest = digest_of(self._path)
            self.looks += 1
            if not self.seen or self.seen[-1] != digest:
                self.seen.append(digest)

    @contextmanager
    def watching(self) -> Iterator[Watched]:
        self._thread.start()
        try:
            yield self
        finally:
            self._over.set()
            self._thread.join()


def digest_of(path: Path) -> str:
    try:
        return hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest()
    except FileNotFoundError:
        return "nothing"


def staged_bytes(box: Box) -> int:
    total = 0
    for path in traces.staged(box):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total


async def in_step(editor: Editor) -> None:
    """The last word about the project is that both sides are alike."""

    def last() -> str:
        return str(editor.told["sidecar/didChangeStatus"][-1].text)

    await soon(lambda: last() == "in step", "in step")


@pytest.mark.timeout(120)
async def test_a_file_is_old_or_new_at_every_look_however_often_the_line_goes(
    connected: Laptop, editor: Editor, box: Box
) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    rounds = 4
    path, there = connected.project / "data.bin", box.home / "model/data.bin"
    path.write_bytes(os.urandom(LARGE))
    versions = [digest_of(path)]
    await editor.start()
    await editor.ready()
    with Watched(there).watching() as watched:
        for round_ in range(rounds):
            path.write_bytes(os.urandom(LARGE))
            versions.append(digest_of(path))
            editor.save(path.with_name("small.py"), f"x = {round_}\n")
            # Somewhere in the middle of the upload, or before it begins, or as it ends.
            part = chance.choice([0, 1, int(LARGE * chance.random()), LARGE])
            await soon(
                lambda part=part: staged_bytes(box) >= part or digest_of(there) == versions[-1],
                "an upload under way",
            )
            box.cut()
            if chance.random() < 0.3:
                await soon(lambda: box.line.connections, "the next connection")
                box.cut()
            await soon(lambda: digest_of(there) == versions[-1], f"version {round_} there")
            assert path.with_name("small.py").read_text() == f"x = {round_}\n"
        await soon(lambda: len(watched.seen) and watched.seen[-1] == versions[-1], "a last look")
    # Each version came whole, in order, once; none in between was ever seen.
    assert watched.seen == versions[-len(watched.seen) :]
    assert watched.looks > rounds
    await in_step(editor)
    assert traces.staged(box) == []
    assert (box.home / "model/small.py").read_text() == f"x = {rounds - 1}\n"
    assert await editor.quit() == 0
    await soon(lambda: not traces.there(box), "the end of every agent")


def test_a_job_goes_on_through_cuts_and_its_output_comes_once(connected: Laptop, box: Box) -> None:
    connected.write(
        "count.py",
        "import sys, time\n"
        "for n in range(2000):\n"
        "    print('out', n, flush=True)\n"
        "    print('err', n, file=sys.stderr, flush=True)\n"
        "    time.sleep(0.0005)\n"
        "sys.exit(5)\n",
    )
    running = connected.start("run", "count.py")
    assert running.stdout is not None
    assert running.stderr is not None
    errors: list[bytes] = []
    reader = threading.Thread(target=lambda: errors.extend(running.stderr or []))
    reader.start()
    for number, line in enumerate(running.stdout):
        assert line == b"out %d\n" % number
        if number in (200, 201, 900, 1500):
            box.cut()
    assert number == 1999
    assert running.wait(PATIENCE) == 5
    reader.join(PATIENCE)
    assert errors == [b"err %d\n" % number for number in range(2000)]


async def test_an_editor_sees_a_job_through_a_cut(
    connected: Laptop, editor: Editor, box: Box
) -> None:
    path = connected.write(
        "wait.py",
        "import sys\nprint('begun', flush=True)\nprint(sys.stdin.readline().strip(), 'end')\n",
    )
    await editor.start()
    job = await editor.request("sidecar/run", target=str(path))
    await editor.wait("sidecar/output", lambda part: "begun" in part.data)
    box.cut()
    await editor.wait("sidecar/didChangeStatus", lambda one: one.state == "disconnected")
    editor.told["sidecar/didChangeStatus"].clear()
    await editor.ready()
    await editor.request("sidecar/input", job=job.job, data="typed\n")
    end = await editor.wait("sidecar/exited", lambda one: one.job == job.job)
    assert end.status == 0
    parts = [part for part in editor.told["sidecar/output"] if part.job == job.job]
    assert "".join(part.data for part in parts) == "begun\ntyped end\n"


async def test_a_debug_session_that_loses_its_line_ends_and_leaves_nothing(
    nearby: Laptop, editor: Editor, embedded: Box
) -> None:
    path = nearby.write("loop.py", "import time\nwhile True:\n    time.sleep(0.05)\n")
    await editor.start()
    debug = await editor.request("sidecar/debug", target=str(path))
    async with DapClient.connected(debug.port) as debugger:
        await debugger.stop_at(str(path), 3)
        embedded.cut()
        await debugger.ended()
    end = await editor.wait("sidecar/debugEnded", lambda one: one.port == debug.port)
    assert end.why
    await soon(
        lambda: not [name for name in traces.there(embedded).values() if "loop.py" in name],
        "the end of the program",
    )


async def test_a_silent_line_holds_up_nobody_here(
    connected: Laptop, editor: Editor, box: Box
) -> None:
    """Nothing passes and nothing is closed: saves queue, status answers, quitting works."""
    path = connected.write("a.py", "x = 1\n")
    await editor.start()
    await editor.ready()
    box.line.stall()
    editor.save(path, "x = 2\n")
    status = await editor.request("sidecar/status")
    assert status.sessions[0].host == "box"
    box.line.flow()
    await soon(lambda: (box.home / "model/a.py").read_text() == "x = 2\n", "the save there")


def test_a_first_sync_that_is_cut_goes_on_where_it_can(connected: Laptop, box: Box) -> None:
    for number in range(300):
        connected.write(f"pkg{number % 10}/m{number}.py", f"x = {number}\n" * 50)
    (connected.project / "data.bin").write_bytes(os.urandom(LARGE))
    watching = connected.start("sync", "--watch")
    eventually(lambda: (box.home / "model").is_dir(), "the folder there")
    box.cut()
    # It was told to whoever asked: a wait without an end would be worse.
    assert watching.wait(PATIENCE) == 1
    assert watching.stderr is not None
    assert b"Traceback" not in watching.stderr.read()
    done = connected.sidecar("sync")
    assert done.returncode == 0, done.stderr
    for number in range(300):
        there = box.home / f"model/pkg{number % 10}/m{number}.py"
        assert there.read_text() == f"x = {number}\n" * 50
    assert digest_of(box.home / "model/data.bin") == digest_of(connected.project / "data.bin")
    assert traces.staged(box) == []
