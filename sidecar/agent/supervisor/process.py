"""The job's own process: started in a session of its own, with a terminal or three pipes.

Runs in the supervisor, which has one thread, so that `fork` is safe and what happens between it
and `exec` can be written down here. Failures before the program's first instruction come back
as words through a pipe that closes itself when `exec` succeeds.
"""

import errno
import fcntl
import os
import pty
import signal
import struct
import termios
from typing import Dict, List, NamedTuple, NoReturn, Tuple

MAX_SIDE = 1 << 15
"""Rows and columns are 16 bit numbers in the kernel."""


class StartError(Exception):
    """The program could not be started. The fields are those of messages.Fail."""

    def __init__(self, code: str, what: str, why: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.code, self.what, self.why, self.fix = code, what, why, fix


class JobProcess(NamedTuple):
    """`stdin` is written to; `stdout` and `stderr` are read, -1 where a terminal has the first
    alone. All are non-blocking; with a terminal, two descriptors of its master side."""

    pid: int
    terminal: bool
    stdin: int
    stdout: int
    stderr: int


def start(argv: List[str], env: Dict[str, str], cwd: str, rows: int, columns: int) -> JobProcess:
    """Starts the program; with `rows` and `columns` above 0 on a terminal of that size.

    Raises:
        StartError: in words for the person who asked.
    """
    terminal = rows > 0 and columns > 0
    try:
        if terminal:
            master, slave = pty.openpty()
            resize(master, rows, columns)
            inner = (slave, slave, slave)
            mine = (os.dup(master), master, -1)
        else:
            stdin_read, stdin_write = os.pipe()
            stdout_read, stdout_write = os.pipe()
            stderr_read, stderr_write = os.pipe()
            inner = (stdin_read, stdout_write, stderr_write)
            mine = (stdin_write, stdout_read, stderr_read)
        told, tell = os.pipe()
        pid = os.fork()
    except OSError as error:
        # The process that is to own the job ends on this; its descriptors go with it.
        raise StartError("start-failed", "The job cannot be started", str(error)) from None
    if pid == 0:
        _become(argv, env, cwd, inner, terminal, tell)
    os.close(tell)
    for descriptor in set(inner):
        os.close(descriptor)
    problem = _all_of(told)
    os.close(told)
    if problem:
        os.waitpid(pid, 0)
        for descriptor in mine:
            if descriptor >= 0:
                os.close(descriptor)
        stage, _, number = problem.decode("ascii").partition(":")
        raise _explained(stage, int(number), argv, env, cwd)
    for descriptor in mine:
        if descriptor >= 0:
            os.set_blocking(descriptor, False)
    return JobProcess(pid, terminal, *mine)


def resize(terminal: int, rows: int, columns: int) -> None:
    """Gives the terminal that size; the kernel tells the foreground processes (SIGWINCH)."""
    rows, columns = (min(max(side, 1), MAX_SIDE) for side in (rows, columns))
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def end_of_input(terminal: int) -> bytes:
    """The byte that means end of input on that terminal (Ctrl-D, unless it was changed)."""
    return bytes(termios.tcgetattr(terminal)[6][termios.VEOF])


def _become(
    argv: List[str],
    env: Dict[str, str],
    cwd: str,
    inner: Tuple[int, int, int],
    terminal: bool,
    tell: int,
) -> NoReturn:
    """Turns this process, fresh from `fork`, into the job's. Never returns, whatever happens."""
    stage = "session"
    try:
        os.setsid()
        if terminal:
            fcntl.ioctl(inner[0], termios.TIOCSCTTY, 0)
        for target, descriptor in enumerate(inner):
            os.dup2(descriptor, target)
        # The supervisor ignores signals that the job must feel; Python ignores SIGPIPE.
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        for number in range(1, signal.NSIG):
            if number not in (signal.SIGKILL, signal.SIGSTOP):
                try:
                    signal.signal(number, signal.SIG_DFL)
                except (OSError, ValueError):
                    continue  # the C library keeps a few for itself
        stage = "cwd"
        os.chdir(_bytes(cwd))
        stage = "exec"
        arguments = [_bytes(argument) for argument in argv]
        variables = {_bytes(name): _bytes(value) for name, value in env.items()}
        os.execvpe(arguments[0], arguments, variables)  # noqa: S606 - no shell is meant
    except OSError as error:
        os.write(tell, b"%s:%d" % (stage.encode(), error.errno or 0))
    except ValueError:
        # A NUL, or text that is no text; nothing else can be in the values that came.
        os.write(tell, b"%s:%d" % (stage.encode(), errno.EINVAL))
    finally:
        os._exit(127)


def _bytes(text: str) -> bytes:
    """As it came over the wire, whatever this machine's locale is."""
    return text.encode("utf-8", "surrogateescape")


def _all_of(descriptor: int) -> bytes:
    parts: List[bytes] = []
    while True:
        part = os.read(descriptor, 4096)
        if not part:
            return b"".join(parts)
        parts.append(part)


def _explained(
    stage: str, number: int, argv: List[str], env: Dict[str, str], cwd: str
) -> StartError:
    program = argv[0]
    reason = os.strerror(number)
    if stage == "cwd":
        return no_such_folder(cwd, reason)
    if stage != "exec":
        return StartError("start-failed", "The job cannot be started", reason)
    if number == errno.ENOENT and "/" not in program:
        return StartError(
            "no-such-program",
            "No program %s on PATH there" % program,
            "looked in %s" % env.get("PATH", os.defpath),
            "name it by its full path, or set PATH in `hosts.X.env`",
        )
    path = os.path.join(cwd, program)
    if number == errno.ENOENT and os.path.exists(path):
        return StartError(
            "no-such-interpreter",
            "%s cannot be started" % program,
            "the interpreter that its first line (%s) names is missing there" % _first_line(path),
            "run it with an interpreter that is there",
        )
    if number == errno.ENOENT:
        return StartError(
            "no-such-program",
            "%s does not exist there" % program,
            "",
            "look at `hosts.X.python`, or at the program's name",
        )
    if number == errno.EACCES and os.path.isdir(path):
        return StartError(
            "not-executable",
            "%s is a folder there" % program,
            "",
            "name a file in it, or a module (-m)",
        )
    if number == errno.EACCES:
        return StartError(
            "not-executable",
            "%s may not be executed" % program,
            reason,
            "run it with its interpreter, or make it executable (chmod +x)",
        )
    if number == errno.ENOEXEC:
        return StartError(
            "not-executable",
            "%s is no program" % program,
            reason,
            "begin the script with a line like `#!/bin/sh`, or run it with its interpreter",
        )
    return StartError("start-failed", "%s cannot be started" % program, reason)


def no_such_folder(cwd: str, reason: str) -> StartError:
    return StartError(
        "no-such-folder",
        "The working directory %s cannot be entered" % cwd,
        reason,
        "make it there, or run from another folder",
    )


def _first_line(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return repr(file.readline(128).rstrip())[1:]
    except OSError:
        return "unreadable"
