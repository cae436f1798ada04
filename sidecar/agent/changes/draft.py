"""Drafts: a large file's new content, put together while the laptop still hashes it.

Copying 256 MB takes this machine 70 to 240 ms, hashing it the laptop about as long, and the delta
is known before both. So it comes first, in a message of its own; the Put that follows gives it its
place, or it is thrown away. It is never visible before, and is checked as any other delta is.
"""

import os
import threading
from functools import partial
from typing import Any, Optional

from sidecar.agent.changes.assembly import Assembly
from sidecar.agent.changes.staging import Staged, Staging
from sidecar.agent.failure import Failure, Refusal, explain
from sidecar.agent.roots.root import Descriptor, Root
from sidecar.core import identity as identities
from sidecar.core import messages, paths

MOST = 2
"""Drafts of one root that no Put has come for; the oldest goes first."""


class Draft:
    """One draft. Whoever takes it over runs on the thread that `begin` ran on, behind it.

    Attributes:
        base: what the delta is against.
        problem: why there is none.
    """

    def __init__(self, message: messages.Draft) -> None:
        self._message: Optional[messages.Draft] = message
        self.base = message.old
        self.old: Optional[Descriptor] = None
        self.staged: Optional[Staged] = None
        self.assembly: Optional[Assembly] = None
        self.problem: Optional[Refusal] = None
        self._lock = threading.Lock()  # its descriptors are not closed while they are copied

    def begin(self, root: Root, staging: Staging) -> None:
        with self._lock:
            message, self._message = self._message, None
            if message is None:
                return  # thrown away before its turn came
            try:
                self._begin(message, root, staging)
            except Refusal as refusal:
                self.problem = refusal
            except Failure as failure:
                self.problem = Refusal("path", failure.what)
            except OSError as error:
                self.problem = Refusal(*explain(error))

    def _begin(self, message: messages.Draft, root: Root, staging: Staging) -> None:
        old = Descriptor(root.open_file(paths.check(message.path)))
        have = identities.from_stat(os.fstat(old.number))
        if have != message.old:
            raise Refusal("differs", "it was changed there a moment ago", have)
        self.old, self.staged = old, staging.new(message.executable)
        self.assembly = Assembly(
            self.staged.descriptor, old.number, have.size, message.size, message.codec
        )
        self.assembly.feed(message.body)

    def discard(self) -> None:
        """Throws it away; waits for a copy that is being made."""
        with self._lock:
            self._message = None
            if self.staged is not None:
                self.staged.discard()
            self.old = self.assembly = None


class Drafts:
    """Takes Draft messages, in the order in which they and their Puts come."""

    def __init__(self, files: Any) -> None:
        self._files = files

    def handle(self, message: messages.Draft) -> None:
        try:
            paths.check(message.path)
            root, _, landing = self._files.landing(message.root)
            staging = landing.staging()
        except (Failure, Refusal, OSError, paths.PathError):
            return  # the Put is told the same
        draft = Draft(message)
        drafts = staging.drafts
        replaced = drafts.pop(message.path, None)
        drafts[message.path] = draft
        thrown_away = [replaced] if replaced is not None else []
        thrown_away += [drafts.pop(path) for path in list(drafts)[: max(0, len(drafts) - MOST)]]
        for one in thrown_away:
            self._files.aside(one.discard)
        self._files.aside(partial(draft.begin, root, staging))
