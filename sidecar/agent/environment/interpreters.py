"""Finds the interpreter that runs a project's jobs, and lists those there are.

Where none is configured, the first that is there of:

1. `.venv/bin/python`, then `venv/bin/python`, in the project's folder;
2. the conda environment of the project's name, or of the name in its `environment.yml`.

What comes after that (which one has the project's imports? a question) is decided on the laptop,
from the list (hub/interpreters.py).

What is configured is a path (absolute, with `~` or `$VAR`, or relative to the project), a name on
the PATH of a login shell after `setup`, or "conda:NAME". It is taken or refused; nothing else is
tried in its place. The version is what the interpreter itself says, by which it has also proved
that it starts. It is asked in the environment that jobs get: one from a module system needs that.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional

from sidecar.agent.environment import candidates, conda, packages
from sidecar.agent.environment.environments import Environments
from sidecar.agent.failure import Failure
from sidecar.core import messages as m

PATIENCE = 15.0
"""Seconds for an interpreter on a cold network file system."""

SURVEY = 10.0
"""Seconds for a list; what was not looked at by then says so."""

WORKERS = 6
"""Environments looked at side by side: most of the time is a file system's."""

MOST_OUTPUT = 1 << 16

_FIX = "choose one: `sidecar envs` lists them, `sidecar envs use NAME` sets `hosts.X.python`"


class Found(NamedTuple):
    path: str
    version: str
    source: str


class Interpreters:
    """Handles messages.Python and messages.Survey. May take seconds.

    Args:
        files: gives the roots' folders (agent/roots/root.py).
        environments: the environments of jobs.
    """

    TYPES = (m.Python, m.Survey)

    def __init__(
        self, send: Callable[..., None], state: str, files: Any, environments: Environments
    ) -> None:
        self._send, self._files, self._environments = send, files, environments

    def handle(self, message: Any) -> None:
        try:
            variables = self._environments.captured(message.setup).variables
            root = self._files.folder(message.root)
            if isinstance(message, m.Survey):
                # Beside what else is asked: it takes longer than anything a run waits for.
                threading.Thread(
                    target=self._survey, args=(message, root, variables), daemon=True
                ).start()
                return
            found = find(message.wanted, root, variables, message.names)
        except Failure as error:
            self._send(m.Fail(message.id, error.code, error.what, error.why, error.fix))
        else:
            if found.path:
                self._environments.bind(message.root, message.setup, found.path)
            self._send(m.PythonFound(message.id, *found))

    def _survey(self, message: m.Survey, root: str, variables: Dict[str, str]) -> None:
        told = {
            "driver": packages.driver(),
            "interpreters": survey(root, variables, message.imports),
        }
        self._send(m.Surveyed(message.id, json.dumps(told).encode("ascii")))


def find(wanted: str, root: str, variables: Dict[str, str], names: List[str]) -> Found:
    """The interpreter that is wanted; where none is, by the first two rules, with an empty path
    where they find nothing.

    Args:
        names: of conda environments that may be the project's.
    Raises:
        Failure: it is not there, or no usable Python; says what is there.
    """
    if wanted.startswith("conda:"):
        path = _of_conda(wanted[len("conda:") :], variables)
        return Found(path, _checked(path, root, variables), "as configured")
    if wanted:
        path = _configured(wanted, root, variables)
        return Found(path, _checked(path, root, variables), "as configured")
    for folder in (".venv", "venv"):
        path = os.path.join(root, folder, "bin", "python")
        if os.path.lexists(path):
            source = "%s in the project's folder" % folder
            return Found(path, _checked(path, root, variables), source)
    for one in conda.environments(variables) if names else ():
        if one.name in names and one.name != "base":
            source = "the conda environment %s" % one.name
            return Found(one.python, _checked(one.python, root, variables), source)
    return Found("", "", "")


