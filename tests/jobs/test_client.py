from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from typing import Any

import pytest

from sidecar import api
from sidecar.agent import machine
from sidecar.core import frames
from sidecar.core import messages as m
from sidecar.core.delta import content_digest, encode_literal
from sidecar.core.pathmap import PathMap
from sidecar.errors import Disconnected, RemoteError, RunError
from sidecar.jobs.client import RunRefused
from sidecar.jobs.job import Job
from tests.jobs.conftest import Place

PATIENCE = 20.0


class Watcher:
    """Looks at a job's output and waits for what it shows."""

    def __init__(self) -> None:
        self.parts: list[api.Output] = []
        self.ends: list[api.Exited] = []
        self._changed = asyncio.Event()

    def output(self, part: api.Output) -> None:
        self.parts.append(part)
        self._changed.set()

    def exited(self, end: api.Exited) -> None:
        self.ends.append(end)
        self._changed.set()

    def text(self, stream: str = "stdout") -> str:
        assert all(part.encoding == "utf-8" for part in self.parts)
        return "".join(part.data for part in self.parts if part.stream == stream)

    async def until(self, found: Any) -> None:
        async def wait() -> None:
            while not found():
                self._changed.clear()
                await self._changed.wait()

        await asyncio.wait_for(wait(), PATIENCE)

    async def saw(self, text: str) -> None:
        await self.until(lambda: text in self.text())

    async def end(self) -> api.Exited:
        await self.until(lambda: self.ends)
        return self.ends[0]


async def start(place: Place, *argv: str, **options: Any) -> tuple[Job, Watcher]:
    job = await place.client.run(place.agent, 1, argv, **options)
    watcher = Watcher()
    await job.view(0, watcher.output, watcher.exited)
    return job, watcher


async def test_a_run_streams_and_ends_with_its_status(place: Place) -> None:
    job, watcher = await start(place, "sh", "-c", "pwd; echo bad >&2; exit 3", env={"A": "b"})
    assert await watcher.end() == api.Exited(job=job.id, host="box", status=3)
    assert watcher.text() == f"{place.folder}\n"
    assert watcher.text("stderr") == "bad\n"
    assert place.client.watched == []


async def test_output_goes_on_through_cuts_with_nothing_missing_and_nothing_twice(
    place: Place,
) -> None:
    program = (
        "import sys\nfor n in range(2000):\n  print(n)\n  if n % 100 == 99: sys.stdin.readline()"
    )
    job, watcher = await start(place, sys.executable, "-c", program)
    for round_ in range(20):
        await watcher.saw(f"{round_ * 100 + 99}\n")
        if round_ % 4 == 0:
            await place.cut()
            await job.input(b"\n")  # typed while there is no connection
            await place.client.resume(await place.connect())
        else:
            await job.input(b"\n")
    assert (await watcher.end()).status == 0
    assert watcher.text() == "".join(f"{n}\n" for n in range(2000))


async def test_what_was_typed_just_before_a_cut_is_typed_once(place: Place) -> None:
    job, watcher = await start(place, "cat")
    for n in range(30):
        await job.input(b"line %d\n" % n)
        if n % 10 == 5:
            await place.cut()
            await place.client.resume(await place.connect())
    await job.input(b"", eof=True)
    assert (await watcher.end()).status == 0
    assert watcher.text() == "".join(f"line {n}\n" for n in range(30))


async def test_much_input_waits_for_a_slow_reader_and_arrives_whole(place: Place) -> None:
    job, watcher = await start(place, "sh", "-c", "read go; sha256sum")
    data = bytes(range(256)) * 4096
    typing = asyncio.create_task(job.input(b"go\n" + data, eof=True))
    assert (await watcher.end()).status == 0
    await typing
    assert watcher.text().startswith(hashlib.sha256(data).hexdigest())


async def test_typing_for_a_job_that_ended_is_refused(place: Place) -> None:
    job, watcher = await start(place, "true")
    await watcher.end()
    with pytest.raises(RunError):
        await job.input(b"x" * (m.INPUT_WINDOW + 1))


async def test_a_second_viewer_sees_all_and_disturbs_nobody(place: Place) -> None:
    job, first = await start(
        place, "sh", "-c", "for i in 1 2 3 4; do echo $i; echo e$i >&2; done; read x; echo over"
    )
    await first.saw("4\n")
    second = Watcher()
    await place.client.find(place.agent, job.id).view(0, second.output, second.exited)
    await second.saw("4\n")
    await job.input(b"\n")
    for watcher in (first, second):
        assert (await watcher.end()).status == 0
        assert watcher.text() == "1\n2\n3\n4\nover\n"
        assert watcher.text("stderr") == "e1\ne2\ne3\ne4\n"


