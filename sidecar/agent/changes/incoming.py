"""A Put whose stream is arriving: held back until its turn comes, then assembled part by part."""

import os
import threading
from typing import Any, List, Optional

from sidecar.agent.changes.assembly import Assembly
from sidecar.agent.changes.staging import Staged, Staging
from sidecar.agent.failure import Refusal
from sidecar.agent.roots.root import Descriptor, Root
from sidecar.core import delta, messages, paths
from sidecar.core import identity as identities
from sidecar.core.identity import Identity

MOST_HELD = 4 << 20
"""Bytes of a stream kept in memory while the change before it is not made yet. A stream that is
larger comes over the lane where the other one comes, and so behind it."""

WORTH_A_LOOK = 1 << 20
"""From this announced size on, the free space is looked at before the first byte is taken."""


RESUMABLE = 8 << 20
"""From this announced size on, what arrived is kept where the stream breaks off. At 50 Mbit/s it is
more than a second of sending."""


class Incoming:
    """One Put. Its parts come in order; `lock` is held while one is worked on."""

    def __init__(self, put: messages.Put) -> None:
        self.put = put
        self.parts = paths.check(put.path)
        self.lock = threading.Lock()
        self.base: Optional[Identity] = None
        """What was at the path when the stream began, as it was expected."""
        self.old: Optional[Descriptor] = None
        """The old content, open: what deltas are against, and whose mode and ACL are kept."""
        self.staged: Optional[Staged] = None
        self.assembly: Optional[Assembly] = None
        self.started = self.over = False
        self._held: List[messages.PutPart] = []
        self._held_bytes = 0

    def hold(self, part: messages.PutPart) -> None:
        """Keeps a part until the change before this one is made.

        Raises:
            Refusal: "aborted": too much would be kept.
        """
        self._held_bytes += len(part.body)
        if self._held_bytes > MOST_HELD:
            raise Refusal("aborted", "too much of it waits for the change before it")
        self._held.append(part)

    def held(self) -> List[messages.PutPart]:
        held, self._held = self._held, []
        return held

    def begin(self, root: Root, staging: Staging, base: Optional[Identity]) -> None:
        """Opens what is needed and takes the first bytes.

        Args:
            base: what is at the path now, and is expected.
        Raises:
            Refusal, OSError: it cannot be begun.
        """
        put = self.put
        if put.size < 0:
            raise Refusal("damaged", "a file of %d bytes" % put.size)
        self.base = base
        draft = staging.drafts.pop(put.path, None)
        if draft is not None and not put.draft:  # another content has come
            draft.discard()
        elif put.draft:
            self._take_over(draft)
            return
        if base is not None and base.kind == identities.FILE:
            self._open_old(root, base)
        if put.delta and self.old is None:
            raise Refusal("damaged", "a delta, but no file is there to apply it to")
        if put.size > WORTH_A_LOOK and not put.delta:
            self._look_for_room(root)
        leaves = self._stage(staging)
        assert self.staged is not None
        old = self.old.number if put.delta and self.old is not None else -1
        size = base.size if base is not None else 0
        self.assembly = Assembly(
            self.staged.descriptor, old, size, put.size, put.codec, put.start, leaves
        )
        self.assembly.feed(put.body)

    def take(self, part: messages.PutPart) -> None:
        assert self.assembly is not None
        if part.abort:
            raise Refusal("aborted", "it changed while it was read; a newer version follows")
        self.assembly.feed(part.body)

    def finish(self) -> Staged:
        """The stream is over. Returns the file, whole and compared, ready to land."""
        assert self.assembly is not None
        assert self.staged is not None
        self.check_old()  # rather than "damaged", which it then is as well
        self.assembly.finish(self.put.digest)
        return self.staged

    def check_old(self) -> None:
        """That what was copied from has been the same all the time."""
        if self.put.delta and self.old is not None:
            have = identities.from_stat(os.fstat(self.old.number))
            if have != self.base:
                raise Refusal("differs", "it was changed there while it was copied", have)

    def discard(self, keep: bool = False) -> None:
        """Ends it, on every way out.

        Args:
            keep: what arrived, where that is much, for another attempt.
        """
        self.over = True
        self._held.clear()
        if self.staged is not None:
            self.staged.discard(keep)
        self.old = self.assembly = None

    def _take_over(self, draft: Any) -> None:
        """Goes on with what a Draft has begun."""
        if draft is None or draft.base != self.base:
            raise Refusal("aborted", "its draft is gone")
        if draft.problem is not None:
            raise draft.problem
        self.old, self.staged, self.assembly = draft.old, draft.staged, draft.assembly

    def _stage(self, staging: Staging) -> bytes:
        """Has a file to write to: a new one, or the one that an earlier stream began. Returns the
        digests of the leaves that it has."""
        put = self.put
        held = staging.held.pop(put.path, None)
        if not put.start:
            if held is not None:  # another content
                held.staged.discard()
            self.staged = staging.new(put.executable)
            if not put.last and put.size >= RESUMABLE:
                self.staged.keep_for(put.path)
            return b""
        if held is None:
            raise Refusal("aborted", "what had arrived of it is gone")
        self.staged = held.staged
        count, rest = divmod(put.start, delta.LEAF)
        leaves = held.leaves[: count * delta.DIGEST_SIZE]
        if rest or len(leaves) < count * delta.DIGEST_SIZE:
            raise Refusal("damaged", "it does not go on where the part that arrived ends")
        os.ftruncate(self.staged.descriptor, put.start)
        return leaves

    def _open_old(self, root: Root, base: Identity) -> None:
        try:
            old = Descriptor(root.open_file(self.parts))
        except PermissionError:
            if self.put.delta:
                raise
            return  # it may be replaced without being read
        have = identities.from_stat(os.fstat(old.number))
        if have != base:
            raise Refusal("differs", "it was changed there a moment ago", have)
        self.old = old

    def _look_for_room(self, root: Root) -> None:
        disk = os.fstatvfs(root.top)
        free = disk.f_bavail * disk.f_frsize
        if self.put.size - self.put.start > free:
            raise Refusal(
                "disk",
                "it needs %d MB, and the disk has %d MB free" % (self.put.size >> 20, free >> 20),
            )
