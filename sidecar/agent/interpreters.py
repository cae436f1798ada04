"""Finds the interpreter that runs a project's jobs.

The stated order, where none is configured:

1. `.venv/bin/python`, then `venv/bin/python`, in the project's folder;
2. `python3` on the PATH of a login shell, asked once: that is the one which the person gets who
   logs in and types its name;
3. the interpreter that runs this agent.

What is configured is a path (absolute, with `~` or `$VAR`, or relative to the project) or
"conda:NAME". It is taken or refused; nothing else is tried in its place. The version is what the
interpreter itself says, by which it has also proved that it starts.
"""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import threading
from typing import Any, Callable, List, NamedTuple, Optional

from sidecar.agent.failure import Failure
from sidecar.core import messages as m

PATIENCE = 15.0
"""Seconds for a login shell, or for an interpreter on a cold network file system."""

MOST_OUTPUT = 1 << 16
"""Start-up files may print; this much of it is read."""

CONDA_ROOTS = (
    "~/miniconda3", "~/anaconda3", "~/miniforge3", "~/mambaforge", "~/micromamba", "~/mamba",
    "~/miniconda", "~/anaconda", "~/conda", "~/.conda", "~/opt/miniconda3", "~/opt/anaconda3",
    "/opt/conda", "/opt/miniconda3", "/opt/anaconda3", "/opt/miniforge3", "/opt/mambaforge",
    "/usr/local/miniconda3", "/usr/local/anaconda3", "/usr/local/miniforge3",
)  # fmt: skip
"""Where conda's installers put themselves; the environments lie in `envs` below."""

_FIX = "set `hosts.X.python` to an interpreter on that machine"


class Found(NamedTuple):
    path: str
    version: str
    source: str


class Interpreters:
    """Handles messages.Python. May take seconds.

    Args:
        files: gives the roots' folders (agent/roots.py).
    """

    TYPES = (m.Python,)

    def __init__(self, send: Callable[..., None], state: str, files: Any) -> None:
        self._send, self._files = send, files
        self._login_path: Optional[str] = None

    def handle(self, message: Any) -> None:
        try:
            found = self._find(message.wanted, self._files.folder(message.root))
        except Failure as error:
            self._send(m.Fail(message.id, error.code, error.what, error.why, error.fix))
        else:
            self._send(m.PythonFound(message.id, *found))

    def _find(self, wanted: str, root: str) -> Found:
        if wanted.startswith("conda:"):
            path = conda_python(wanted[len("conda:") :])
            return Found(path, self._checked(path), "the conda environment %s" % wanted[6:])
        if wanted:
            path = os.path.join(root, os.path.expandvars(os.path.expanduser(wanted)))
            return Found(path, self._checked(path), "as configured")
        for folder in (".venv", "venv"):
            path = os.path.join(root, folder, "bin", "python")
            if os.path.lexists(path):
                return Found(path, self._checked(path), "%s in the project's folder" % folder)
        login = self._from_login_shell()
        if login:
            try:
                return Found(login, version(login), "python3 of a login shell")
            except Failure:
                pass  # a stub (pyenv's, without a version chosen); the agent's own is next
        return Found(
            sys.executable, version(sys.executable), "the only one found, which the sidecar uses"
        )

    def _checked(self, path: str) -> str:
        """The version of an interpreter that was named, or a failure that says what there is."""
        try:
            return version(path)
        except Failure as error:
            others = [sys.executable, self._from_login_shell() or sys.executable]
            there = ", ".join(sorted(set(others)))
            why = "%s. Found there: %s" % (error.why, there)
            raise Failure(error.code, error.what, why, error.fix) from None

    def _from_login_shell(self) -> Optional[str]:
        if self._login_path is None:
            self._login_path = login_path()
        return shutil.which("python3", path=self._login_path) if self._login_path else None


def version(path: str) -> str:
    """What the interpreter says of itself, like "3.11.7".

    Raises:
        Failure: it is not there, is no Python 3, or does not answer.
    """
    what = "No usable Python at %s" % path
    if not os.path.lexists(path):
        raise Failure("no-such-python", what, "it does not exist there", _FIX)
    if not os.path.exists(path):
        why = "it is a link to %s, which does not exist there" % os.readlink(path)
        raise Failure("no-such-python", what, why, _FIX)
    if os.path.isdir(path):
        raise Failure("no-such-python", what, "it is a folder", "add `/bin/python` to it")
    mark = os.urandom(8).hex()
    code = "import sys; print('%s' + '.'.join(map(str, sys.version_info[:3])) + '%s')" % (
        mark,
        mark,
    )
    try:
        # -E and the folder: neither variables nor files of the project may change the answer.
        said = ask([path, "-E", "-c", code], mark)
    except Failure as error:
        raise Failure("no-such-python", what, error.why, _FIX) from None
    found = between(said, mark)
    if found is None:
        raise Failure("no-such-python", what, "it is no Python: it said %.200r" % said, _FIX)
    if not found.startswith("3."):
        raise Failure("no-such-python", what, "it is Python %s" % found, _FIX)
    return found


