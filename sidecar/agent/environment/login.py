"""The environment that a login shell of this user has, with the lines of `setup` run in it.

The person's own shell is asked, as a login shell that is not interactive: that is what reads the
files in which sites and people set PATH and `module`. What it does with our few lines:

1. It reads them from a descriptor, so that no value in them is in an argument list.
2. Each command of `setup` is followed by a look at its status; the first that fails ends it.
3. At the end a `/bin/sh` in its place copies its environment, as the kernel keeps it
   (/proc/self/environ), to another descriptor.

What start-up files print, leave running or ask for is nobody's problem: their output is not where
the environment is, nothing waits for the end of a pipe, stdin is empty, and there is a deadline.
csh closes descriptors, so it gets the lines on stdin and answers on stdout, between marks that no
echo of a command can hold.

Nothing of it is written anywhere: values stay in this process and in the pipes to its children.
"""

import fcntl
import os
import pwd
import re
import select
import shlex
import signal
import subprocess
import time
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from sidecar.agent.failure import Failure

PATIENCE = 20.0
"""Seconds for start-up files, on a cold network file system too."""

SETUP_PATIENCE = 90.0
"""Seconds with `setup`: module systems that search their tree need tens of them."""

MOST_ENVIRONMENT = 4 << 20
MOST_SAID = 64 << 10
"""Bytes of output kept, the last ones."""

SHOWN = 2000
"""Characters of it that a person is shown."""

HIGH = 100
"""Our descriptors in the shell are above this: scripts use low ones as they like."""

OF_A_SHELL = ("_", "SHLVL", "PWD", "OLDPWD", "sidecar_status")
"""Variables that belong to the shell that was asked, not to what it prepares."""

CSH = ("csh", "tcsh")


class SetupFailed(Failure):
    """A command of `setup` failed. `line`: its first line in `setup`, from 1, 0 where that is not
    known; `status`: its exit status, -1 for none; `output`: the end of what it said."""

    def __init__(self, line: int, status: int, why: str, output: str) -> None:
        said = "; it said: %s" % output if output else ""
        super().__init__("setup-failed", "`setup` failed", why + said, "mend `hosts.X.setup`")
        self.line, self.status, self.reason, self.output = line, status, why, output


class Captured(NamedTuple):
    """`shell`: who was asked; "" where no shell answered and these are the agent's own variables,
    `problem` then says why."""

    variables: Dict[str, str]
    shell: str
    problem: str = ""


def capture(setup: str = "") -> Captured:
    """The environment of a login shell, after `setup`.

    Raises:
        SetupFailed: as it says.
    """
    shell = own_shell()
    tried = ""
    for one in dict.fromkeys((shell, "/bin/sh")):
        try:
            found = _ask(one, setup)
        except _NoAnswer as error:
            if setup.strip() and one == shell:
                raise SetupFailed(0, error.status, str(error), error.output) from None
            tried = tried or "%s: %s" % (one, error)
            continue
        return Captured(_completed(found), one, tried)
    return Captured(own_variables(), "", tried)


def sourced(scripts: Sequence[str], variables: Dict[str, str]) -> Dict[str, str]:
    """`variables` after a bash (else sh) has read these files, whatever they say or return.

    Raises:
        SetupFailed: they leave nothing behind, or do not end.
    """
    shell = next((one for one in ("/bin/bash", "/usr/bin/bash") if os.access(one, os.X_OK)), "")
    text = "".join(". %s || :\n" % shlex.quote(path) for path in scripts)
    try:
        return _ask(shell or "/bin/sh", text, variables)
    except _NoAnswer as error:
        raise SetupFailed(0, error.status, str(error), error.output) from None


def own_shell() -> str:
    """The login shell of this user, as the system has it; a program that is not there is not it."""
    try:
        known = pwd.getpwuid(os.geteuid()).pw_shell
    except KeyError:
        known = ""
    for shell in (os.environ.get("SHELL", ""), known):
        if os.path.isabs(shell) and os.access(shell, os.X_OK):
            return shell
    return "/bin/sh"


