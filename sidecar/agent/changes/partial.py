"""Going on with a transfer that broke off: what has arrived is taken up again, and told.

It is told as the digests of its leaves, read from the disk just then: so nothing has to be believed
of what lies there since, whoever was killed while writing it.
"""

import os
from typing import Any

from sidecar.agent.changes.staging import Held, Staged, Staging
from sidecar.agent.failure import Failure, Refusal, explain
from sidecar.agent.roots.content import Send
from sidecar.core import delta, frames, messages, paths

MOST_LEAVES = 40000
"""Leaves that are told, which is 40 GB of a content: 800 KB of a frame's 1 MiB."""

MOST_HELD = 8
"""Files taken up that no Put has come for."""


class Partials:
    """Answers Partial. On a thread of its own: reading takes a second a gigabyte."""

    def __init__(self, send: Send, files: Any) -> None:
        self._send, self._files = send, files

    def handle(self, message: messages.Partial) -> None:
        try:
            paths.check(message.path)
            _, _, landing = self._files.landing(message.root)
            leaves = self._leaves(landing.staging(), message)
        except (Failure, Refusal, paths.PathError):
            leaves = b""  # the Put that follows is told what is wrong
        except OSError as error:
            code, why = explain(error)
            what = "what arrived of a file before cannot be read there"
            self._send(messages.Fail(message.id, code, what, why), frames.CONTROL)
            return
        self._send(messages.PartialLeaves(message.id, leaves), frames.CONTROL)

    @staticmethod
    def _leaves(staging: Staging, message: messages.Partial) -> bytes:
        before = staging.held.pop(message.path, None)
        if before is not None:
            before.staged.discard(keep=True)
        staged = staging.take(message.path, message.executable)
        if staged is None:
            return b""
        leaves = _whole_leaves(staged)
        for path in list(staging.held)[: max(0, len(staging.held) + 1 - MOST_HELD)]:
            held = staging.held.pop(path, None)
            if held is not None:
                held.staged.discard(keep=True)
        staging.held[message.path] = Held(staged, leaves)
        return leaves


def _whole_leaves(staged: Staged) -> bytes:
    count = min(os.fstat(staged.descriptor).st_size // delta.LEAF, MOST_LEAVES)
    return b"".join(
        delta.leaf_digest(os.pread(staged.descriptor, delta.LEAF, number * delta.LEAF))
        for number in range(count)
    )
