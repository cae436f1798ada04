"""The git of this machine, asked about one repository without giving that one a say.

Only commands that neither read nor write the work tree are run: what is in it is sync's. No hook
runs, no program that a configuration names is started, nothing is fetched, nobody is asked for a
password, and no collecting of garbage begins.
"""

import os
import shutil
import subprocess
import threading
from typing import IO, Any, List, Optional, Set, Tuple

from sidecar.agent.failure import Failure

PATIENCE = 300.0
"""Seconds for one command: counting the objects of a very large repository takes one minute."""

QUIET = (
    "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "gc.auto=0",
    "-c", "maintenance.auto=false", "-c", "protocol.allow=never", "-c", "credential.helper=",
    "-c", "commit.gpgSign=false", "-c", "safe.bareRepository=explicit",
)  # fmt: skip

_NOBODY = {
    "GIT_AUTHOR_NAME": "sidecar",
    "GIT_AUTHOR_EMAIL": "sidecar@localhost",
    "GIT_COMMITTER_NAME": "sidecar",
    "GIT_COMMITTER_EMAIL": "sidecar@localhost",
}
"""Who writes the reflog's entries and the commits that keep what was staged."""

MOST_SAID = 400
"""Bytes of what git complained that are told."""


def version() -> str:
    """The version of this machine's git; "" where there is none."""
    program = shutil.which("git")
    if program is None:
        return ""
    try:
        done = subprocess.run(
            [program, "version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("ascii", "replace").replace("git version", "").strip()


class Git:
    """Commands for the repository in one folder, whose `.git` is a folder there.

    Args:
        top: the absolute path of the work tree.
    """

    def __init__(self, top: bytes) -> None:
        self.top = top
        self.folder = os.path.join(top, b".git")
        self.traits: Optional[Tuple[Any, str, str]] = None
        """What repository.py knows of its settings, and by what they are known to be the same."""
        self._running: Set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._closed = False

    def run(
        self,
        *arguments: str,
        given: bytes = b"",
        fine: Tuple[int, ...] = (0,),
        index: Optional[bytes] = None,
    ) -> bytes:
        """What a command prints.

        Args:
            index: the file of another index.
        Raises:
            Failure: it ended with a status that is not `fine`.
        """
        return self.ask(*arguments, given=given, fine=fine, index=index)[1]

    def ask(
        self,
        *arguments: str,
        given: bytes = b"",
        fine: Tuple[int, ...] = (0,),
        index: Optional[bytes] = None,
    ) -> Tuple[int, bytes]:
        """As `run`, with the status before it."""
        process = self.start(*arguments, index=index)
        try:
            output, said = process.communicate(given, PATIENCE)
        except subprocess.TimeoutExpired:
            raise Failure("git", "git %s took over %d s" % (arguments[0], PATIENCE)) from None
        finally:
            self.ended(process)
        if process.returncode not in fine:
            raise failed(arguments[0], process.returncode, said)
        return process.returncode, output

    def start(
        self, *arguments: str, stdout: Any = subprocess.PIPE, index: Optional[bytes] = None
    ) -> "subprocess.Popen[bytes]":
        """A command with pipes. Whoever starts one calls `ended`."""
        command: List[Any] = ["git", *QUIET, b"--git-dir=" + self.folder, *arguments]
        environ = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
        environ.update(_NOBODY)
        environ.update(
            LC_ALL="C", GIT_TERMINAL_PROMPT="0", GIT_OPTIONAL_LOCKS="0", GIT_NO_LAZY_FETCH="1"
        )
        if index is not None:
            environ["GIT_INDEX_FILE"] = os.fsdecode(index)
        with self._lock:
            if self._closed:
                raise Failure("git", "the connection to the sidecar is over")
            try:
                process = subprocess.Popen(
                    command,
                    cwd=self.top,
                    env=environ,
                    stdin=subprocess.PIPE,
                    stdout=stdout,
                    stderr=subprocess.PIPE,
                )
            except OSError as error:
                raise Failure("git", "git cannot be started there", str(error)) from None
            self._running.add(process)
        return process

    def ended(self, process: "subprocess.Popen[bytes]") -> None:
        """Nobody needs it any more; if it still runs, it is killed."""
        with self._lock:
            self._running.discard(process)
        if process.poll() is None:
            process.kill()
        for pipe in (process.stdin, process.stdout, process.stderr):
            _close(pipe)
        process.wait()

    def close(self) -> None:
        """Ends what runs; whoever waits for it finds that it failed."""
        with self._lock:
            self._closed = True
            for process in self._running:
                process.kill()


def failed(name: str, status: int, said: bytes) -> Failure:
    """What is told of a command that failed."""
    words = said.decode("utf-8", "replace").strip().replace("fatal: ", "")
    why = words[-MOST_SAID:] or "it said nothing, and ended with %d" % status
    return Failure("git", "git %s failed there" % name, why)


def _close(pipe: Optional[IO[bytes]]) -> None:
    if pipe is not None:
        try:
            pipe.close()
        except OSError:
            pass  # its other end is gone; so are the bytes that nobody took
