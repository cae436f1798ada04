"""Files: every message about a root and what is in it, and the barrier that runs wait at.

`handle` may be called from several threads. What is slow, or comes in parts, holds up only who
called: a large upload on one thread never keeps a small save on another from being made. Each
request is answered, by what it asked for or by Fail. Nothing foreign raises out of `handle`, only
LinkClosed, from `send`.
"""

import threading
from collections import deque
from functools import partial
from typing import Callable, Deque, Dict, List, NamedTuple, Optional, Tuple

from sidecar.agent import failure
from sidecar.agent.changes.changes import Changes
from sidecar.agent.changes.durable import Settling
from sidecar.agent.changes.landing import Landing
from sidecar.agent.failure import Failure, Refusal
from sidecar.agent.outbox import LinkClosed
from sidecar.agent.roots import ledger
from sidecar.agent.roots.content import Content, Send
from sidecar.agent.roots.folder import expand
from sidecar.agent.roots.ledger import Ledger
from sidecar.agent.roots.managed import Managed
from sidecar.agent.roots.root import Root
from sidecar.agent.worker import Worker
from sidecar.core import frames, messages
from sidecar.core import identity as identities
from sidecar.core.identity import Entry

MOST_ROOTS = 256
"""Roots that may be open at once; each has a few descriptors."""

MOST_CANCELLED = 1000
"""Requests that are remembered as cancelled: more than the laptop has open at once."""

SMALL_READ = 1 << 20
"""Parts of files up to this size are not read behind larger ones: a plot is wanted now."""

MOST_TOLD = 1000
"""Differing paths that a refused run names. More are counted."""

Then = Callable[[str, List[Entry]], None]


class _Opened(NamedTuple):
    """What belongs to one root."""

    root: Root
    managed: Managed
    ledger: Ledger
    changes: Changes
    content: Content


