"""The changes of one root: each is made whole, if what it expects is there, and is answered.

A change is made in three steps. What takes time (unfolding, copying, hashing) works on a staging
file, and holds up nobody. Then, with the root's lock held: a last look whether the path still is
what was expected; a copy of the old content to the trash; the rename; the removal of old bytecode;
the entry in the managed set; the answer. Where anything is not as it must be, nothing is touched
and the answer is a refusal.

Between the last look and the rename are some microseconds in which a *rename* by somebody else
over the same path would be lost; what is written *into* the old file then is in the trash's copy.
A path where nothing is expected is taken by a link, which never replaces anything.
"""

import os
import stat
import sys
import time
import traceback
from collections import OrderedDict, deque
from functools import partial
from typing import Collection, ContextManager, Deque, Dict, Optional, Tuple, Union

from sidecar.agent import bytecode, permissions
from sidecar.agent.content import Send, digest_at
from sidecar.agent.durable import Settling, sync_file_system
from sidecar.agent.failure import Failure, Refusal, explain
from sidecar.agent.folder import encode
from sidecar.agent.incoming import Incoming
from sidecar.agent.managed import Managed
from sidecar.agent.order import Order, Outcome, Task
from sidecar.agent.outbox import LinkClosed
from sidecar.agent.roots import DIRECTORY, Descriptor, Root, lstat, open_file
from sidecar.agent.staging import Staging
from sidecar.agent.trash import Trash
from sidecar.agent.worker import Worker
from sidecar.core import frames, messages, paths
from sidecar.core import identity as identities
from sidecar.core.identity import DIRECTORY as FOLDER
from sidecar.core.identity import FILE, SYMLINK, Identity

ASIDE = 8 << 20
"""Puts of one frame whose file is larger (a small delta of a large file) are made on a thread of
their own: the copy takes about 0.5 ms a megabyte, and the saves behind it would wait."""

MOST_STREAMS = 1024
"""Puts whose streams may be open at once, each with up to three descriptors."""

MOST_REFUSALS = 100000