def own_variables() -> Dict[str, str]:
    """The agent's environment."""
    return {
        name.decode("utf-8", "surrogateescape"): value.decode("utf-8", "surrogateescape")
        for name, value in os.environb.items()
    }


def commands(setup: str, shell: str = "/bin/sh") -> List[Tuple[int, str]]:
    """The commands of `setup`, each with its first line's number. Lines belong together that the
    shell cannot read alone.

    Raises:
        SetupFailed: it cannot read them together either.
    """
    kind = os.path.basename(shell)
    lines = setup.replace("\r\n", "\n").split("\n")
    if "<<" in setup or len(lines) > 200 or (kind in CSH and _CSH_BLOCK.search(setup)):
        return [(1, setup)]
    found: List[Tuple[int, str]] = []
    begun, first = "", 1
    for number, line in enumerate(lines, 1):
        if not begun:
            first = number
            if not line.strip() or line.lstrip().startswith("#"):
                continue
        begun += line + "\n"
        if not line.endswith("\\") and (kind in CSH or not _unreadable(begun, shell)):
            found.append((first, begun))
            begun = ""
    if begun.strip():
        problem = "" if kind in CSH else _unreadable(begun, shell)
        if problem:
            raise SetupFailed(first, -1, "it cannot be read by %s" % shell, problem)
        found.append((first, begun))
    return found


_CSH_BLOCK = re.compile(r"(?m)^\s*(if|foreach|while|switch)\b")