class Files:
    """All roots of one link.

    Args:
        send: takes a message for a lane; from any thread, and never waits on CONTROL.
        state_dir: the agent's state folder; what belongs to a root is kept in the root.
    """

    TYPES = (
        messages.Open, messages.Claim, messages.Manage, messages.Resume, messages.ForgetFolders,
        messages.Sweep, messages.Forget, messages.Lookup, messages.List_, messages.Digests,
        messages.Signature, messages.Fetch, messages.Cancel, messages.Put, messages.PutPart,
        messages.MakeLink, messages.MakeDirectory, messages.SetMode, messages.Remove,
    )  # fmt: skip

    def __init__(self, send: Send, state_dir: str) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._roots: Dict[int, _Opened] = {}
        self._aside = Worker("files: large copies")
        self.sweeps = Worker("files: sweeps")
        self._reads = Worker("files: reads")
        self._small_reads = Worker("files: small reads")
        self._cancelled: Deque[int] = deque(maxlen=MOST_CANCELLED)
        self.before_sweep: Callable[[int], None] = lambda root: None
        """Told of each root that is about to be swept."""
        self.swept_ahead: Callable[[Root, Managed], Optional[List[Entry]]] = lambda *_: None
        """What a sweep found that a run need not repeat (agent/roots/ahead.py)."""
        self._settling = Settling()
        self._ledgers = Settling(ledger.QUIET, ledger.PATIENCE, "ledgers")

    def handle(self, message: messages.Message) -> None:
        """Does what one message asks for."""
        if isinstance(
            message,
            (
                messages.Put,
                messages.MakeLink,
                messages.MakeDirectory,
                messages.SetMode,
                messages.Remove,
            ),
        ):
            opened = self._roots.get(message.root)
            if opened is None:
                why = "its folder was not opened"
                self._send(
                    messages.Refused(message.seq, message.root, message.path, "path", why, None),
                    frames.CONTROL,
                )
            else:
                opened.changes.change(message)
        elif isinstance(message, messages.PutPart):
            opened = self._roots.get(message.root)
            if opened is not None:  # else its Put was refused
                opened.changes.part(message)
        else:
            self._request(message)

    def barrier(self, root: int, after: int, digest: str, force: bool, then: Then) -> None:
        """Calls `then("", [])` when a run may start: every change up to `after` is answered and
        none of them refused, the managed set is as `digest` says ("": it is not known there,
        while answers are on their way), and a sweep finds it so on the disk. Else `then(why,
        entries)`, with the managed paths that differ and what is there. `force`: it starts when
        the changes are answered, whatever there is.

        Never blocks. `then` is called once, from any thread; after `close`, or another Open of
        that root, with a reason.
        """
        opened = self._roots.get(root)
        if opened is None:
            then("its folder was not opened", [])
            return
        task = partial(self._sweep_aside, opened, after, digest, force, then)
        try:
            if opened.changes.order.after_all(after, task):
                return
        except OverflowError as error:
            then(str(error), [])
            return
        task()

    def changes(self, root: int) -> Tuple[Root, Changes]:
        """An open root, and its changes.

        Raises:
            Failure: it was not opened.
        """
        opened = self._opened(root)
        return opened.root, opened.changes

    def landing(self, root: int) -> Tuple[Root, Managed, Landing]:
        """An open root, with what changes it.

        Raises:
            Failure: it was not opened.
        """
        opened = self._opened(root)
        return opened.root, opened.managed, opened.changes.landing

    def aside(self, task: Callable[[], None]) -> None:
        """Does something on the thread of large copies, in the order of asking."""
        self._aside.submit(task)

    def place(self, root: int) -> Tuple[Root, Managed]:
        """An open root and its managed set.

        Raises:
            Failure: it was not opened.
        """
        opened = self._opened(root)
        return opened.root, opened.managed

    def folder(self, root: int) -> str:
        """The absolute path of an open root.

        Raises:
            Failure: it was not opened.
        """
        return self._opened(root).root.name

    def close(self) -> None:
        """The link is over. Nothing half-done stays; runs that wait are told."""
        with self._lock:
            closing, self._roots = list(self._roots.values()), {}
        self._aside.close()
        self._reads.close()
        self._small_reads.close()
        decisions = self.sweeps.close()
        self._settling.close()
        self._ledgers.close()
        for opened in closing:
            self._end(opened)
        for decide in decisions:
            decide()  # no root is open any more: that is what it says

    # --- requests

    def _request(self, message: messages.Message) -> None:
        """Answers a request; what takes long (reading files) on a thread of its own."""
        if isinstance(message, messages.Cancel):
            self._cancelled.append(message.id)
            return
        worker = None
        if isinstance(message, messages.Signature):
            worker = self._reads
        elif isinstance(message, messages.Fetch):
            small = 0 <= message.length <= SMALL_READ
            worker = self._small_reads if small else self._reads
        if worker is None or not worker.submit(partial(self._answer_it, message)):
            self._answer_it(message)

    def _answer_it(self, message: messages.Message) -> None:
        try:
            self._answer(message)
        except LinkClosed:
            raise
        except Exception as error:  # noqa: BLE001 - an error of ours is answered, too
            fail = failure.answer(message, error, "a file cannot be read there")
            self._send(fail, frames.CONTROL)

    def _answer(self, message: messages.Message) -> None:
        if isinstance(message, messages.Open):
            self._open(message)
        elif isinstance(message, messages.Claim):
            self._opened(message.root).root.claim(message.marker, message.owner)
            self._send(messages.Done(message.id), frames.CONTROL)
        elif isinstance(message, messages.Manage):
            self._manage(message)
        elif isinstance(message, messages.Resume):
            self._resume(message)
        elif isinstance(message, messages.ForgetFolders):
            self._opened(message.root).managed.forget_folders(message.folders)
        elif isinstance(message, messages.Sweep):
            self._sweep(message.id, self._opened(message.root))
        elif isinstance(message, messages.Forget):
            opened = self._opened(message.root)
            opened.managed.forget(message.paths)
            opened.changes.looked_at(message.paths)
        elif isinstance(message, messages.Lookup):
            opened = self._opened(message.root)
            opened.content.lookup(message)
            opened.changes.looked_at(message.paths)
        elif isinstance(message, messages.List_):
            self._opened(message.root).content.list(message)
        elif isinstance(message, messages.Digests):
            opened = self._opened(message.root)
            opened.content.digests(message)
            opened.changes.looked_at(message.paths)
        elif isinstance(message, messages.Signature):
            self._opened(message.root).content.signature(message)
        elif isinstance(message, messages.Fetch):
            self._opened(message.root).content.fetch(message, lambda: message.id in self._cancelled)

    def _open(self, message: messages.Open) -> None:
        root = Root(message.root, expand(message.path))
        answer = root.open(message.id)
        managed = Managed(lambda: self._ledgers.changed(message.root, opened.ledger.save))
        changes = Changes(root, managed, self._send, self._aside, self._settling)
        content = Content(root, self._send)
        opened = _Opened(root, managed, Ledger(root, managed), changes, content)
        with self._lock:
            before = self._roots.get(message.root)
            if before is None and len(self._roots) >= MOST_ROOTS:
                raise Failure("path", "%d folders are open already" % MOST_ROOTS)
            self._roots[message.root] = opened
        if before is not None:
            self._end(before)
        self._send(answer, frames.CONTROL)

    def _opened(self, root: int) -> _Opened:
        opened = self._roots.get(root)
        if opened is None:
            raise Failure("missing", "folder %d was not opened" % root)
        return opened

    def _manage(self, message: messages.Manage) -> None:
        opened = self._opened(message.root)
        entries = identities.unpack(message.body)
        if message.first:
            opened.managed.replace()
        opened.managed.adopt(entries)
        opened.changes.looked_at([path for path, _ in entries])
        if message.last:
            self._sweep(message.id, opened)

    def _resume(self, message: messages.Resume) -> None:
        opened = self._opened(message.root)
        opened.ledger.load(message.marker)
        if opened.managed.digest == message.digest:
            self._sweep(message.id, opened)
            return
        folders = [(path, folder.total) for path, folder in opened.managed.held()]
        for last, packed in identities.pack_folders(folders):
            self._send(messages.Remembered(message.id, last, packed), frames.CONTROL)

    def _sweep(self, id: int, opened: _Opened) -> None:
        self.before_sweep(opened.root.number)
        managed = opened.managed
        before = managed.digest
        differing = managed.sweep(opened.root)
        opened.root.check_whole()
        # With the lock held, as answers are sent: what was seen before a change is told before it.
        with managed.lock:
            count, digest = managed.count, managed.digest
            if digest != before:
                differing = managed.look_again(opened.root, [path for path, _ in differing])
            for last, packed in identities.pack_parts(differing):
                self._send(messages.Swept(id, last, count, digest, packed), frames.CONTROL)

    # --- the barrier

    def _sweep_aside(
        self, opened: _Opened, after: int, digest: str, force: bool, then: Then
    ) -> None:
        """The changes are answered (or never will be): the rest is decided on its own thread."""
        if force and self._is_open(opened):
            then("", [])
        elif not self.sweeps.submit(partial(self._decide, opened, after, digest, then)):
            then("the connection to the sidecar is over", [])

    def _decide(self, opened: _Opened, after: int, digest: str, then: Then) -> None:
        if not self._is_open(opened):
            then("its folder was closed, or opened again", [])
            return
        refused = opened.changes.open_refusal(after)
        if refused:
            then(refused, [])
            return
        try:
            differing = self.swept_ahead(opened.root, opened.managed)
            if differing is None:
                differing = opened.managed.sweep(opened.root)
            opened.root.check_whole()
        except (OSError, Refusal, Failure) as error:
            then("%s cannot be looked at: %s" % (opened.root.name, error), [])
            return
        why = ""
        if differing:
            why = "%d managed %s there" % (
                len(differing),
                "file is not as it was" if len(differing) == 1 else "files are not as they were",
            )
        elif digest and not opened.managed.is_known_as(digest):
            why = (
                "nothing was changed there, but the sidecar here and its agent there do not hold "
                "the same list of files"
            )
        then(why, differing[:MOST_TOLD])

    def _is_open(self, opened: _Opened) -> bool:
        return self._roots.get(opened.root.number) is opened

    @staticmethod
    def _end(opened: _Opened) -> None:
        opened.changes.close()
        opened.ledger.save(last=True)
        for task in opened.changes.order.abandon():
            task()
