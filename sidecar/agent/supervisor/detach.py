"""Starts a job's supervisor so that nothing of the agent's holds it: a process that belongs to
init, in a session of its own, which gets its program and its task through a pipe.

Assumptions, each checked by a test: (1) The interpreter is the agent's own, so the supervisor's
modules can go as code objects, ready to run; should the interpreter have been replaced under the
agent, their sources, which travel along, are compiled there. (2) The job must not pay for the
agent's preparation: the process is started when a run arrives and gets its task when the barrier
is passed; without one it ends. Between runs a spare one waits (spare.py). (3) No environment value
and no command line of a job is in the argument list of anything that `ps` shows, but the job
itself.
"""

import importlib.util
import json
import marshal
import os
import select
import subprocess
import sys
import time
from typing import Any, Dict, List, Sequence, Tuple

from sidecar.agent import loader
from sidecar.agent.supervisor import supervisor, title

MODULES = (
    "sidecar",
    "sidecar.core",
    "sidecar.core.frames",
    "sidecar.core.utf8",
    "sidecar.agent",
    "sidecar.agent.machine",
    "sidecar.agent.supervisor",
    "sidecar.agent.supervisor.records",
    "sidecar.agent.supervisor.joblog",
    "sidecar.agent.supervisor.readers",
    "sidecar.agent.supervisor.control",
    "sidecar.agent.supervisor.process",
    "sidecar.agent.supervisor.capture",
    "sidecar.agent.supervisor.stdin",
    "sidecar.agent.supervisor.doorway",
    "sidecar.agent.supervisor.title",
    "sidecar.agent.supervisor.supervisor",
)
"""What a supervisor is made of, each behind what it imports."""

PATIENCE = 30.0
"""Seconds until a started supervisor must have answered; a cold NFS home takes some."""

_BOOT = """\
import os
if os.fork(): os._exit(0)
import sys, marshal, _frozen_importlib_external as external
pipe = sys.stdin.buffer
magic, modules = marshal.load(pipe)
for name, package, code, source in modules:
    module = type(sys)(name)
    module.__package__ = name if package else name.rpartition(".")[0]
    if package: module.__path__ = []
    sys.modules[name] = module
    parent, _, last = name.rpartition(".")
    if parent: setattr(sys.modules[parent], last, module)
    code = marshal.loads(code) if magic == external.MAGIC_NUMBER else compile(source, name, "exec")
    exec(code, module.__dict__)
supervisor = sys.modules["sidecar.agent.supervisor.supervisor"]
supervisor.prepare()
try: spec = marshal.load(pipe)
except EOFError: sys.exit(0)
supervisor.main(spec)
"""


class DetachError(Exception):
    """The supervisor did not come up; the message says what it said."""


class Supervisor:
    """A supervisor that waits for its task. Used by one thread; ends in `run` or `dismiss`.

    Args:
        job: for those who read `ps`; "": it is not known yet.
        before: what its command is put behind (lasting.py).
    """

    def __init__(self, job: str = "", before: Sequence[str] = ()) -> None:
        word = job or title.ROOM.decode("ascii")
        try:
            # -I and -S: nothing of the user's environment, and no site packages, changes what it
            # runs. The words behind are for those who read `ps`.
            self._process = subprocess.Popen(
                [*before, sys.executable, "-I", "-S", "-c", _BOOT, "sidecar-supervisor", word],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            program = before[0] if before else sys.executable
            raise DetachError("%s: %s" % (program, error.strerror)) from None
        self._tell(_program())

    @property
    def lives(self) -> bool:
        """Whether it waits still. It says nothing before it has its task, so its pipe only speaks
        when it has ended."""
        assert self._process.stdout is not None
        return not select.select([self._process.stdout], [], [], 0)[0]

    def run(self, spec: supervisor.Spec) -> Dict[str, Any]:
        """Gives it its task.

        Returns:
            {"pid": …} of the job, or "code", "what", "why" and "fix" of messages.Fail.
        Raises:
            DetachError: it gave no answer.
        """
        self._tell(marshal.dumps(json.dumps(spec._asdict()), 2))
        try:
            answer = self._answer()
        finally:
            self.dismiss()
        try:
            return dict(json.loads(answer))
        except ValueError:
            raise DetachError("it answered %.200r" % answer) from None

    def dismiss(self) -> None:
        """Lets go of it. What got no task ends."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:
                pass  # closing writes what is buffered; it is gone
        self._process.wait()  # the one between, which ended as soon as it had forked

    def _tell(self, data: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(data)
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it died early; its missing answer says so

    def _answer(self) -> bytes:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        deadline = time.monotonic() + PATIENCE
        answer = b""
        while not answer.endswith(b"\n"):
            patience = deadline - time.monotonic()
            if patience <= 0 or not select.select([descriptor], [], [], patience)[0]:
                raise DetachError("no answer within %d s" % PATIENCE)
            part = os.read(descriptor, 65536)
            if not part:
                raise DetachError("it ended without an answer (%r)" % answer)
            answer += part
        return answer


_cache: List[bytes] = []


def _program() -> bytes:
    """The supervisor's modules, as the boot code reads them; made once."""
    if not _cache:
        sources = loader.sources()
        modules = [_travelling(name, sources) for name in MODULES]
        _cache.append(marshal.dumps((importlib.util.MAGIC_NUMBER, modules), 2))
    return _cache[0]


def _travelling(name: str, sources: Dict[str, str]) -> Tuple[str, bool, bytes, str]:
    """A module for the boot code: name, whether it is a package, its code and its text."""
    package = name not in sources
    source = "" if package else sources[name]
    code = marshal.dumps(compile(source, "<%s>" % name, "exec", dont_inherit=True))
    return name, package, code, source
