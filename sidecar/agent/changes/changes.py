"""The changes of one root: when each is made, and that each is answered once.

What takes time (unfolding, copying, hashing) works on a staging file, and holds up nobody
(incoming.py); then the change is made with the root's lock held (landing.py). A change that names
one before it, which is still on its way, waits for that one, and keeps no thread.
"""

import sys
import time
import traceback
from collections import OrderedDict, deque
from functools import partial
from typing import Callable, Collection, Deque, Dict, Optional, Sequence, Tuple, Union

from sidecar.agent.changes.durable import Settling, sync_file_system
from sidecar.agent.changes.incoming import Incoming
from sidecar.agent.changes.landing import Landing
from sidecar.agent.changes.order import Order, Outcome, Task
from sidecar.agent.failure import Failure, Refusal, explain
from sidecar.agent.outbox import LinkClosed
from sidecar.agent.roots.content import Send
from sidecar.agent.roots.managed import Managed
from sidecar.agent.roots.root import Root
from sidecar.agent.worker import Worker
from sidecar.core import frames, messages, paths
from sidecar.core.identity import Identity

ASIDE = 8 << 20
"""Puts of one frame whose file is larger (a small delta of a large file) are made on a thread of
their own: the copy takes about 0.5 ms a megabyte, and the saves behind it would wait."""

MOST_STREAMS = 1024
"""Puts whose streams may be open at once, each with up to three descriptors."""

MOST_REFUSALS = 100000

KEPT = ("aborted", "differs", "follows")
"""Refusals after which the same content, or one that begins like it, may come again: what arrived
of it is kept, if it is much."""

Change = Union[
    messages.Put, messages.MakeLink, messages.MakeDirectory, messages.SetMode, messages.Remove
]
Expecting = Union[messages.Put, messages.MakeLink, messages.SetMode, messages.Remove]

Landed = Tuple[int, str, Optional[Identity]]
"""The number and the path of a change that was made, and what is there now."""


