"""`sidecar run`, `attach`, `logs`: a job's output and input, as if it ran here."""

from __future__ import annotations

import argparse
import base64
import os
import select
import signal
import socket
import sys
from types import FrameType
from typing import Any, TypeVar

from sidecar import api
from sidecar.cli import place, terminal
from sidecar.cli.client import HubClient
from sidecar.cli.progress import Progress
from sidecar.errors import UsageError

Answer = TypeVar("Answer", bound=api.Message)

CHUNK = 32 * 1024
"""Bytes of stdin in one request; the next is read when that one was taken."""

UNKNOWN_END = 125


def run(options: argparse.Namespace) -> int:
    with place.connect(options) as hub, _Job(hub, options) as job:
        params = api.RunParams(
            **place.where(options),
            target=options.target,
            args=_args(options.args),
            module=options.module,
            cwd=os.getcwd(),
            env=variables(options.env),
            as_is=options.as_is,
            detach=options.detach,
        )
        started = job.ask("sidecar/run", params, api.RunResult)
        if sys.stderr.isatty() or options.detach:
            terminal.say(started.headline)
        if options.detach:
            print(started.job)
            return 0
        job.id, job.host = started.job, started.host
        return job.follow(stdin=True)


def attach(options: argparse.Namespace) -> int:
    return _attach(options, follow=True, stdin=True)


def logs(options: argparse.Namespace) -> int:
    status = _attach(options, follow=options.follow, stdin=False)
    return 0 if not options.follow else status


def _attach(options: argparse.Namespace, *, follow: bool, stdin: bool) -> int:
    with place.connect(options) as hub, _Job(hub, options) as job:
        params = api.AttachParams(**place.where(options), job=options.job, follow=follow)
        found = job.ask("sidecar/attach", params, api.AttachResult)
        job.id, job.host = found.job, found.host
        return job.follow(stdin=stdin)


def variables(given: list[str]) -> dict[str, str]:
    """NAME=VALUE; a NAME alone is passed on from here."""
    found = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not name:
            raise UsageError(f"{one!r} is no variable", "", "write -e NAME=VALUE, or -e NAME")
        if equals:
            found[name] = value
        elif name in os.environ:
            found[name] = os.environ[name]
    return found


def _args(given: list[str]) -> list[str]:
    """A first `--` only ends our own options."""
    return given[1:] if given[:1] == ["--"] else given


class _Job:
    """What of this process takes part in a job: stdin, stdout, stderr, and Ctrl-C."""

    def __init__(self, hub: HubClient, options: argparse.Namespace) -> None:
        self.id = self.host = ""
        self._hub, self._where = hub, place.where(options)
        self._status: int | None = None
        self._input: int | None = None
        """The request that carries the last bytes of stdin, until it is answered."""
        self._interrupted = 0
        self._unread = False
        hub.on("sidecar/output", api.Output, self._output)
        hub.on("sidecar/exited", api.Exited, self._exited)

    def __enter__(self) -> _Job:
        """From here on SIGINT and SIGTERM are the job's; SIGHUP ends us and not the job."""
        self._wake, self._waker = socket.socketpair()
        self._waker.setblocking(False)
        self._before = {
            number: signal.signal(number, _only_wake) for number in (signal.SIGINT, signal.SIGTERM)
        }
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._wake.close()
        self._waker.close()

    def ask(self, method: str, params: api.Message, result: type[Answer]) -> Answer:
        """As HubClient.call. There is no job yet, so a signal gives the request up, and what
        takes long may be shown."""
        progress = Progress()
        self._hub.on("sidecar/didChangeStatus", api.Health, progress.take)
        number = self._hub.send(method, params)
        files: list[Any] = [self._hub, self._wake]
        try:
            while not self._hub.answered(number):
                ready, _, _ = select.select(files, [], [])
                if self._hub in ready:
                    self._hub.read()
                elif self._wake in ready:
                    self._hub.cancel(number)
                    raise KeyboardInterrupt
        finally:
            progress.end()
        return self._hub.take(number, result)

    def follow(self, *, stdin: bool) -> int:
        """Until the job's end; returns what a shell would."""
        reading = stdin and _may_read_stdin()
        while self._status is None:
            files: list[Any] = [self._hub, self._wake]
            if reading and self._input is None:
                files.append(0)
            ready, _, _ = select.select(files, [], [])
            if self._hub in ready:
                self._hub.read()
                self._take_input_answer()
            if self._wake in ready:
                for number in self._wake.recv(64):
                    self._signalled(signal.Signals(number))
            if 0 in ready:
                reading = self._send_stdin()
        return self._status

    def _output(self, part: api.Output) -> None:
        if self._unread or (self.id and part.job != self.id):
            return
        data = base64.b64decode(part.data) if part.encoding == "base64" else part.data.encode()
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(1 if part.stream == "stdout" else 2, view) :]
        except BrokenPipeError:
            # Nobody reads it any more. A program here would hear of that when it next writes;
            # this one writes to its log, and Python programs ignore SIGPIPE: so TERM.
            self._unread = True
            params = api.SignalParams(**self._where, job=part.job, signal="TERM")
            self._hub.call("sidecar/signal", params, api.Empty)
            raise

    def _exited(self, end: api.Exited) -> None:
        if self.id and end.job != self.id:
            return
        if end.signal:
            self._status = 128 + _number(end.signal)
        elif end.status >= 0:
            self._status = end.status
        else:
            terminal.complain(f"The end of job {end.job} is not known: {end.why or 'no reason'}.")
            self._status = UNKNOWN_END

    def _send_stdin(self) -> bool:
        """Sends what is there; whether there may be more."""
        try:
            data = os.read(0, CHUNK)
        except OSError:
            data = b""
        params = api.InputParams(
            **self._where,
            job=self.id,
            data=base64.b64encode(data).decode(),
            encoding="base64",
            eof=not data,
        )
        self._input = self._hub.send("sidecar/input", params)
        return bool(data)

    def _take_input_answer(self) -> None:
        if self._input is not None and self._hub.answered(self._input):
            # An error here means that the job reads no more, or is gone: its end will tell.
            self._hub.forget(self._input)
            self._input = None

    def _signalled(self, number: signal.Signals) -> None:
        self._send_signal(number.name.removeprefix("SIG"))
        self._interrupted += 1
        if self._interrupted == 2:
            terminal.say(
                f"job {self.id} on {self.host} still runs; `sidecar stop {self.id}` ends it"
            )

    def _send_signal(self, name: str) -> None:
        params = api.SignalParams(**self._where, job=self.id, signal=name)
        self._hub.forget(self._hub.send("sidecar/signal", params))


def _only_wake(_number: int, _frame: FrameType | None) -> None:
    """The wakeup descriptor carries the signal's number into the loop."""


def _may_read_stdin() -> bool:
    """In the background a read of the terminal would stop us."""
    try:
        return not os.isatty(0) or os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False


def _number(name: str) -> int:
    try:
        return int(signal.Signals[f"SIG{name.removeprefix('SIG')}"])
    except KeyError:
        return 0