async def test_stop_ends_a_job_that_ignores_int_and_term(place: Place) -> None:
    script = "trap '' INT TERM; echo ready; while :; do sleep 0.05; done"
    job, watcher = await start(place, "sh", "-c", script)
    await watcher.saw("ready\n")
    assert await job.stop((("INT", 0.2), ("TERM", 0.2), ("KILL", 10.0))) == ""
    assert (await watcher.end()).signal == "KILL"


async def test_stop_is_int_for_a_job_that_listens(place: Place) -> None:
    job, watcher = await start(
        place, "sh", "-c", "trap 'exit 7' INT; echo ready; while :; do sleep 0.05; done"
    )
    await watcher.saw("ready\n")
    assert await job.stop() == ""
    assert (await watcher.end()).status == 7


async def test_stop_of_a_job_that_nobody_looks_at(place: Place) -> None:
    job = await place.client.run(place.agent, 1, ["sleep", "60"], detach=True)
    found = place.client.find(place.agent, job.id)
    assert await found.stop() == ""
    listed = await place.client.list(place.agent)
    assert [(one.id, one.state, one.signal) for one in listed] == [(job.id, "exited", "INT")]


async def test_stop_says_what_lives_on(place: Place) -> None:
    script = "setsid sleep 60 >/dev/null 2>&1 & echo $!; exec sleep 60"
    job, watcher = await start(place, "sh", "-c", script)
    await watcher.saw("\n")
    pid = watcher.text().strip()
    assert pid in await job.stop((("INT", 10.0),))
    # It has ended, and what is left of it can still be stopped, by whoever comes.
    (listed,) = await place.client.list(place.agent)
    assert (listed.state, listed.left) == ("exited", [int(pid)])
    assert await place.client.find(place.agent, job.id).stop() == ""
    (listed,) = await place.client.list(place.agent)
    assert listed.left == []


async def test_stop_ends_what_left_its_session_and_what_became_a_daemon(place: Place) -> None:
    """A daemon forks twice: its parent has ended, so nothing but the supervisor knows it."""
    script = (
        "setsid sleep 61 >/dev/null 2>&1 & echo $!; "
        "(setsid sh -c 'sleep 62 & echo $!; exec >/dev/null 2>&1' &); exec sleep 60"
    )
    job, watcher = await start(place, "sh", "-c", script)
    await watcher.saw("\n")
    await watcher.until(lambda: len(watcher.text().split()) == 2)
    pids = [int(pid) for pid in watcher.text().split()]
    assert all(machine.start_time(pid) for pid in pids)
    assert await job.stop() == ""
    assert not any(machine.start_time(pid) for pid in pids)


async def test_a_job_whose_supervisor_was_killed_is_stopped_with_its_daemons(place: Place) -> None:
    script = "setsid sleep 61 >/dev/null 2>&1 & echo $!; exec sleep 60"
    job, watcher = await start(place, "sh", "-c", script)
    await watcher.saw("\n")
    (record,) = place.records()
    os.kill(record.supervisor.pid, 9)
    end = await watcher.end()
    assert "supervisor" in end.why
    assert set(end.left) == {record.process.pid, int(watcher.text())}
    assert await job.stop() == ""
    assert not machine.start_time(record.process.pid)
    assert not machine.start_time(int(watcher.text()))


async def test_a_traceback_is_told_with_local_paths(place: Place) -> None:
    place.folder.mkdir(exist_ok=True)
    (place.folder / "main.py").write_text("import lib\nlib.f()\n")
    (place.folder / "lib.py").write_text("def f():\n    raise ValueError('no')\n")
    place.client.paths = PathMap(["/home/me/p"], [str(place.folder)])
    _, watcher = await start(place, sys.executable, "main.py")
    end = await watcher.end()
    assert (end.status, end.error) == (1, "ValueError: no")
    assert [(frame.path, frame.line, frame.name, frame.local) for frame in end.frames] == [
        ("/home/me/p/main.py", 2, "<module>", True),
        ("/home/me/p/lib.py", 2, "f", True),
    ]


async def test_a_terminal_has_its_size_and_a_resize_survives_a_cut(place: Place) -> None:
    job, watcher = await start(
        place, "sh", "-c", "stty size; read x; stty size", rows=30, columns=90
    )
    await watcher.saw("30 90\r\n")
    await place.cut()
    await job.resize(40, 100)
    await place.client.resume(await place.connect())
    await job.input(b"\n")
    await watcher.end()
    assert watcher.text().endswith("40 100\r\n")