class Changes:
    """Changes of one root, from any thread; each is answered once, by Applied or Refused."""

    def __init__(
        self, root: Root, managed: Managed, send: Send, aside: Worker, settling: Settling
    ) -> None:
        self.order = Order()
        self._root, self._managed, self._send = root, managed, send
        self._aside, self._settling = aside, settling
        self._lock = managed.lock
        self._streams: Dict[int, Incoming] = {}
        self._ready: Deque[Task] = deque()
        self._refusals: OrderedDict[str, Tuple[int, str]] = OrderedDict()
        self.landing = Landing(root, managed)
        self._durable = 0

    # --- from the link

    def change(self, change: Change) -> None:
        """Makes a change, or begins to."""
        self._attempt(change, lambda: self._begin(change))
        self._run_ready()

    def part(self, part: messages.PutPart) -> None:
        """Goes on with a Put."""
        with self._lock:
            incoming = self._streams.get(part.seq)
        if incoming is None:
            self._part_of_nothing(part)
            return
        self._attempt(incoming.put, lambda: self._take(incoming, part))
        self._run_ready()

    def looked_at(self, names: Collection[str]) -> None:
        """The laptop has dealt with these paths after what it was told of them; what was refused
        there does not keep runs back any more."""
        with self._lock:
            if self._refusals:
                for path in names:
                    self._refusals.pop(path, None)

    def open_refusal(self, upto: int) -> str:
        """The first refused change, up to that number, that nothing has followed; "" for none."""
        with self._lock:
            for path, (seq, why) in self._refusals.items():
                if seq <= upto:
                    return "%s could not be written: %s" % (path, why)
            return ""

    def close(self) -> None:
        """Ends what is half done. Nothing of it was visible."""
        with self._lock:
            streams = list(self._streams.values())
            self._streams.clear()
        for incoming in streams:
            with incoming.lock:
                incoming.discard(keep=True)
        self.landing.close()

    def _part_of_nothing(self, part: messages.PutPart) -> None:
        """The rest of a stream that was refused, as a rule, and was on its way."""
        with self._lock:
            if self.order.is_answered(part.seq) or not self.order.acceptable(part.seq):
                return
            self._ready.extend(self.order.answer(part.seq, Outcome("", None, "aborted")))
            why = "its beginning never came"
            refused = messages.Refused(part.seq, part.root, "", "aborted", why, None)
            self._send(refused, frames.CONTROL)
        self._run_ready()

    # --- one change

    def _attempt(self, change: Change, step: Task) -> None:
        """Takes a step of a change, and refuses the change where that fails."""
        try:
            step()
        except Refusal as refusal:
            self._refuse(change, refusal.code, refusal.why, refusal.have)
        except paths.PathError as error:
            self._refuse(change, "path", str(error), None)
        except Failure as failure:
            self._refuse(change, "path", failure.what, None)
        except OSError as error:
            code, why = explain(error)
            self._refuse(change, code, why, None)
        except OverflowError:
            self._refuse(change, "damaged", "a number is beyond what a file can have", None)
        except LinkClosed:
            raise
        except Exception as error:  # noqa: BLE001 - an error of ours is answered, too
            traceback.print_exc(file=sys.stderr)
            self._refuse(change, "aborted", "an error of the sidecar: %r" % (error,), None)

    def _begin(self, change: Change) -> None:
        if not self.order.acceptable(change.seq):
            raise Refusal("aborted", "its number %d is out of turn" % change.seq)
        incoming: Optional[Incoming] = None
        if isinstance(change, messages.Put):
            incoming = Incoming(change)
        else:
            paths.check(change.path)
        with self._lock:
            if change.seq in self._streams or self.order.is_answered(change.seq):
                return  # told twice
            if incoming is not None:
                if len(self._streams) >= MOST_STREAMS:
                    raise Refusal("aborted", "too many files arrive at once")
                self._streams[change.seq] = incoming
        make = partial(self._make, change, incoming)
        before = 0 if isinstance(change, messages.MakeDirectory) else change.expect.seq
        if before:
            if not 0 < before < change.seq:
                raise Refusal("damaged", "it expects change %d, which is not before it" % before)
            if self.order.after(before, partial(self._attempt, change, make)):
                return
        make()

    def _make(self, change: Change, incoming: Optional[Incoming]) -> None:
        done = partial(self._applied, change)
        if incoming is not None:
            put = incoming.put
            start = partial(self._start, incoming)
            if (
                put.last
                and put.size > ASIDE
                and self._aside.submit(partial(self._make_aside, put, start))
            ):
                return
            start()
        elif isinstance(change, messages.MakeLink):
            self.landing.link(change, self._expected(change), done)
        elif isinstance(change, messages.MakeDirectory):
            self.landing.directory(change, done)
        elif isinstance(change, messages.SetMode):
            self.landing.mode(change, self._expected(change), done)
        elif isinstance(change, messages.Remove):
            self.landing.remove(change, self._expected(change), done)

    def _make_aside(self, put: messages.Put, start: Task) -> None:
        self._attempt(put, start)
        self._run_ready()

    # --- streams

    def _start(self, incoming: Incoming) -> None:
        put = incoming.put
        with incoming.lock:
            if incoming.over:
                return
            expected = self._expected(put)
            base = self.landing.accept(incoming.parts, expected, put.expect.digest, put)
            if base is not None and base != expected:
                done = partial(self._applied, put)
                if self.landing.is_there_already(incoming, base, done):
                    return
            incoming.begin(self._root, self.landing.staging(), base)
            incoming.started = True
            if put.last:
                self._land(incoming)
                return
            for part in incoming.held():
                self._go_on(incoming, part)

    def _take(self, incoming: Incoming, part: messages.PutPart) -> None:
        with incoming.lock:
            if incoming.over:
                return
            if incoming.started:
                self._go_on(incoming, part)
            else:
                incoming.hold(part)

    def _go_on(self, incoming: Incoming, part: messages.PutPart) -> None:
        incoming.take(part)
        if part.last:
            self._land(incoming)

    def _land(self, incoming: Incoming) -> None:
        self.landing.file(incoming, partial(self._applied, incoming.put))

    # --- what is expected, and what is there

    def _expected(self, change: Expecting) -> Optional[Identity]:
        """What must be at the path. For a change too long ago to be remembered: nothing, so that
        only equal content will do."""
        before = change.expect.seq
        if not before:
            return change.expect.identity
        outcome = self.order.outcome(before)
        if outcome is None:
            return None
        if outcome.path != change.path:
            raise Refusal("damaged", "it expects a change of %s" % outcome.path)
        if outcome.refused:
            raise Refusal("follows", "the change before it was refused")
        return outcome.identity

    def _applied(self, change: Change, identity: Optional[Identity]) -> None:
        """With the lock held: the set, the order and the answers agree on what came when."""
        self._managed.answered(change.path, identity)
        self._refusals.pop(change.path, None)
        self._answer(change, Outcome(change.path, identity))
        self._send(messages.Applied(change.seq, change.root, change.path, identity), frames.CONTROL)
        self._settling.changed(self._root.number, self._settled)

    def together(self, land: Callable[[], Tuple[Sequence[Landed], messages.Message]]) -> None:
        """Makes several changes in one go.

        Args:
            land: makes them, with the lock held; returns what was made, and the answer to it.
        """
        with self._lock:
            landed, answer = land()
            for seq, path, identity in landed:
                self._managed.answered(path, identity)
                self._refusals.pop(path, None)
                self._ready.extend(self.order.answer(seq, Outcome(path, identity)))
            if landed:
                self._send(answer, frames.CONTROL)
                self._settling.changed(self._root.number, self._settled)
        self._run_ready()

    def _refuse(self, change: Change, code: str, why: str, have: Optional[Identity]) -> None:
        with self._lock:
            incoming = self._streams.get(change.seq)
            if self.order.acceptable(change.seq):
                if self.order.is_answered(change.seq):
                    return
                self._answer(change, Outcome(change.path, None, code))
            self._refusals.pop(change.path, None)
            self._refusals[change.path] = (change.seq, why)
            if len(self._refusals) > MOST_REFUSALS:
                self._refusals.popitem(last=False)
            self._send(
                messages.Refused(change.seq, change.root, change.path, code, why, have),
                frames.CONTROL,
            )
        if incoming is not None:
            with incoming.lock:
                incoming.discard(keep=code in KEPT)

    def _answer(self, change: Change, outcome: Outcome) -> None:
        self._streams.pop(change.seq, None)
        self._ready.extend(self.order.answer(change.seq, outcome))

    def _run_ready(self) -> None:
        """Does what has waited for answers just given. Never with the lock held."""
        while self._ready:
            try:
                task = self._ready.popleft()
            except IndexError:
                return  # another thread was quicker
            task()

    # --- from visible to durable

    def _settled(self) -> None:
        upto = self.order.all_upto
        sync_file_system(self._root.top)
        if upto > self._durable:
            self._durable = upto
            self._send(messages.Durable(self._root.number, upto), frames.CONTROL)
        self.landing.prune(time.time())