def _unreadable(text: str, shell: str) -> str:
    """What the shell says against it, "" where it is whole. Nothing is run."""
    flags = ["-f", "-n"] if os.path.basename(shell) == "zsh" else ["-n"]
    try:
        done = subprocess.run(
            [shell, *flags],
            input=text.encode("utf-8", "surrogateescape"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=5,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""  # one that knows no -n; it will say when it runs it
    if done.returncode == 0:
        return ""
    said = done.stderr.decode("utf-8", "replace").strip()
    return said[-SHOWN:] or "it is not complete"


# --- the program ------------------------------------------------------------------------------


def program(setup: str, shell: str, mark: str, channel: str) -> str:
    """What the shell is given to do. `channel`: the path to answer on, "" for stdout."""
    kind = os.path.basename(shell)
    halves = "%s %s" % (mark[:8], mark[8:])
    to = " > " + channel if channel else ""
    # sh puts the mark together, so that a shell which echoes what it runs does not say it.
    begin = "/bin/sh -c 'printf \"%%s%%s\" %s >&2'" % halves
    answer = (
        'exec /bin/sh -c \'(printf %%s%%s "$1" "$2"; %s; printf %%s%%s "$1" "$2")%s\' sidecar %s'
    )
    failed = answer % ('printf "failed %s %s" "$3" "$4"', to, halves)
    text = ""
    if setup.strip():
        text += begin + "\n"
    for line, command in commands(setup, shell):
        text += command.rstrip("\n") + "\n"
        if kind in CSH:
            text += "set sidecar_status = $status\n"
            text += "if ( $sidecar_status != 0 ) %s %d $sidecar_status\n" % (failed, line)
        elif kind == "fish":
            text += "set sidecar_status $status\n"
            text += "test $sidecar_status -eq 0; or %s %d $sidecar_status\n" % (failed, line)
        else:
            text += "sidecar_status=$?\n"
            text += '[ "$sidecar_status" -eq 0 ] || %s %d "$sidecar_status"\n' % (failed, line)
    # A shell may export all that it sets; OF_A_SHELL leaves ours out.
    return text + answer % ("cat /proc/self/environ 2>/dev/null || env -0", to, halves) + "\n"


def _command(shell: str, script: int, login: bool) -> List[str]:
    kind = os.path.basename(shell)
    if not login:
        return [shell, "-c", 'eval "$(cat /dev/fd/%d)"' % script]
    if kind in CSH:
        return [shell, "-l"]  # which must stand alone there; the program comes on stdin
    if kind == "fish":
        return [shell, "-l", "-c", "cat /dev/fd/%d | source" % script]
    return [shell, "-l", "-c", 'eval "$(cat /dev/fd/%d)"' % script]


# --- the conversation -------------------------------------------------------------------------


class _NoAnswer(Exception):
    def __init__(self, why: str, status: int, output: str) -> None:
        super().__init__(why)
        self.status, self.output = status, output


def _ask(shell: str, setup: str, inside: Optional[Dict[str, str]] = None) -> Dict[str, str]:
    """The environment behind `setup`, in a login shell, or `inside` that environment.

    Raises:
        SetupFailed: as it says.
        _NoAnswer: there is none.
    """
    mark = os.urandom(8).hex()
    in_band = os.path.basename(shell) in CSH
    pipes = [_high_pipe() for _ in range(3)]
    (script, give), (answers, channel), (hears, says) = pipes
    text = program(setup, shell, mark, "" if in_band else "/dev/fd/%d" % channel)
    ours, theirs = [give, answers, hears], [script, channel, says]
    process: Optional[subprocess.Popen[bytes]] = None
    try:
        try:
            process = subprocess.Popen(
                _command(shell, script, inside is None),
                stdin=script if in_band else subprocess.DEVNULL,
                stdout=channel if in_band else says,
                stderr=says,
                env=_asking_environment() if inside is None else inside,
                cwd=_home(),
                start_new_session=True,
                pass_fds=() if in_band else (script, channel),
            )
        except OSError as error:
            raise _NoAnswer("it cannot be started: %s" % error.strerror, -1, "") from None
        while theirs:
            os.close(theirs.pop())
        patience = SETUP_PATIENCE if setup.strip() else PATIENCE
        # csh may read what a start-up file asks for from stdin, too: give that some empty lines.
        feed = ("\n" * 8 * in_band + text).encode("utf-8", "surrogateescape")
        answer, said, why = _converse(
            process, give, answers, hears, feed, mark.encode("ascii"), patience
        )
    finally:
        for descriptor in ours + theirs:
            os.close(descriptor)
        if process is not None:
            _end(process)
    output = _last_words(said, mark)
    if answer is None:
        status = process.returncode if not why else -1
        raise _NoAnswer(
            why or "it ended with status %d before all of it had run" % status, status, output
        )
    if answer.startswith(b"failed "):
        line, status = (int(part) for part in answer.split()[1:3])
        raise SetupFailed(line, status, "it ended with status %d" % status, output)
    return _parsed(answer)


def _converse(
    process: "subprocess.Popen[bytes]",
    give: int,
    answers: int,
    hears: int,
    feed: bytes,
    mark: bytes,
    patience: float,
) -> Tuple[Optional[bytes], bytes, str]:
    """The answer, None where there is none; what was said besides; why it was given up, if so."""
    for descriptor in (give, answers, hears):
        os.set_blocking(descriptor, False)
    deadline = time.monotonic() + patience
    answer, said = bytearray(), bytearray()
    reading, writing = [answers, hears], [give]
    while True:
        if answer.count(mark) >= 2:
            before, found = answer.split(mark)[:2]
            # Where stdout is the channel, what `setup` said there stands before.
            return bytes(found), bytes(_rest(hears, said) + before), ""
        if len(answer) > MOST_ENVIRONMENT:
            return None, bytes(said), "it said far too much"
        left = deadline - time.monotonic()
        if left <= 0:
            return None, bytes(said), "it did not end within %d s" % patience
        # The end of the shell shows on no pipe that it left to others: look now and then.
        ended = process.poll() is not None
        readable, writable, _ = select.select(
            reading, writing, [], 0.0 if ended else min(left, 0.2)
        )
        if ended and not readable:
            return None, bytes(said), ""
        for descriptor in readable:
            part = _read(descriptor)
            if part is None:
                reading.remove(descriptor)
            elif descriptor == answers:
                answer += part
            else:
                said += part
                del said[:-MOST_SAID]
        if writable:
            try:
                feed = feed[os.write(give, feed) :]
            except BrokenPipeError:
                feed = b""
            except BlockingIOError:
                pass
            if not feed:
                writing = []
                # Its reader waits for the end of it.
                null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
                os.dup2(null, give, inheritable=False)
                os.close(null)


def _rest(hears: int, said: bytearray) -> bytearray:
    part = _read(hears)
    while part:
        said += part
        part = _read(hears)
    return said


def _read(descriptor: int) -> Optional[bytes]:
    """b"" where there is nothing now, None at the end."""
    try:
        return os.read(descriptor, 65536) or None
    except BlockingIOError:
        return b""
    except OSError:
        return None


def _high_pipe() -> Tuple[int, int]:
    found = []
    for low in os.pipe():
        found.append(fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, HIGH))
        os.close(low)
    return found[0], found[1]


def _asking_environment() -> Dict[str, str]:
    variables = own_variables()
    for name in OF_A_SHELL:
        variables.pop(name, None)
    variables.setdefault("TERM", "dumb")
    return variables


def _home() -> str:
    home = os.path.expanduser("~")
    return home if os.path.isdir(home) else "/"


def _parsed(answer: bytes) -> Dict[str, str]:
    found: Dict[str, str] = {}
    for entry in answer.split(b"\0"):
        name, equals, value = entry.decode("utf-8", "surrogateescape").partition("=")
        if name and equals and name not in OF_A_SHELL:
            found[name] = value
    return found


def _completed(found: Dict[str, str]) -> Dict[str, str]:
    """With what the agent's own PATH has besides, behind: a container's PATH is set by its image,
    and a login shell there knows nothing of that."""
    if found.get("TERM") == "dumb":
        del found["TERM"]
    known = [part for part in found.get("PATH", "").split(os.pathsep) if part]
    own = os.environ.get("PATH", os.defpath).split(os.pathsep)
    found["PATH"] = os.pathsep.join(dict.fromkeys(known + [part for part in own if part]))
    return found


def _last_words(said: bytes, mark: str) -> str:
    """What was said since `setup` began, or all of it where it never did."""
    text = said.decode("utf-8", "replace").split(mark)[-1].strip()
    return text if len(text) <= SHOWN else "…" + text[-SHOWN:]


def _end(process: "subprocess.Popen[bytes]") -> None:
    """What is left of its session: start-up files may leave things behind that are meant to stay
    (an ssh-agent), so only a shell that still runs is ended, with its children."""
    if process.poll() is None:
        try:
            process.wait(1.0)
        except subprocess.TimeoutExpired:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass  # it has ended by itself, as it should
            process.wait()


# --- freshness --------------------------------------------------------------------------------

START_UP_FILES = (
    "/etc/environment", "/etc/profile", "/etc/profile.d", "/etc/bash.bashrc", "/etc/bashrc",
    "/etc/zshenv", "/etc/zprofile", "/etc/zsh/zshenv", "/etc/zsh/zprofile", "/etc/zsh/zlogin",
    "/etc/csh.cshrc", "/etc/csh.login", "/etc/fish/config.fish",
    "~/.profile", "~/.bash_profile", "~/.bash_login", "~/.bashrc", "~/.bash_aliases",
    "~/.zshenv", "~/.zprofile", "~/.zlogin", "~/.zshrc", "~/.kshrc",
    "~/.cshrc", "~/.tcshrc", "~/.login", "~/.config/fish/config.fish", "~/.config/fish/conf.d",
)  # fmt: skip
"""What login shells read, and what those files commonly go on to read."""

_PATHS = re.compile(r"""(?:~|\$HOME|\$\{HOME\}|)/[^\s'"`;|&<>()$]+""")

Fingerprint = Tuple[Optional[Tuple[int, int, int]], ...]


def fingerprint(setup: str = "") -> Fingerprint:
    """Another one, when a file has changed from which the environment was made: a start-up file,
    or one that `setup` names. Takes 0.1 to 0.3 ms."""
    named = [path.replace("${HOME}", "~").replace("$HOME", "~") for path in _PATHS.findall(setup)]
    dots = os.environ.get("ZDOTDIR", "")
    zsh = [os.path.join(dots, name) for name in (".zshenv", ".zprofile", ".zlogin")] if dots else []
    found: List[Optional[Tuple[int, int, int]]] = []
    for path in (*START_UP_FILES, *zsh, *named[:50]):
        try:
            status = os.stat(os.path.expanduser(path))
        except (OSError, ValueError):
            found.append(None)
            continue
        found.append((status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(found)
