"""The process that owns one job: its session, its pipes or terminal, its log, its end.

It is started by an agent (detach.py) and then belongs to nobody: it has a session of its own, no
terminal, none of the agent's descriptors, and ignores what a closing connection sends. One
thread, one loop; nothing is asked of a clock but the few deadlines below.

When it ends. The job *has ended* when its first process has, and its output is at its end or
GRACE later: then the record is written and every watcher told. If processes that it left behind
still hold the output, the supervisor stays, for their output's sake, until the last of them
closes it; ending earlier would kill them at their next line (SIGPIPE). Nobody waits for that.

The rest has rooms of its own: the output's way into the log (capture.py), what is typed
(stdin.py), the socket at which agents come and go (doorway.py).
"""

import json
import os
import pwd
import selectors
import signal
import socket
import sys
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional

from sidecar.agent import machine
from sidecar.agent.supervisor import control, joblog, process, records, title
from sidecar.agent.supervisor.capture import Capture
from sidecar.agent.supervisor.doorway import Doorway, Visitor
from sidecar.agent.supervisor.readers import Readers
from sidecar.agent.supervisor.stdin import Stdin, TooMuch

GRACE = 1.0
"""Seconds after the first process's end in which what lies in the pipes is still its output."""

RETRY = 1.0
"""Seconds after which the record's last word is tried again on a full disk."""

LOOK = 60.0
"""Every so many seconds it is looked whether the socket still lies where it was."""

_PR_SET_CHILD_SUBREAPER = 36

Deadline = Optional[float]


class Spec(NamedTuple):
    """What to run, from the agent. `folder`: the job's, not made yet. `socket`: the name of its
    socket, which is short whatever the folder is called. `variables`: names that the run sets in
    `env`, for the record."""

    job: str
    folder: str
    socket: str
    argv: List[str]
    env: Dict[str, str]
    variables: List[str]
    cwd: str
    rows: int
    columns: int
    notes: Dict[str, str]
    log_max: int = joblog.LOG_MAX


def prepare() -> None:
    """What needs no task yet: lets the job's orphans come to this process instead of init, so
    that they are found when the job is stopped. Loading ctypes takes as long as a short job, so
    this happens while the barrier is asked."""
    if not sys.platform.startswith("linux"):
        return
    try:
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except (ImportError, OSError, AttributeError):
        return  # a Python without ctypes, a C library without prctl: orphans go to init


