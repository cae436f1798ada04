"""What tests of jobs talk to the agent's side with: it sends messages and waits for answers."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sidecar.agent import machine
from sidecar.agent.jobs.jobs import Jobs
from sidecar.agent.supervisor import records
from sidecar.core import messages as m

PATIENCE = 20.0
"""Seconds that any answer may take on a busy machine."""


class OpenGate:
    """In place of the agent's files: every barrier is passed, every root is one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def folder(self, root: int) -> str:
        return str(self._folder)

    def barrier(
        self,
        root: int,
        after: int,
        digest: str,
        force: bool,
        then: Callable[[str, list[Any]], None],
    ) -> None:
        then("", [])


class ClosedGate(OpenGate):
    """A managed file differs, always."""

    def barrier(
        self,
        root: int,
        after: int,
        digest: str,
        force: bool,
        then: Callable[[str, list[Any]], None],
    ) -> None:
        then("1 file differs there", [("model.py", None)])


def until(found: Callable[[], Any], what: str) -> None:
    """Waits for what no message tells: the end of a process that is not our child."""
    deadline = time.monotonic() + PATIENCE
    clock = threading.Event()
    while not found():
        assert time.monotonic() < deadline, f"not within {PATIENCE:.0f} s: {what}"
        clock.wait(0.01)


class Recorder:
    """Takes what is sent, from any thread, and lets a test wait for it."""

    def __init__(self, on_output: Callable[[m.Output], None] = lambda part: None) -> None:
        self.messages: list[Any] = []
        self._changed = threading.Condition()
        self._on_output = on_output

    def __call__(self, message: Any, lane: int = 0) -> None:
        with self._changed:
            self.messages.append(message)
            self._changed.notify_all()
        if type(message) is m.Output:
            self._on_output(message)

    def wait(self, found: Callable[[list[Any]], Any]) -> Any:
        """The first true value of `found(messages)`."""
        deadline = time.monotonic() + PATIENCE
        with self._changed:
            while True:
                value = found(self.messages)
                if value:
                    return value
                patience = deadline - time.monotonic()
                assert patience > 0, f"nothing came; there is {self.messages[-5:]}"
                self._changed.wait(patience)

    def answer(self, request: int) -> Any:
        return self.wait(
            lambda all_: next((one for one in all_ if getattr(one, "id", None) == request), None)
        )

    def exited(self, job: str) -> m.Exited:
        found = self.wait(
            lambda all_: [one for one in all_ if type(one) is m.Exited and one.job == job]
        )
        return found[0]

    def parts(self, job: str) -> list[m.Output]:
        return [one for one in self.messages if type(one) is m.Output and one.job == job]

    def output(self, job: str, stream: int = 1) -> bytes:
        return b"".join(part.body for part in self.parts(job) if part.stream == stream)

    def wait_output(self, job: str, what: bytes, stream: int = 1) -> None:
        self.wait(lambda _: what in self.output(job, stream))


class Desk:
    """A `Jobs` with its state in a folder of the test. `again` stands for the next agent."""

    def __init__(self, state: Path, gate: type[OpenGate] = OpenGate) -> None:
        self.state = state
        self.root = state / "root"
        self.root.mkdir(parents=True, exist_ok=True)
        self._gate = gate
        self._id = 0
        self.reads = True
        """What comes counts as shown at once."""
        self.started: list[str] = []
        self.again()

    def again(self) -> None:
        """The agent ends, and another one comes."""
        if hasattr(self, "jobs"):
            self.jobs.close()
        self.sent = Recorder(self._has_read)
        self.jobs = Jobs(self.sent, str(self.state), self._gate(self.root))

    def _has_read(self, part: m.Output) -> None:
        if self.reads:
            self.jobs.handle(m.Hold(part.job, part.end))

    def ask(self, build: Callable[[int], Any]) -> Any:
        self._id += 1
        self.jobs.handle(build(self._id))
        return self.sent.answer(self._id)

    def run(self, *argv: str, **fields: Any) -> Any:
        job = fields.pop("job", f"j-{uuid.uuid4().hex[:8]}")
        given = {
            "env": {}, "cwd": "", "after": 0, "digest": "", "force": False,
            "rows": 0, "columns": 0, "record": {}, "tail": True, **fields,
        }  # fmt: skip
        self.started.append(job)
        return self.ask(lambda id_: m.Run(id=id_, root=1, job=job, argv=list(argv), **given))

    def shell(self, script: str, **fields: Any) -> str:
        """Starts `sh -c script`; its job's id."""
        answer = self.run("sh", "-c", script, **fields)
        assert isinstance(answer, m.Started), answer
        return answer.job

    def folder(self, job: str) -> Path:
        return self.state / "jobs" / job

    def record(self, job: str) -> records.Record:
        return records.read(str(self.folder(job)))

    def close(self) -> None:
        """Nothing may be left running, whatever the test did."""
        self.jobs.close()
        for job in self.started:
            try:
                record = self.record(job)
            except records.RecordError:
                continue
            end(record)


def end(record: records.Record) -> None:
    """Kills what is left of a job; its supervisor ends by that, and clears its socket away."""
    family = machine.descendants(record.supervisor.pid) if record.supervisor.alive() else []
    for pid in family or [record.process.pid] * record.process.alive():
        os.kill(pid, signal.SIGKILL)
    until(lambda: not record.supervisor.alive(), "the supervisor's end")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(record.socket)  # of a supervisor that a test killed