def survey(
    root: str, variables: Dict[str, str], imports: List[str], patience: float = SURVEY
) -> List[Dict[str, Any]]:
    """All interpreters there are, described; within `patience` seconds."""
    there = candidates.candidates(root, variables)
    described: List[Dict[str, Any]] = [
        dict(one._asdict(), version="", packages={}, cuda="", lacks=[], problem="") for one in there
    ]
    deadline = time.monotonic() + patience
    waiting = list(zip(there, described))[::-1]

    def work() -> None:
        while waiting:
            try:
                one, row = waiting.pop()
            except IndexError:
                return
            left = deadline - time.monotonic()
            update = describe(one, variables, imports, left) if left > 0.1 else _LATE
            row.update(update)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(WORKERS, len(there)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    rows = [dict(row) for row in described]  # a thread that is late writes into its own
    for row in rows:
        if not row["version"] and not row["problem"]:
            row.update(_LATE)
    return rows


_LATE = {"problem": "it was not looked at in time"}


def describe(
    one: candidates.Candidate, variables: Dict[str, str], imports: List[str], patience: float
) -> Dict[str, Any]:
    """Version and contents of a candidate; `problem` where it cannot run anything."""
    if not os.path.exists(one.path):
        return {"problem": _not_there(one.path)}
    said = candidates.version_by_name(one)
    path = one.path
    if not said:
        try:
            said, path = _asked(path, variables, min(PATIENCE, patience))
        except Failure as error:
            return {"problem": error.why}
    prefix = os.path.dirname(os.path.dirname(path))
    inside = packages.contents(packages.folders(prefix, said), imports)
    return dict(inside._asdict(), version=said)


def version(path: str, variables: Optional[Mapping[str, str]] = None) -> str:
    """What the interpreter says of itself, like "3.11.7".

    Raises:
        Failure: it is not there, is no Python 3, or does not answer.
    """
    what = "No usable Python at %s" % path
    if not os.path.exists(path):
        fix = _FIX
        prefix = os.path.dirname(os.path.dirname(path))
        if os.path.exists(os.path.join(prefix, "pyvenv.cfg")):
            fix = "make it anew there (`python3 -m venv --clear %s`), or %s" % (prefix, _FIX)
        raise Failure("no-such-python", what, _not_there(path), fix)
    if os.path.isdir(path):
        raise Failure("no-such-python", what, "it is a folder", "add `/bin/python` to it")
    try:
        return _asked(path, variables, PATIENCE)[0]
    except Failure as error:
        raise Failure("no-such-python", what, error.why, _FIX) from None


def _not_there(path: str) -> str:
    if os.path.islink(path):
        return "it is a link to %s, which does not exist there" % os.readlink(path)
    return "it does not exist there"


def _asked(path: str, variables: Optional[Mapping[str, str]], patience: float) -> List[str]:
    """Version and path, as the interpreter itself says. Raises Failure."""
    mark = os.urandom(8).hex()
    code = (
        "import sys; print('%s' + '.'.join(map(str, sys.version_info[:3])) + ' ' "
        "+ (sys.executable or '') + '%s')" % (mark, mark)
    )
    # -E and the folder: neither variables nor files of the project may change the answer.
    said = ask([path, "-E", "-c", code], mark, variables, patience)
    found = between(said, mark)
    if found is None:
        raise Failure("no-such-python", path, "it is no Python: it said %.200r" % said, "")
    number, _, executable = found.partition(" ")
    if not number.startswith("3."):
        raise Failure("no-such-python", path, "it is Python %s" % number, "")
    return [number, executable or path]


def _checked(path: str, root: str, variables: Dict[str, str]) -> str:
    """The version of an interpreter that was named, or a failure that says what there is."""
    try:
        return version(path, variables)
    except Failure as error:
        why = "%s. Found there: %s" % (error.why, _named(root, variables, path))
        raise Failure(error.code, error.what, why, error.fix) from None


def _named(root: str, variables: Dict[str, str], but: str) -> str:
    there = [one for one in candidates.candidates(root, variables) if one.path != but]
    names = [one.name for one in there if os.path.exists(one.path)]
    more = ", …" if len(names) > 8 else ""
    return (", ".join(names[:8]) + more) or "no other one"


def _configured(wanted: str, root: str, variables: Mapping[str, str]) -> str:
    if "/" not in wanted and not os.path.lexists(os.path.join(root, wanted)):
        # A name, as one types it there: after `module load python`, "python3" is that one.
        return shutil.which(wanted, path=variables.get("PATH", "")) or os.path.join(root, wanted)
    expanded = re.sub(
        r"\$(?:(\w+)|\{(\w+)\})",
        lambda match: variables.get(match[1] or match[2], match[0]),
        os.path.expanduser(wanted),
    )
    return os.path.join(root, expanded)


def _of_conda(name: str, variables: Mapping[str, str]) -> str:
    """Raises Failure where there is none of that name; names those that are there."""
    there = conda.environments(variables)
    for one in there:
        if name in (one.name, one.prefix):
            return one.python
    names = ", ".join(sorted({one.name for one in there}))
    raise Failure(
        "no-such-python",
        "There is no conda environment %s on that machine" % (name or "without a name"),
        "found: %s" % (names or "no conda environment at all"),
        "set `hosts.X.python` to one of them, or to the interpreter's path",
    )


def between(text: str, mark: str) -> Optional[str]:
    """What stands between two marks; None where they are not there."""
    parts = text.split(mark)
    return parts[1].strip() if len(parts) >= 3 else None


def ask(
    command: List[str],
    mark: str,
    variables: Optional[Mapping[str, str]] = None,
    patience: float = PATIENCE,
) -> str:
    """What a command prints on stdout, up to the second `mark`, or its end; at most MOST_OUTPUT
    of it and for at most `patience`. Whatever of its process group runs then is ended.

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
            env=None if variables is None else dict(variables),
            start_new_session=True,
        )
    except OSError as error:
        raise Failure(
            "no-such-python", command[0], "it cannot be started: %s" % error.strerror
        ) from None
    # What it starts may hold the pipe open, so its end is no sign.
    late = threading.Event()

    def end() -> None:
        late.set()
        _end_session(process.pid)

    timer = threading.Timer(patience, end)
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
        raise Failure("no-such-python", command[0], "it did not answer within %d s" % patience)
    return said.decode("utf-8", "replace")


def _end_session(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass  # it has ended by itself, as it should