def main(spec_json: str) -> None:
    """Starts the job, tells the agent by a line of JSON on descriptor 1, and stays with it."""
    for name in ("SIGHUP", "SIGINT", "SIGQUIT", "SIGPIPE", "SIGTSTP", "SIGTTOU", "SIGTTIN"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    os.chdir("/")
    spec = Spec(**json.loads(spec_json))
    title.show(spec.job)
    try:
        supervisor = Supervisor(spec)
    except process.StartError as error:
        _report({"code": error.code, "what": error.what, "why": error.why, "fix": error.fix})
        return
    except FileExistsError:
        what = "A job of that id is there already"
        _report({"code": "exists", "what": what, "why": "", "fix": "run it again"})
        return
    except (OSError, control.ControlError) as error:
        what = "The job's folder there cannot be prepared"
        _report({"code": "disk", "what": what, "why": str(error), "fix": ""})
        return
    _report({"pid": supervisor.pid})
    supervisor.run()


class Supervisor:
    """One job, from its start to the end of its output."""

    def __init__(self, spec: Spec) -> None:
        os.mkdir(spec.folder, 0o700)
        self._folder = spec.folder
        self._selector = selectors.DefaultSelector()
        self._log = joblog.LogWriter(spec.folder, spec.log_max)
        self._readers = Readers()
        self._held_until: Deadline = None
        self._doorway: Optional[Doorway] = None
        try:
            self._door = self._doorway = Doorway(
                self._selector, spec.socket, self._on_visitor, self._on_word, self._on_leave
            )
            started = time.time()
            self._process = process.start(spec.argv, spec.env, spec.cwd, spec.rows, spec.columns)
        except (OSError, control.ControlError, process.StartError):
            self._undo()
            raise
        self.pid = self._process.pid
        self._alive = True
        self._record = records.Record(
            id=spec.job,
            argv=spec.argv,
            cwd=spec.cwd,
            variables=spec.variables,
            terminal=self._process.terminal,
            notes=spec.notes,
            place=machine.here(),
            host=os.uname().nodename,
            user=_user(),
            started=started,
            supervisor=_itself(os.getpid()),
            process=_itself(self.pid),
            socket=self._door.path,
        )
        try:
            records.write(self._folder, self._record)
        except OSError:
            os.killpg(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self._undo()
            raise
        self._stdin = Stdin(
            self._selector, self._process.stdin, self._process.terminal, self._tell_taken
        )
        self._end_at: Deadline = None
        self._look_at = time.monotonic() + LOOK
        self._output = Capture(self._selector, self._log, self._on_growth, self._on_stuck)
        self._output.add(self._process.stdout, joblog.STDOUT)
        self._output.add(self._process.stderr, joblog.STDERR)
        self._watch_children()

    def run(self) -> None:
        """Returns when the job has ended and nobody holds its output any more."""
        while not (self._record.over and self._output.over):
            for key, _ in self._selector.select(self._patience()):
                key.data()
            self._deadlines()
        left = self._left_behind()
        if left != self._record.left:
            self._record = self._record._replace(left=left)
            try:
                records.write(self._folder, self._record)
            except OSError:
                pass  # the end itself is recorded; who is left can be seen by `ps`
        self._log.close()
        self._door.close()

    # --- the job's end --------------------------------------------------------------------------

    def _watch_children(self) -> None:
        """Lets the loop notice ended children, and SIGTERM, which is meant for the job."""
        reader, writer = socket.socketpair()
        for end in (reader, writer):
            end.setblocking(False)
        self._wake = (reader, writer)
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: None)
        self._selector.register(reader, selectors.EVENT_READ, self._on_wake)
        self._reap()  # it may have ended before anybody listened

    def _on_wake(self) -> None:
        if signal.SIGTERM in self._wake[0].recv(4096):
            self._signal("TERM")
        self._reap()

    def _reap(self) -> None:
        """Takes the exit status of every child that has one; orphans of the job come here too."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.pid:
                self._alive = False
                self._log.ending = True
                self._pace()
                self._output.retry()
                self._stdin.end()
                self._end_at = time.monotonic() + GRACE
                scale = 1 if sys.platform == "darwin" else 1024
                self._record = self._record._replace(
                    status=-os.WTERMSIG(status)
                    if os.WIFSIGNALED(status)
                    else os.WEXITSTATUS(status),
                    peak_rss=usage.ru_maxrss * scale,
                )

    def _end(self) -> None:
        """The job is over: the record says so before anybody is told."""
        self._end_at = None
        self._log.ending = False
        self._record = self._record._replace(
            ended=time.time(), dropped=self._log.dropped, left=self._left_behind()
        )
        try:
            records.write(self._folder, self._record)
        except FileNotFoundError:
            pass  # somebody removed the job's folder: there is nobody to keep it for
        except OSError:
            # A full disk: the exit status is what nobody can find out later, so it waits too.
            self._record = self._record._replace(ended=None)
            self._end_at = time.monotonic() + RETRY
            return
        self._tell_watchers()

    def _left(self) -> List[int]:
        return sorted(set(machine.descendants(os.getpid())) - {self.pid})

    def _left_behind(self) -> List[records.Process]:
        return [_itself(pid) for pid in self._left()]

    # --- signals --------------------------------------------------------------------------------

    def _signal(self, name: str) -> str:
        """Sends a signal where it belongs; returns why it could not be sent, or "".

        INT, QUIT and TSTP go where the terminal's keys would send them; every other one to the
        job's process group and, so that nothing survives a stop by having left the group, to all
        descendants.
        """
        try:
            number = signal.Signals["SIG" + name]
        except KeyError:
            return "there is no signal %.20r on this machine" % name
        keys = name in ("INT", "QUIT", "TSTP")
        group = self.pid
        if keys and self._process.terminal and self._stdin.open:
            group = _foreground(self._process.stdin) or self.pid
        reached = False
        if self._alive or group != self.pid:
            # Our child is not reaped yet, so its number, and the group's, is still its own.
            reached = _send(os.killpg, group, number)
        if not keys:
            for pid in self._left():
                if not (self._alive and _group(pid) == self.pid):
                    reached = _send(os.kill, pid, number) or reached
        return "" if reached else "nothing of the job is left that could be signalled"

    # --- visitors -------------------------------------------------------------------------------

    def _on_visitor(self, visitor: Visitor) -> None:
        self._door.say(visitor, "hello", control.VERSION, self._record.id, self._stdin.offset)
        if self._output.stuck:
            self._door.say(visitor, "stuck", self._output.stuck)

    def _on_word(self, visitor: Visitor, word: control.Word) -> None:
        if word.name == "input":
            offset, eof = word.values[:2]
            visitor.wants_taken = True
            try:
                self._stdin.take(int(offset), bool(eof), word.body)
            except TooMuch:
                self._door.drop(visitor)
        elif word.name == "resize":
            rows, columns = word.values[:2]
            if self._process.terminal and self._stdin.open:
                process.resize(self._process.stdin, int(rows), int(columns))
        elif word.name == "signal":
            tag, name = word.values[:2]
            self._door.say(visitor, "signalled", tag, self._signal(str(name)))
        elif word.name == "watch":
            visitor.watches = int(word.values[0])
            self._tell(visitor)
        elif word.name == "reads":
            offset = int(word.values[0])
            if offset < 0:
                self._readers.left(visitor)
            else:
                self._readers.reads(visitor, offset, self._log.size, time.monotonic())
            self._pace()

    def _on_leave(self, visitor: Visitor) -> None:
        self._readers.left(visitor)
        self._pace()

    def _on_stuck(self) -> None:
        for visitor in self._door.visitors:
            self._door.say(visitor, "stuck", self._output.stuck)

    def _on_growth(self) -> None:
        self._tell_watchers()
        self._pace()

    def _pace(self) -> None:
        """Lets the job wait for who reads it, and go on."""
        before, self._log.needed = self._log.needed, self._readers.needed
        self._held_until = (
            self._readers.wait_for(self._log.size, time.monotonic()) if self._alive else None
        )
        self._output.hold(self._held_until is not None)
        if self._log.needed != before:
            self._output.retry()

    def _tell_taken(self) -> None:
        for visitor in self._door.visitors:
            if visitor.wants_taken:
                visitor.wants_taken = self._stdin.waits
                self._door.say(visitor, "took", self._stdin.taken)

    def _tell_watchers(self) -> None:
        for visitor in self._door.visitors:
            self._tell(visitor)

    def _tell(self, visitor: Visitor) -> None:
        if visitor.watches is None:
            return
        if self._log.size > visitor.watches:
            visitor.watches = None
            self._door.say(visitor, "grew", self._log.size)
        elif self._record.over:
            visitor.watches = None
            self._door.say(visitor, "ended")

    # --- time -----------------------------------------------------------------------------------

    def _patience(self) -> float:
        deadlines = (self._look_at, self._end_at, self._held_until, self._output.deadline)
        soonest = min(deadline for deadline in deadlines if deadline is not None)
        return max(0.0, soonest - time.monotonic())

    def _deadlines(self) -> None:
        now = time.monotonic()
        self._output.due(now)
        if self._held_until is not None and now >= self._held_until:
            self._pace()
        if self._end_at is not None and (now >= self._end_at or self._output.over):
            self._end()
        if now >= self._look_at:
            self._look()

    def _look(self) -> None:
        self._look_at = time.monotonic() + LOOK
        if self._door.restore():
            self._record = self._record._replace(socket=self._door.path)
            try:
                records.write(self._folder, self._record)
            except OSError:
                pass  # the socket is where it was, as a rule

    def _undo(self) -> None:
        """Nothing was started: leave no trace of it."""
        self._log.close()
        if self._doorway is not None:
            self._doorway.close()
        for name in os.listdir(self._folder):
            os.unlink(os.path.join(self._folder, name))
        os.rmdir(self._folder)


def _itself(pid: int) -> records.Process:
    return records.Process(pid, machine.start_time(pid))


def _send(kill: Callable[[int, int], None], target: int, number: int) -> bool:
    try:
        kill(target, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _foreground(terminal: int) -> int:
    """The process group that the terminal's keys reach, 0 where there is none."""
    try:
        return os.tcgetpgrp(terminal)
    except OSError:
        return 0


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())  # a container's user without a name


def _report(answer: Dict[str, Any]) -> None:
    """Tells the agent, and lets go of its pipe."""
    line = json.dumps(answer).encode("ascii") + b"\n"
    try:
        os.write(1, line)
    except BrokenPipeError:
        pass  # the agent died meanwhile; the job is started all the same
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)