def login_path() -> str:
    """The PATH that a login shell of this user has; "" where none says so in time."""
    shell = os.environ.get("SHELL") or pwd.getpwuid(os.geteuid()).pw_shell or "/bin/sh"
    mark = os.urandom(8).hex()
    # Every shell understands this much, and hands PATH on to a sh that prints it. What start-up
    # files print stands before the mark or behind it, and one that prints the command does not
    # print the mark, which only that sh puts together.
    parts = mark[:8] + '""' + mark[8:]
    command = "exec /bin/sh -c 'printf %%s \"%s${PATH}%s\"'" % (parts, parts)
    try:
        if os.path.basename(shell) in ("csh", "tcsh"):
            said = ask([shell, "-c", command], mark)  # -l must stand alone there
        else:
            said = ask([shell, "-l", "-c", command], mark)
    except Failure:
        return ""
    return between(said, mark) or ""


def conda_python(name: str) -> str:
    """The interpreter of a conda environment.

    Raises:
        Failure: there is none of that name; names those that are there.
    """
    environments = conda_environments()
    for path in environments:
        if os.path.basename(path) == name:
            return os.path.join(path, "bin", "python")
    names = ", ".join(sorted({os.path.basename(path) for path in environments}))
    if name == "base":
        for root in _conda_roots():
            if os.path.exists(os.path.join(root, "bin", "python")):
                return os.path.join(root, "bin", "python")
    raise Failure(
        "no-such-python",
        "There is no conda environment %s on that machine" % (name or "without a name"),
        "found: %s" % (names or "no conda environment at all"),
        "set `hosts.X.python` to one of them, or to the interpreter's path",
    )


def conda_environments() -> List[str]:
    """Folders of all conda environments, those of the roots first."""
    found: List[str] = []
    for root in _conda_roots():
        try:
            with os.scandir(os.path.join(root, "envs")) as entries:
                found += sorted(entry.path for entry in entries)
        except OSError:
            continue  # most of the usual places are not there
    try:
        with open(os.path.expanduser("~/.conda/environments.txt"), encoding="utf-8") as file:
            found += file.read(MOST_OUTPUT).split("\n")
    except (OSError, UnicodeDecodeError):
        pass  # conda keeps it where it could; its roots have been looked at
    there = [path for path in found if os.path.exists(os.path.join(path, "bin", "python"))]
    return list(dict.fromkeys(there))


def _conda_roots() -> List[str]:
    roots = []
    for variable in ("MAMBA_ROOT_PREFIX", "CONDA_ROOT"):
        roots.append(os.environ.get(variable, ""))
    executable = os.environ.get("CONDA_EXE", "")
    roots.append(os.path.dirname(os.path.dirname(executable)))
    roots += [os.path.expanduser(root) for root in CONDA_ROOTS]
    return list(dict.fromkeys(root for root in roots if os.path.isabs(root)))


def between(text: str, mark: str) -> Optional[str]:
    """What stands between two marks; None where they are not there."""
    parts = text.split(mark)
    return parts[1].strip() if len(parts) >= 3 else None


def ask(command: List[str], mark: str) -> str:
    """What a command prints on stdout, up to the second `mark`, or its end; at most MOST_OUTPUT
    of it and for at most PATIENCE. Whatever of its process group runs then is ended.

    Raises:
        Failure: it does not start, or does not end; `why` says so.
    """
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        raise Failure(
            "no-such-python", command[0], "it cannot be started: %s" % error.strerror
        ) from None
    # Start-up files may leave something behind that holds the pipe open, so its end is no sign.
    late = threading.Event()

    def end() -> None:
        late.set()
        _end_session(process.pid)

    timer = threading.Timer(PATIENCE, end)
    timer.start()
    assert process.stdout is not None
    said = bytearray()
    try:
        while len(said) < MOST_OUTPUT and said.count(mark.encode("ascii")) < 2:
            part = os.read(process.stdout.fileno(), MOST_OUTPUT)
            if not part:
                break
            said += part
    finally:
        timer.cancel()
        _end_session(process.pid)
        process.stdout.close()
        process.wait()
    if late.is_set():
        raise Failure("no-such-python", command[0], "it did not answer within %d s" % PATIENCE)
    return said.decode("utf-8", "replace")


def _end_session(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass  # it has ended by itself, as it should
