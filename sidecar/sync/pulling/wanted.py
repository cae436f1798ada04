"""What is to come here, and on whose word."""

from __future__ import annotations

from typing import NamedTuple

from sidecar.core.identity import Identity
from sidecar.core.tree import Node


class Decided(NamedTuple):
    """A person decided for theirs (a resolved conflict, `--prefer remote`).

    Attributes:
        content: what was seen there then; nothing else is taken for it.
        keep: what makes way goes to the trash; if not, a person said that it need not.
        why: what the trash says of it.
        into: another path here, beside what is here: then both sides agree on nothing by it.
    """

    content: Node
    keep: bool = True
    why: str = "replaced by theirs"
    into: str = ""


class Wanted(NamedTuple):
    """One path of the remote's.

    Attributes:
        there: what is to come, a file or a link.
        here, node: what must be in its place when it lands; None: nothing.
        asked: a person asked for it.
        named: by just this path, so that what may run by itself comes, too.
        anew: not as a log's tail.
        tries: how often it is tried again at once.
    """

    there: Identity
    here: Identity | None
    node: Node | None
    asked: bool = False
    named: bool = False
    anew: bool = False
    tries: int = 0
    decided: Decided | None = None

    def target(self, path: str) -> str:
        """Where it goes here."""
        return (self.decided.into if self.decided else "") or path
