"""`sidecar run`, `shell`, `attach`, `logs`: a job's output and input, as if it ran here.

Where a person sits at a terminal, the job gets one of the same size, and every key (screen.py,
keys.py). Else its stdout and stderr stay apart and are bytes like any others.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import os
import select
import signal
import socket
import sys
import time
from types import FrameType
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

from sidecar import api
from sidecar.cli import keys, last_words, place, screen, terminal
from sidecar.cli.client import HubClient
from sidecar.cli.progress import Progress
from sidecar.errors import SidecarError, UsageError

if TYPE_CHECKING:
    from sidecar.cli import links

Answer = TypeVar("Answer", bound=api.Message)

CHUNK = 32 * 1024
"""Bytes of stdin in one request; the next is read when that one was taken."""

UNKNOWN_END = 125

LAST_WORDS = 3.0
"""Seconds that it may take to find out which GPUs a job has that is left to itself."""


SHELL = 'exec "${SHELL:-/bin/sh}" -i'
"""What `sidecar shell` has a shell there do: become the person's own. Not a login shell: its
environment is one's already, and to make it anew would lose what `setup` and the interpreter's
environment put into PATH."""


def run(options: argparse.Namespace) -> int:
    wants_one = screen.is_ours() and not options.detach and not options.no_terminal
    first, last = lines(options.lines)
    return _run(
        options,
        api.RunParams(
            **place.where(options),
            target=options.target,
            args=_args(options.args),
            module=options.module,
            cwd=os.getcwd(),
            env=variables(options.env),
            as_is=options.as_is,
            detach=options.detach,
            frozen=options.frozen,
            gpus=_gpus(options),
            busy=options.busy,
            first=first,
            last=last,
            **_terminal(wants_one),
        ),
    )


def _gpus(options: argparse.Namespace) -> int:
    count: int = options.gpus
    if count < 0 or (options.busy and not count):
        raise UsageError("--busy goes with --gpus N", "", "write --gpus 1 --busy")
    return count


def rerun(options: argparse.Namespace) -> int:
    wants_one = screen.is_ours() and not options.detach and not options.no_terminal
    params = api.RerunParams(
        **place.where(options),
        job=options.job,
        frozen=options.frozen,
        env=variables(options.env),
        as_is=options.as_is,
        detach=options.detach,
        **_terminal(wants_one),
    )
    return _run(options, params, "sidecar/rerun")


def shell(options: argparse.Namespace) -> int:
    if not screen.is_ours():
        raise UsageError(
            "A shell needs a terminal", "", "for a command there, `sidecar run sh -c '…'`"
        )
    return _run(
        options,
        api.RunParams(
            **place.where(options),
            target="sh",
            args=["-c", SHELL],
            as_shell=True,
            cwd=os.getcwd(),
            as_is=True,
            **_terminal(True),
        ),
    )


def _run(
    options: argparse.Namespace,
    params: api.RunParams | api.RerunParams,
    method: str = "sidecar/run",
) -> int:
    with place.connect(options) as hub, JobHere(hub, options) as job:
        started = job.ask(method, params, api.RunResult)
        for line in started.differences:
            terminal.say(line)
        if sys.stderr.isatty() or params.detach:
            if started.before:
                terminal.say(f"{started.before}: see `sidecar jobs`")
            terminal.say(started.headline)
        if started.warning:
            terminal.say(f"{started.host}: {started.warning}")
        if params.detach:
            print(started.job)
            return 0
        job.begins(started)
        status = job.show() if params.terminal else job.follow(stdin=True)
    if getattr(options, "debug_on_failure", False) and 0 < status < UNKNOWN_END:
        from sidecar.cli.debug import once_more

        once_more(options, started.job)
    return status


class _Size(TypedDict):
    terminal: bool
    rows: int
    columns: int


def _terminal(wanted: bool) -> _Size:
    rows, columns = screen.size()
    return {"terminal": wanted, "rows": rows, "columns": columns}


def attach(options: argparse.Namespace) -> int:
    return _attach(options, follow=True, stdin=True)


def logs(options: argparse.Namespace) -> int:
    status = _attach(options, follow=options.follow, stdin=False)
    return status if options.follow else 0


def _attach(options: argparse.Namespace, *, follow: bool, stdin: bool) -> int:
    with place.connect(options) as hub, JobHere(hub, options) as job:
        params = api.AttachParams(**place.where(options), job=options.job, follow=follow)
        job.follows = follow
        found = job.ask("sidecar/attach", params, api.AttachResult)
        job.begins(found)
        if stdin and found.terminal and screen.is_ours():
            return job.show()
        return job.follow(stdin=stdin)


def lines(given: str) -> tuple[int, int]:
    """FIRST-LAST, or one number; (0, 0) for the whole file."""
    first, dash, last = given.partition("-")
    numbers = (first, last if dash else first)
    if not given:
        return 0, 0
    if not all(one.isdecimal() and len(one) < 10 for one in numbers) or not int(first):
        raise UsageError(f"{given!r} are no lines", "", "write --lines 10-20")
    return int(numbers[0]), int(numbers[1])


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


class JobHere:
    """What of this process takes part in a job: stdin, stdout, stderr, and Ctrl-C."""

    def __init__(self, hub: HubClient, options: argparse.Namespace) -> None:
        self.id = self.host = ""
        self.follows = True
        """Its end is waited for."""
        self._hub, self._where = hub, place.where(options)
        self._status: int | None = None
        self._input: int | None = None
        """The request that carries the last bytes of stdin, until it is answered."""
        self._early: list[api.Output | api.Exited] | None = []
        """Output, and the end, that came before it is shown: a job that has this terminal asks for
        keys only when keys go there. None from then on."""
        self._links: dict[int, links.Linker] = {}
        self._has_terminal = False
        self._interrupted = 0
        self._unread = False
        self._left: list[int] = []
        self._closed = False
        """The terminal has gone."""
        self._about: int | None = None
        """The request for what is said after a second Ctrl-C."""
        hub.on("sidecar/output", api.Output, self._output)
        hub.on("sidecar/exited", api.Exited, self._exited)
        if sys.stderr.isatty():
            hub.on("sidecar/forwarded", api.Forwarded, self._forwarded)

    def __enter__(self) -> JobHere:
        """From here on SIGINT and SIGTERM are the job's; SIGHUP (the terminal was closed) ends us,
        and the job only where the person wants that."""
        self._wake, self._waker = socket.socketpair()
        self._waker.setblocking(False)
        self._before = {
            number: signal.signal(number, _only_wake)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGWINCH, signal.SIGHUP)
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN  # nohup
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
        # A question of the hub's waits for the terminal, where only an exception is heard.
        handler = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            while not self._hub.answered(number):
                ready, _, _ = select.select(files, [], [])
                if self._hub in ready:
                    self._hub.read()
                elif self._wake in ready and set(self._wake.recv(64)) - {signal.SIGWINCH}:
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            self._hub.cancel(number)
            raise
        finally:
            signal.signal(signal.SIGINT, handler)
            progress.end()
        return self._hub.take(number, result)

    def begins(self, job: api.RunResult | api.AttachResult) -> None:
        """It runs. What is said to it goes to its host, whichever is used meanwhile."""
        self.id = job.job
        self.host = self._where["host"] = job.host
        if not job.links or not (os.isatty(1) or os.isatty(2)):
            return
        from sidecar.cli import links  # 4 ms, which a pipe need not wait for

        folders = [links.Folder(one.here, one.there) for one in job.folders]
        for descriptor in (1, 2):
            if folders and links.may_be_shown(descriptor):
                self._links[descriptor] = links.Linker(folders, job.cwd)

    def show(self) -> int:
        """Lends this terminal to the job until that ends, or is left by `~d`. Returns what a
        shell would."""
        typed = keys.Keys()
        self._has_terminal = True
        self._resize()
        with screen.lent() as lent:
            self._show_early()
            while self._status is None and not self._closed:
                ready = self._wait(reading=True)
                if ready and not self._take_keys(typed, lent):
                    break
        if self._status is None and not self._closed:
            self._unread = True
            terminal.say(last_words.runs_on(self.id, self.host, self._found()))
        return self._end()

    def follow(self, *, stdin: bool) -> int:
        """Until the job's end; returns what a shell would."""
        reading = stdin and _may_read_stdin()
        self._show_early()
        while self._status is None and not self._closed:
            if self._wait(reading=reading):
                reading = self._send_stdin()
        return self._end()

    def _end(self) -> int:
        """Says what is to be said; returns the exit status."""
        if self._closed:
            params = api.Place(**self._where)
            with contextlib.suppress(SidecarError):
                self._hub.call("sidecar/quit", params, api.Empty)
            return 128 + signal.SIGHUP
        if self._status is not None and self._left and self.follows:
            found = self._found()
            terminal.say(last_words.left_behind(self.id, self.host, self._left, found))
        return self._status or 0

    def _found(self) -> api.Job | None:
        """The job as it is listed, with its GPUs; None where that takes too long."""
        number = self._ask_about()
        until = time.monotonic() + LAST_WORDS
        while not self._hub.answered(number):
            ready, _, _ = select.select([self._hub], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                self._hub.forget(number)
                return None
            self._hub.read()
        return self._told(number)

    def _ask_about(self) -> int:
        params = api.JobsParams(**self._where, all=True, gpus=True)
        return self._hub.send("sidecar/jobs", params)

    def _told(self, number: int) -> api.Job | None:
        try:
            jobs = self._hub.take(number, api.JobsResult).jobs
        except SidecarError:
            return None  # no connection: then nobody knows
        return next((job for job in jobs if job.id == self.id), None)

    def _wait(self, *, reading: bool) -> bool:
        """Until something happens, and it is dealt with. Whether stdin has something, which is
        looked at when what it had before was taken."""
        files: list[Any] = [self._hub, self._wake]
        if reading and self._input is None:
            files.append(0)
        patience = next((one.patience for one in self._links.values() if one.holds), None)
        ready, _, _ = select.select(files, [], [], patience)
        if not ready:
            self._show_held()
        if self._hub in ready:
            self._hub.read()
            self._take_input_answer()
            if self._about is not None and self._hub.answered(self._about):
                found, self._about = self._told(self._about), None
                if self._status is None:
                    terminal.say(last_words.still_runs(self.id, self.host, found))
        if self._wake in ready:
            for number in self._wake.recv(64):
                self._signalled(signal.Signals(number))
        return 0 in ready

    def _show_early(self) -> None:
        early, self._early = self._early or [], None
        for one in early:
            if isinstance(one, api.Output):
                self._output(one)
            else:
                self._exited(one)

    def _output(self, part: api.Output) -> None:
        if self._early is not None:
            self._early.append(part)
            return
        if self._unread or part.job != self.id:
            return
        data = base64.b64decode(part.data) if part.encoding == "base64" else part.data.encode()
        descriptor = 1 if part.stream == "stdout" else 2
        if linker := self._links.get(descriptor):
            data = linker.feed(data)
        try:
            _write(descriptor, data)
        except BrokenPipeError:
            # Nobody reads it any more. A program here would hear of that when it next writes;
            # this one writes to its log, and Python programs ignore SIGPIPE: so TERM.
            self._unread = True
            params = api.SignalParams(**self._where, job=part.job, signal="TERM")
            self._hub.call("sidecar/signal", params, api.Empty)
            raise
        except OSError:
            if not os.isatty(1):
                raise
            self._closed = self._unread = True  # the window was closed, and SIGHUP is on its way

    def _forwarded(self, note: api.Forwarded) -> None:
        """A port of this job: one line says where it can be reached, or how."""
        if note.port.job == self.id and note.port.state in ("open", "offered", "held"):
            terminal.say(f"{note.host}: {note.port.text}")

    def _show_held(self) -> None:
        for descriptor, linker in self._links.items():
            _write(descriptor, linker.flush())

    def _exited(self, end: api.Exited) -> None:
        if self._early is not None:
            self._early.append(end)
            return
        if end.job != self.id:
            return
        self._show_held()
        self._left = end.left
        for line in end.advice.splitlines():
            terminal.complain(line)
        if end.signal:
            self._status = 128 + _number(end.signal)
        elif end.status >= 0:
            self._status = end.status
        elif not self.follows:
            self._status = UNKNOWN_END  # it runs still, or nobody knows: not what was asked
        else:
            terminal.complain(f"The end of job {end.job} is not known: {end.why or 'no reason'}.")
            self._status = UNKNOWN_END

    def _take_keys(self, typed: keys.Keys, lent: screen.Screen) -> bool:
        """Sends what was typed, and does what was said to us; whether the job is still shown."""
        waiting = _read_stdin()
        stays, data = bool(waiting), b""
        self._closed = not waiting
        while waiting and stays:
            some, word, waiting = typed.feed(waiting)
            data += some
            if word == keys.SUSPEND:
                lent.suspend()
                self._resize()
            elif word == keys.HELP:
                terminal.say(f"\n{keys.HELP_TEXT}")
            stays = word != keys.DETACH
        if data:
            self._send_input(data)
        return stays

    def _send_stdin(self) -> bool:
        """Sends what is there; whether there may be more."""
        data = _read_stdin()
        self._send_input(data)
        return bool(data)

    def _send_input(self, data: bytes) -> None:
        params = api.InputParams(
            **self._where,
            job=self.id,
            data=base64.b64encode(data).decode(),
            encoding="base64",
            eof=not data,
        )
        self._input = self._hub.send("sidecar/input", params)

    def _take_input_answer(self) -> None:
        if self._input is not None and self._hub.answered(self._input):
            # An error here means that the job reads no more, or is gone: its end will tell.
            self._hub.forget(self._input)
            self._input = None

    def _resize(self) -> None:
        """The job's terminal gets the size of this one."""
        rows, columns = screen.size()
        params = api.ResizeParams(**self._where, job=self.id, rows=rows, columns=columns)
        self._hub.forget(self._hub.send("sidecar/resize", params))

    def _signalled(self, number: signal.Signals) -> None:
        if number == signal.SIGWINCH:
            if self._has_terminal:
                self._resize()
            return
        if number == signal.SIGHUP:
            self._closed = True
            return
        self._send_signal(number.name.removeprefix("SIG"))
        self._interrupted += 1
        if self._interrupted == 2:
            self._about = self._ask_about()

    def _send_signal(self, name: str) -> None:
        params = api.SignalParams(**self._where, job=self.id, signal=name)
        self._hub.forget(self._hub.send("sidecar/signal", params))


def _only_wake(_number: int, _frame: FrameType | None) -> None:
    """The wakeup descriptor carries the signal's number into the loop."""


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _read_stdin() -> bytes:
    try:
        return os.read(0, CHUNK)
    except OSError:
        return b""


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