async def test_text_in_any_language_stays_text(place: Place) -> None:
    program = "print('漢字かな交じり文🎈' * 20000)"
    _, watcher = await start(place, sys.executable, "-X", "utf8", "-c", program)
    await watcher.end()
    assert watcher.text() == "漢字かな交じり文🎈" * 20000 + "\n"


async def test_bytes_that_are_no_text_come_as_base64(place: Place) -> None:
    _, watcher = await start(place, "printf", r"\377\376")
    await watcher.end()
    assert [(part.encoding, part.data) for part in watcher.parts] == [("base64", "//4=")]


async def test_a_run_whose_answer_was_lost_can_be_repeated(place: Place) -> None:
    first, _ = await start(place, "sh", "-c", "read x", job="again")
    await place.cut()
    await place.connect()
    again = await place.client.run(place.agent, 1, ["sh", "-c", "read x"], job="again")
    assert again.pid == first.pid
    assert len(place.records()) == 1


async def test_a_program_that_is_not_there_is_a_run_error(place: Place) -> None:
    with pytest.raises(RunError) as caught:
        await place.client.run(place.agent, 1, ["no-such-program"])
    assert caught.value.code == "no-such-program"


async def test_a_run_on_something_else_than_expected_is_refused(place: Place) -> None:
    with pytest.raises(RunRefused):
        await place.client.run(place.agent, 1, ["true"], digest="1" * 32)
    assert place.records() == []


async def test_a_run_waits_behind_the_saves_before_it(place: Place) -> None:
    data = b"print('saved')\n"
    put = m.Put(
        seq=1,
        root=1,
        path="main.py",
        expect=m.Expect(0, None, ""),
        size=len(data),
        mtime_ns=10**18,
        executable=False,
        digest=content_digest(data),
        delta=False,
        codec="",
        last=True,
        body=encode_literal(data),
    )
    await place.agent.send(put, frames.SAVES)
    _, watcher = await start(place, sys.executable, "main.py", after=1, force=True)
    await watcher.end()
    assert watcher.text() == "saved\n"


async def test_without_a_connection_a_signal_says_so(place: Place) -> None:
    job, _ = await start(place, "sleep", "60")
    await place.cut()
    with pytest.raises(Disconnected):
        await job.signal("INT")
    await place.client.resume(await place.connect())
    await job.stop()


async def test_a_job_that_is_not_there_is_an_error_for_who_looks(place: Place) -> None:
    watcher = Watcher()
    with pytest.raises(RemoteError) as caught:
        await place.client.find(place.agent, "never-was").view(0, watcher.output, watcher.exited)
    assert caught.value.code == "no-such-job"
    assert place.client.watched == [] or not watcher.parts


async def test_who_looks_late_at_a_job_that_is_over_sees_all_of_it(place: Place) -> None:
    job, first = await start(place, "sh", "-c", "seq 1000; exit 5")
    assert (await first.end()).status == 5
    for offset, text in [(0, first.text()), (first.parts[-1].end, "")]:
        late = Watcher()
        await place.client.find(place.agent, job.id).view(offset, late.output, late.exited)
        assert (await late.end()).status == 5
        assert late.text() == text


async def test_a_job_that_nobody_looks_at_can_be_typed_for(place: Place) -> None:
    script = "read x; echo $x; read x; echo $x"
    job = await place.client.run(place.agent, 1, ["sh", "-c", script], detach=True)
    for line in (b"one\n", b"two\n"):
        await place.client.find(place.agent, job.id).input(line)
    late = Watcher()
    await place.client.find(place.agent, job.id).view(0, late.output, late.exited)
    await late.end()
    assert late.text() == "one\ntwo\n"


async def test_behind_the_last_viewer_no_output_comes_and_the_job_goes_on(place: Place) -> None:
    job, watcher = await start(place, "sh", "-c", "echo a; read x; echo b")
    await watcher.saw("a\n")
    view = await job.view(watcher.parts[-1].end, Watcher().output, Watcher().exited)
    await view.close()
    assert place.client.watched == [job]
    for other in list(job._views):
        await other.close()
    assert place.client.watched == []
    late = Watcher()
    found = place.client.find(place.agent, job.id)
    await found.view(watcher.parts[-1].end, late.output, late.exited)
    await found.input(b"\n")
    assert (await late.end()).status == 0
    assert late.text() == "b\n"
    assert watcher.text() == "a\n"
