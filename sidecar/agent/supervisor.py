"""The process that owns one job: its session, its pipes or terminal, its log, its end.

It is started by an agent (detach.py) and then belongs to nobody: it has a session of its own, no
terminal, none of the agent's descriptors, and ignores what a closing connection sends. One
thread, one loop; nothing is asked of a clock but the few deadlines below.

When it ends. The job *has ended* when its first process has, and its output is at its end or
GRACE later: then the record is written and every watcher told. If processes that it left behind
still hold the output, the supervisor stays, for their output's sake, until the last of them
closes it; ending earlier would kill them at their next line (SIGPIPE). Nobody waits for that.

What it does when the disk is full: the job is slowed, as by a slow reader, and the write is tried
again every RETRY seconds. Nothing is lost.
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

from sidecar.agent import control, joblog, machine, process, records
from sidecar.core import frames, utf8

GRACE = 1.0
"""Seconds after the first process's end in which what lies in the pipes is still its output."""

RETRY = 1.0
SPLIT = 0.02
"""Seconds that the first bytes of a character wait for the rest of it."""

LOOK = 60.0
"""Every so many seconds it is looked whether the socket still lies where it was: the folder in
$XDG_RUNTIME_DIR goes when the user's last login ends, and the job must stay reachable."""

READ = 1 << 16
INPUT_MAX = 1 << 20
"""Input that the job has not read yet. The other side keeps far below; over it, it is broken."""

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
    try:
        supervisor = Supervisor(Spec(**json.loads(spec_json)))
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
        self._socket_name = spec.socket
        self._connections: Dict[socket.socket, _Connection] = {}
        self._selector = selectors.DefaultSelector()
        self._log = joblog.LogWriter(spec.folder)
        try:
            self._socket_path = self._bind()
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
            socket=self._socket_path,
        )
        try:
            records.write(self._folder, self._record)
        except OSError:
            os.killpg(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self._undo()
            raise
        self._input = bytearray()
        self._input_open = True
        self._input_ends = False
        self._input_ended = False
        self._taken = 0
        self._outputs: Dict[int, _Stream] = {}
        self._retry_at: Deadline = None
        self._end_at: Deadline = None
        self._look_at = time.monotonic() + LOOK
        self._add_output(self._process.stdout, joblog.STDOUT)
        self._add_output(self._process.stderr, joblog.STDERR)
        self._watch_children()

    def run(self) -> None:
        """Returns when the job has ended and nobody holds its output any more."""
        while not (self._record.over and not self._outputs):
            for key, _ in self._selector.select(self._patience()):
                key.data()
            self._deadlines()
        for connection in list(self._connections):
            self._drop(connection)
        left = self._left()
        if left != self._record.left:
            self._record = self._record._replace(left=left)
            try:
                records.write(self._folder, self._record)
            except OSError:
                pass  # the end itself is recorded; who is left can be seen by `ps`
        self._log.close()
        self._unlink_socket()

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
                self._end_input()
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
        self._record = self._record._replace(
            ended=time.time(), dropped=self._log.dropped, left=self._left()
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

    # --- output ---------------------------------------------------------------------------------

    def _add_output(self, descriptor: int, number: int) -> None:
        if descriptor < 0:
            return
        self._outputs[descriptor] = _Stream(descriptor, number)
        self._listen_to(self._outputs[descriptor], True)

    def _listen_to(self, stream: "_Stream", wanted: bool) -> None:
        registered = stream.descriptor in self._selector.get_map()
        if wanted and not registered:
            self._selector.register(
                stream.descriptor, selectors.EVENT_READ, lambda: self._on_output(stream)
            )
        elif registered and not wanted:
            self._selector.unregister(stream.descriptor)

    def _on_output(self, stream: "_Stream") -> None:
        try:
            data = os.read(stream.descriptor, READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""  # EIO: nobody has the terminal open any more
        if not data:
            self._listen_to(stream, False)
            stream.over = True
            self._keep(stream, everything=True)
            return
        stream.waiting += data
        self._keep(stream, everything=False)

    def _keep(self, stream: "_Stream", everything: bool) -> None:
        """Brings what was read into the log, but for the beginning of a character."""
        stream.split_at = None
        length = len(stream.waiting)
        if not everything:
            length = utf8.whole_characters(bytes(stream.waiting[-4:])) + max(0, length - 4)
        try:
            taken = self._log.append(stream.number, bytes(stream.waiting[:length]))
        except OSError:
            taken = 0
        del stream.waiting[:taken]
        if taken < length:
            self._pause()
        elif stream.waiting:
            stream.split_at = time.monotonic() + SPLIT
        elif stream.over:
            del self._outputs[stream.descriptor]
            os.close(stream.descriptor)
        if taken:
            self._tell_watchers()

    def _pause(self) -> None:
        """The disk takes nothing: stop reading, so that the job waits instead of losing output."""
        for stream in self._outputs.values():
            self._listen_to(stream, False)
        self._retry_at = time.monotonic() + RETRY

    def _resume(self) -> None:
        self._retry_at = None
        for stream in list(self._outputs.values()):
            self._listen_to(stream, not stream.over)
        for stream in list(self._outputs.values()):
            if self._retry_at is None and (stream.waiting or stream.over):
                self._keep(stream, everything=stream.over)

    # --- input ----------------------------------------------------------------------------------

    def _on_input(self, connection: "_Connection", offset: int, eof: bool, data: bytes) -> None:
        known = self._taken + len(self._input)
        if offset <= known:
            self._input += data[known - offset :] if self._alive else b""
            if eof and not self._input_ended:
                self._input_ends = self._input_ended = True
            if not self._alive or not self._input_open:
                self._taken = max(known, offset + len(data))
                self._input.clear()
        if len(self._input) > INPUT_MAX:
            self._drop(connection.socket)
            return
        connection.wants_taken = True
        self._write_input()

    def _write_input(self) -> None:
        """Gives the job what it takes now; the selector says when it takes more."""
        descriptor = self._process.stdin
        while self._input_open and self._input:
            try:
                written = os.write(descriptor, self._input[:READ])
            except BlockingIOError:
                break
            except OSError:
                # It closed its stdin, or is gone: what comes is taken and dropped, as a shell
                # would have it.
                self._taken += len(self._input)
                self._input.clear()
                self._end_input()
                break
            del self._input[:written]
            self._taken += written
        if self._input_open and self._input_ends and not self._input:
            if self._process.terminal:
                self._input_ends = False
                self._input += process.end_of_input(descriptor)
                self._taken -= len(self._input)  # ours, not the sender's
                self._write_input()
                return
            self._end_input()
        self._want_to_write(bool(self._input))
        for connection in list(self._connections.values()):
            if connection.wants_taken:
                connection.wants_taken = bool(self._input)
                self._say(connection, "took", self._taken)

    def _want_to_write(self, wanted: bool) -> None:
        registered = self._process.stdin in self._selector.get_map()
        if wanted and self._input_open and not registered:
            self._selector.register(self._process.stdin, selectors.EVENT_WRITE, self._write_input)
        elif registered and not (wanted and self._input_open):
            self._selector.unregister(self._process.stdin)

    def _end_input(self) -> None:
        if self._input_open:
            self._want_to_write(False)
            self._input_open = False
            os.close(self._process.stdin)

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
        if keys and self._process.terminal and self._input_open:
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

    # --- the socket -----------------------------------------------------------------------------

    def _bind(self) -> str:
        folder = control.runtime_folder(dict(os.environ))
        path = control.socket_path(folder, self._socket_name)
        self._listener = control.listen(path)
        self._selector.register(self._listener, selectors.EVENT_READ, self._on_connection)
        return path

    def _look(self) -> None:
        """Makes the socket again where somebody has cleared it away."""
        self._look_at = time.monotonic() + LOOK
        if os.path.lexists(self._socket_path):
            return
        deaf = self._listener
        try:
            self._socket_path = self._bind()
            self._record = self._record._replace(socket=self._socket_path)
            records.write(self._folder, self._record)
        except (OSError, control.ControlError):
            return  # the next look tries again
        self._selector.unregister(deaf)
        deaf.close()

    def _on_connection(self) -> None:
        try:
            accepted, _ = self._listener.accept()
        except OSError:
            return  # it went away before we came
        try:
            control.check_peer(accepted)
        except control.ControlError:
            accepted.close()
            return
        accepted.setblocking(False)
        connection = _Connection(accepted)
        self._connections[accepted] = connection
        self._selector.register(accepted, selectors.EVENT_READ, lambda: self._on_words(connection))
        taken = self._taken + len(self._input)
        self._say(connection, "hello", control.VERSION, self._record.id, taken)

    def _on_words(self, connection: "_Connection") -> None:
        try:
            data = connection.socket.recv(READ)
            words = [control.decode(frame) for frame in connection.decoder.feed(data)]
        except BlockingIOError:
            return
        except (OSError, frames.FrameError, control.ControlError):
            data = b""
        if not data:
            self._drop(connection.socket)
            return
        for word in words:
            try:
                self._on_word(connection, word)
            except (TypeError, ValueError, IndexError):
                self._drop(connection.socket)  # a word of ours with the wrong values
                return

    def _on_word(self, connection: "_Connection", word: control.Word) -> None:
        if word.name == "input":
            offset, eof = word.values[:2]
            self._on_input(connection, int(offset), bool(eof), word.body)
        elif word.name == "resize":
            rows, columns = word.values[:2]
            if self._process.terminal and self._input_open:
                process.resize(self._process.stdin, int(rows), int(columns))
        elif word.name == "signal":
            tag, name = word.values[:2]
            self._say(connection, "signalled", tag, self._signal(str(name)))
        elif word.name == "watch":
            connection.watches = int(word.values[0])
            self._tell(connection)

    def _tell_watchers(self) -> None:
        for connection in list(self._connections.values()):
            self._tell(connection)

    def _tell(self, connection: "_Connection") -> None:
        if connection.watches is None:
            return
        if self._log.size > connection.watches:
            connection.watches = None
            self._say(connection, "grew", self._log.size)
        elif self._record.over:
            connection.watches = None
            self._say(connection, "ended")

    def _say(self, connection: "_Connection", name: str, *values: Any) -> None:
        """Words are few and short; who lets the kernel's buffer fill up does not listen."""
        data = control.encode(name, *values)
        try:
            if connection.socket.send(data) == len(data):
                return
        except OSError:
            pass  # gone, or deaf: both end here
        self._drop(connection.socket)

    def _drop(self, connection: socket.socket) -> None:
        if self._connections.pop(connection, None) is not None:
            self._selector.unregister(connection)
            connection.close()

    def _unlink_socket(self) -> None:
        self._listener.close()
        try:
            os.unlink(self._socket_path)
        except FileNotFoundError:
            pass  # cleared away by the system

    def _undo(self) -> None:
        """Nothing was started: leave no trace of it."""
        self._log.close()
        if hasattr(self, "_socket_path"):
            self._unlink_socket()
        for name in os.listdir(self._folder):
            os.unlink(os.path.join(self._folder, name))
        os.rmdir(self._folder)

    # --- time -----------------------------------------------------------------------------------

    def _patience(self) -> float:
        deadlines = [self._look_at, self._retry_at, self._end_at]
        deadlines += [stream.split_at for stream in self._outputs.values()]
        soonest = min(deadline for deadline in deadlines if deadline is not None)
        return max(0.0, soonest - time.monotonic())

    def _deadlines(self) -> None:
        now = time.monotonic()
        for stream in list(self._outputs.values()):
            if stream.split_at is not None and now >= stream.split_at:
                self._keep(stream, everything=True)
        if self._retry_at is not None and now >= self._retry_at:
            self._resume()
        if self._end_at is not None and (now >= self._end_at or not self._outputs):
            self._end()
        if now >= self._look_at:
            self._look()


class _Stream:
    """One of the job's outputs. `waiting`: read, not in the log yet. `over`: nothing more comes."""

    def __init__(self, descriptor: int, number: int) -> None:
        self.descriptor, self.number = descriptor, number
        self.waiting = bytearray()
        self.over = False
        self.split_at: Deadline = None


class _Connection:
    """One agent on the socket. `watches`: the offset beyond which it wants to be woken."""

    def __init__(self, accepted: socket.socket) -> None:
        self.socket = accepted
        self.decoder = frames.FrameDecoder()
        self.watches: Optional[int] = None
        self.wants_taken = False


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
