"""A change on its way: sent, or being sent, and not answered yet."""

from __future__ import annotations

import asyncio

from sidecar.sync.delta.content import Content


class Change:
    """One change of one path, by its number in the order of sending.

    Attributes:
        node: what will be there; None: nothing.
        local: the identity here of what is sent. Unknown, if another write may hide behind the
            same times: then the next look reads again.
        answered: whether it was made; cancelled where the connection went away.
        taken_back: the file changed while it went up, so that the refusal is our own doing.
        called_off: a person called its upload off.
    """

    __slots__ = (
        "answered", "bytes_sent", "called_off", "local", "node", "path", "seq", "taken_back",
    )  # fmt: skip

    def __init__(self, seq: int, path: str, content: Content | None) -> None:
        self.seq, self.path = seq, path
        self.node = content.node if content else None
        self.local = content.identity if content and not content.fresh else None
        self.bytes_sent = 0
        self.taken_back = self.called_off = False
        self.answered: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