Change = Union[
    messages.Put, messages.MakeLink, messages.MakeDirectory, messages.SetMode, messages.Remove
]
Expecting = Union[messages.Put, messages.MakeLink, messages.SetMode, messages.Remove]


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
        self._staging: Optional[Staging] = None
        self._trash: Optional[Trash] = None
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
                incoming.discard()
        with self._lock:
            if self._staging is not None:
                self._staging.close()
                self._staging = None

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
            self._make_link(change)
        elif isinstance(change, messages.MakeDirectory):
            self._make_directory(change)
        elif isinstance(change, messages.SetMode):
            self._set_mode(change)
        elif isinstance(change, messages.Remove):
            self._remove(change)

    def _make_aside(self, put: messages.Put, start: Task) -> None:
        self._attempt(put, start)
        self._run_ready()

    # --- files

    def _start(self, incoming: Incoming) -> None:
        put = incoming.put
        with incoming.lock:
            if incoming.over:
                return
            self._root.check()
            base = self._accept(put, incoming.parts, self._expected(put), put.digest)
            if base is not None and self._is_there_already(put, incoming, base):
                return
            incoming.begin(self._root, self._staging_area(), base)
            incoming.started = True
            if put.last:
                self._finish(incoming)
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
            self._finish(incoming)

    def _finish(self, incoming: Incoming) -> None:
        put, parts = incoming.put, incoming.parts
        staged = incoming.finish()
        with self._lock, self._root_checked().folder(parts[:-1], make=True) as folder:
            name = encode(parts[-1])
            old = lstat(folder, name)
            self._check_still(old, incoming.base)
            incoming.check_old()
            permissions.dress(
                staged.descriptor,
                old,
                incoming.old.number if incoming.old is not None else -1,
                os.fstat(folder),
                put.executable,
                put.mtime_ns,
            )
            with self._copy_kept(folder, parts, old):
                try:
                    landed = staged.land(folder, name, paths.parent(put.path), old is not None)
                except FileExistsError:
                    raise self._differs(lstat(folder, name)) from None
            if bytecode.is_source(parts[-1]):
                landed = self._drop_bytecode(folder, parts[-1], staged.descriptor, landed)
            incoming.discard()
            self._applied(put, identities.from_stat(landed))

    def _is_there_already(self, put: messages.Put, incoming: Incoming, base: Identity) -> bool:
        """Whether the file has the announced content (a change whose answer was lost, or the
        same edit on both sides). Then its mode and mtime are set, and that is all."""
        expected = self._expected(put)
        if base == expected or base.kind != FILE or base.size != put.size:
            return False
        digest, identity = digest_at(self._root, incoming.parts)
        if not put.digest or digest != put.digest or identity != base:
            return False
        self._dress_in_place(put, incoming.parts, base)
        return True

    def _set_mode(self, change: messages.SetMode) -> None:
        parts = paths.check(change.path)
        self._root.check()
        base = self._accept(change, parts, self._expected(change))
        if base is None or base.kind != FILE:
            raise self._differs(self._root.lstat(parts))
        self._dress_in_place(change, parts, base)

    def _dress_in_place(
        self,
        change: Union[messages.Put, messages.SetMode],
        parts: Tuple[str, ...],
        base: Identity,
    ) -> None:
        with self._lock, self._root_checked().folder(parts[:-1]) as folder:
            self._check_still(lstat(folder, encode(parts[-1])), base)
            file = Descriptor(open_file(folder, encode(parts[-1])))
            mode = permissions.with_executable(base.mode, change.executable)
            if mode != base.mode:
                os.fchmod(file.number, mode)
            now = os.fstat(file.number)
            if now.st_mtime_ns != change.mtime_ns:
                os.utime(file.number, ns=(now.st_atime_ns, change.mtime_ns))
                now = os.fstat(file.number)
            if bytecode.is_source(parts[-1]):
                now = self._drop_bytecode(folder, parts[-1], file.number, now)
            self._applied(change, identities.from_stat(now))

    # --- links, folders, removals

    def _make_link(self, change: messages.MakeLink) -> None:
        parts = paths.check(change.path)
        if not paths.link_stays_inside(change.path, change.target):
            raise Refusal("path", "its target %r leads out of the project" % change.target)
        self._root.check()
        base = self._accept(change, parts, self._expected(change))
        target, name = encode(change.target), encode(parts[-1])
        with self._lock, self._root_checked().folder(parts[:-1], make=True) as folder:
            old = lstat(folder, name)
            self._check_still(old, base)
            if old is None:
                try:
                    os.symlink(target, name, dir_fd=folder)
                except FileExistsError:
                    raise self._differs(lstat(folder, name)) from None
            else:
                with self._copy_kept(folder, parts, old):
                    self._staging_area().land_link(target, folder, name)
            made = lstat(folder, name)
            self._applied(change, identities.from_stat(made) if made else None)

    def _make_directory(self, change: messages.MakeDirectory) -> None:
        parts = paths.check(change.path)
        with self._lock, self._root_checked().folder(parts[:-1], make=True) as folder:
            name = encode(parts[-1])
            try:
                os.mkdir(name, dir_fd=folder)
            except FileExistsError:
                pass
            there = lstat(folder, name)
            if there is None or not stat.S_ISDIR(there.st_mode):
                raise self._differs(there)
            self._applied(change, identities.from_stat(there))

    def _remove(self, change: messages.Remove) -> None:
        parts = paths.check(change.path)
        self._root.check()
        expected = self._expected(change)
        if self._root.lstat(parts) is None:
            with self._lock:
                self._applied(change, None)  # gone already: nothing is left to do
            return
        if expected is not None and expected.kind == FOLDER:
            self._remove_directory(change, parts)
            return
        base = self._accept(change, parts, expected)
        with self._lock, self._root_checked().folder(parts[:-1]) as folder:
            old = lstat(folder, encode(parts[-1]))
            self._check_still(old, base)
            if old is None or base is None or base.kind not in (FILE, SYMLINK):
                raise self._differs(old)
            with self._copy_kept(folder, parts, old):
                os.unlink(encode(parts[-1]), dir_fd=folder)
            self._applied(change, None)

    def _remove_directory(self, change: messages.Remove, parts: Tuple[str, ...]) -> None:
        name = encode(parts[-1])
        with self._lock, self._root_checked().folder(parts[:-1]) as folder:
            there = lstat(folder, name)
            if there is None or not stat.S_ISDIR(there.st_mode):
                raise self._differs(there)
            inner = Descriptor(os.open(name, DIRECTORY, dir_fd=folder))
            if bytecode.only_bytecode(inner.number):
                bytecode.remove_cache(inner.number)
            left = os.listdir(inner.number)
            if left:
                why = "it still holds %s" % ", ".join(repr(one) for one in sorted(left)[:3])
                raise Refusal("differs", why, identities.from_stat(there))
            os.rmdir(name, dir_fd=folder)
            self._applied(change, None)

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

    def _accept(
        self,
        change: Expecting,
        parts: Tuple[str, ...],
        expected: Optional[Identity],
        result: str = "",
    ) -> Optional[Identity]:
        """What is there now, where the change may be made over it: what is expected; else the
        same content under another identity; else already the `result`. Reads what is there only
        where its identity leaves a doubt that its size does not settle.

        Raises:
            Refusal: "differs".
        """
        there = self._root.lstat(parts)
        have = identities.from_stat(there) if there is not None else None
        if (have is None or have.kind in (FILE, SYMLINK)) and have == expected:
            return have
        if have is not None and have.kind in (FILE, SYMLINK):
            good = set()
            if expected is None or (expected.kind, expected.size) == (have.kind, have.size):
                good.add(change.expect.digest)
            if isinstance(change, messages.Put) and change.size == have.size:
                good.add(result)
            good.discard("")
            if good:
                digest, identity = digest_at(self._root, parts)
                if digest in good and identity is not None:
                    return identity
        raise self._differs(there)

    def _check_still(self, there: Optional[os.stat_result], base: Optional[Identity]) -> None:
        have = identities.from_stat(there) if there is not None else None
        if have != base:
            raise self._differs(there)

    @staticmethod
    def _differs(there: Optional[os.stat_result]) -> Refusal:
        if there is None:
            return Refusal("differs", "it is gone there")
        have = identities.from_stat(there)
        words = {
            FILE: "it was changed there",
            FOLDER: "a folder is there",
            SYMLINK: "a symbolic link is there",
        }
        return Refusal("differs", words.get(have.kind, "something that is no file is there"), have)

    def _root_checked(self) -> Root:
        self._root.check()
        return self._root

    # --- around a change

    def _staging_area(self) -> Staging:
        with self._lock:
            if self._staging is None:
                self._staging = Staging(self._root)
            return self._staging

    def _copy_kept(
        self, folder: int, parts: Tuple[str, ...], old: Optional[os.stat_result]
    ) -> ContextManager[None]:
        """A copy of the old content in the trash, for what the block does; none if it fails."""
        if self._trash is None:
            self._trash = Trash(self._root)
        ours = old is not None and self._managed.get("/".join(parts)) == identities.from_stat(old)
        return self._trash.copy_kept(folder, parts, old, ours)

    @staticmethod
    def _drop_bytecode(
        folder: int, name: str, source: int, status: os.stat_result
    ) -> os.stat_result:
        """Removes the bytecode that Python would take for the source's; where that is not
        allowed, gives the source the next second, so that Python takes none of it. Returns what
        the source is then."""
        try:
            bytecode.drop(folder, name, status)
        except OSError:
            os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))
            return os.fstat(source)
        return status

    def _applied(self, change: Change, identity: Optional[Identity]) -> None:
        """With the lock held: the set, the order and the answers agree on what came when."""
        self._managed.answered(change.path, identity)
        self._refusals.pop(change.path, None)
        self._answer(change, Outcome(change.path, identity))
        self._send(messages.Applied(change.seq, change.root, change.path, identity), frames.CONTROL)
        self._settling.changed(self._root.number, self._settled)

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
                incoming.discard()

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
        if self._trash is not None:
            self._trash.prune(time.time())
