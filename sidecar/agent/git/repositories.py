"""Repositories: the messages about git, for all roots of one link.

What git does takes its time, so it is done on a thread of its own, in the order of asking. A pack
goes straight into git's stdin as it comes.
"""

import json
import subprocess
import threading
import zlib
from functools import partial
from typing import Any, Callable, Dict, List, Optional

from sidecar.agent import failure
from sidecar.agent.failure import Failure
from sidecar.agent.git import repository
from sidecar.agent.git.command import Git, failed, version
from sidecar.agent.git.follower import Follower, Target, make
from sidecar.agent.git.indexlock import clear
from sidecar.agent.machine import here
from sidecar.agent.outbox import LinkClosed
from sidecar.agent.supervisor import records
from sidecar.agent.worker import Worker
from sidecar.core import frames, gitindex, staged
from sidecar.core import messages as m

MOST_STAGED = 64 << 20
"""Bytes that what is staged may come as; the first commit of 500,000 files has so many."""

MOST_JOBS = 100
"""Of the newest jobs it is asked whether they run."""

LOOSE = 100
"""Packs of fewer objects are unpacked, as git itself does with what is pushed: each save of a
commit would else leave a pack, and git gets slow with thousands."""

Send = Callable[..., None]


class Repositories:
    """Handles the messages in TYPES.

    Args:
        send: takes a message and a lane, from any thread.
        state: this machine's state folder, where the jobs are.
        files: gives the roots.
    """

    TYPES = (m.Git, m.GitMake, m.GitPack, m.GitMove, m.GitWant)

    def __init__(self, send: Send, state: str, files: Any) -> None:
        self._send, self._state, self._files = send, state, files
        self._worker = Worker("git")
        self._version = ""
        self._gits: Dict[int, Git] = {}
        self._packs: Dict[int, _Receiving] = {}
        self._staged: Dict[int, bytearray] = {}
        self._lock = threading.Lock()

    def handle(self, message: Any) -> None:
        if isinstance(message, m.GitPack):
            self._answered(message, self._pack)
        elif isinstance(message, m.GitMove):
            self._answered(message, self._move)
        elif isinstance(message, m.GitMake):
            self._later(message, self._make)
        elif isinstance(message, m.GitWant):
            self._later(message, self._want)
        else:
            self._later(message, self._look)

    def close(self) -> None:
        for git in list(self._gits.values()):
            git.close()
        self._worker.close()

    def _later(self, message: Any, task: Callable[[Any], None]) -> None:
        if not self._worker.submit(partial(self._answered, message, task)):
            self._fail(message.id, Failure("git", "too much is asked of git at once"))

    def _answered(self, message: Any, task: Callable[[Any], None]) -> None:
        try:
            task(message)
        except LinkClosed:
            raise
        except gitindex.NoIndex as error:
            self._fail(message.id, Failure("git", "what is staged cannot be read", str(error)))
        except Exception as error:  # noqa: BLE001 - an error of ours is answered, too
            cannot = "the repository there cannot be used"
            self._send(failure.answer(message, error, cannot), frames.CONTROL)

    def _fail(self, id: int, why: Failure) -> None:
        self._send(m.Fail(id, why.code, why.what, why.why, why.fix), frames.CONTROL)

    def _git(self, root: int) -> Git:
        place, _ = self._files.place(root)
        with self._lock:
            git = self._gits.get(root)
            if git is None or git.top != place.path:
                git = self._gits[root] = Git(place.path)
            return git

    # --- what is there

    def _look(self, ask: m.Git) -> None:
        self._version = found = self._version or version()
        if not found:
            self._send(m.GitSeen(ask.id, "", repository.NONE), frames.CONTROL)
            return
        root, _ = self._files.place(ask.root)
        git = self._git(ask.root)
        clear(root, git.folder)
        seen = repository.look(root, git)
        refs = repository.refs(git) if seen.kind == repository.HERE else {}
        body = zlib.compress(json.dumps(refs, separators=(",", ":")).encode("ascii"), 6)
        busy = seen.busy or self._job_in(root.name)
        told = (seen.kind, seen.why, busy, seen.algorithm, seen.head, seen.branch)
        self._send(m.GitSeen(ask.id, found, *told, body), frames.CONTROL)

    def _job_in(self, top: str) -> str:
        """A program of ours that runs from the files of this root, and may ask git late which
        commit it is; one that runs from a copy of its own has its answer."""
        place = here()
        for folder in records.newest([self._state], MOST_JOBS):
            try:
                record, state = records.refreshed(folder, place)
            except records.RecordError:
                continue  # being made, or of a later version
            inside = record.cwd == top or record.cwd.startswith(top + "/")
            if state == records.RUNNING and inside and not record.notes.get("frozen"):
                return "job %s runs there" % record.id
        return ""

    # --- what comes

    def _make(self, ask: m.GitMake) -> None:
        root, _ = self._files.place(ask.root)
        make(root, self._git(ask.root), ask.algorithm, ask.branch)
        self._send(m.Done(ask.id), frames.CONTROL)

    def _pack(self, part: m.GitPack) -> None:
        receiving = self._packs.get(part.id)
        if receiving is None:
            receiving = self._packs[part.id] = _Receiving(self._git(part.root), part.objects)
        receiving.write(part.body)
        if part.last:
            del self._packs[part.id]
            self._later(part, lambda _: self._unpacked(part.id, receiving))

    def _unpacked(self, id: int, receiving: "_Receiving") -> None:
        receiving.finish()
        self._send(m.Done(id), frames.CONTROL)

    def _move(self, part: m.GitMove) -> None:
        body = self._staged.setdefault(part.id, bytearray())
        body += part.body
        if len(body) > MOST_STAGED:
            del self._staged[part.id]
            raise Failure("git", "too much is staged to be told", "%d bytes" % len(body))
        if part.last:
            del self._staged[part.id]
            self._later(part, lambda _: self._moved(part, bytes(body)))

    def _moved(self, move: m.GitMove, body: bytes) -> None:
        root, managed = self._files.place(move.root)
        busy = self._job_in(root.name)
        if busy:
            raise Failure("git-busy", "HEAD there is left where it is for now", busy)
        target = Target(
            move.branch,
            move.head,
            move.from_branch,
            move.from_head,
            move.branch_was,
            move.tags,
            move.digest,
            staged.unpack(body),
        )
        kept = Follower(root, managed, self._git(move.root)).follow(target)
        self._send(m.GitMoved(move.id, kept), frames.CONTROL)

    # --- what is fetched

    def _want(self, ask: m.GitWant) -> None:
        root, _ = self._files.place(ask.root)
        git = self._git(ask.root)
        seen = repository.look(root, git)
        if seen.kind != repository.HERE:
            raise Failure("git", "nothing can be fetched from there", seen.why)
        for oid in (*ask.wants, *ask.haves):
            repository.check_oid(oid, seen.algorithm)
        known = git.run("cat-file", "--batch-check", given=_lines(ask.haves)).splitlines()
        haves = [line.split()[0].decode("ascii") for line in known if not line.endswith(b"missing")]
        asked = _lines([*ask.wants, *("^" + one for one in haves)])
        process = git.start("pack-objects", "--revs", "--thin", "--stdout", "-q")
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            process.stdin.write(asked)
            process.stdin.close()
            while True:
                chunk = process.stdout.read(frames.CHUNK)
                if not chunk:
                    break
                self._send(m.GitPart(ask.id, False, chunk), frames.BULK)
            said = process.stderr.read()
            if process.wait():
                raise failed("pack-objects", process.returncode, said)
        finally:
            git.ended(process)
        self._send(m.GitPart(ask.id, True, b""), frames.BULK)


class _Receiving:
    """A pack on its way into a repository. Its objects are checked before any is there: that each
    is what its name says, and that it is well-formed."""

    def __init__(self, git: Git, objects: int) -> None:
        self._git = git
        if objects < LOOSE:
            self._name, arguments = "unpack-objects", ("unpack-objects", "-q")
        else:
            self._name = "index-pack"
            arguments = ("index-pack", "--stdin", "--fix-thin")  # type: ignore[assignment]
        self._process: Optional[Any] = git.start(*arguments, stdout=subprocess.DEVNULL)

    def write(self, body: bytes) -> None:
        """Where git has failed, what follows is not looked at: `finish` says why."""
        try:
            if self._process is not None:
                self._process.stdin.write(body)
        except OSError:
            pass  # it has ended, and what it said is told at the end

    def finish(self) -> None:
        process = self._process
        assert process is not None
        try:
            try:
                _, said = process.communicate(timeout=3600)
            except (OSError, ValueError) as error:
                raise Failure("git", "git cannot take what was sent", str(error)) from None
            if process.returncode:
                raise failed(self._name, process.returncode, said)
        finally:
            self._git.ended(process)


def _lines(names: List[str]) -> bytes:
    return "".join(name + "\n" for name in names).encode("ascii")
