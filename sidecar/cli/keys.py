"""What is typed on a terminal while a job has it: all of it is the job's, but for a few words that
begin a line with `~`, as in ssh: `~d` leaves the job, `~~` is one `~`. Pure, fed as keys come."""

from __future__ import annotations

from typing import NamedTuple

ESCAPE = b"~"

DETACH = "detach"
SUSPEND = "suspend"
HELP = "help"

_WORDS = {b"d": DETACH, b"\x1a": SUSPEND, b"?": HELP}

HELP_TEXT = """\
~d   leave the job, which runs on
~^Z  suspend sidecar
~~   type a ~
~?   this"""


class Typed(NamedTuple):
    """`data` is the job's; `word` is what comes behind it, "" where nothing does, and `rest` was
    typed behind that."""

    data: bytes
    word: str
    rest: bytes


class Keys:
    """The state of what was typed: whether a line begins, and whether a `~` waits."""

    def __init__(self) -> None:
        self._begins = True
        self._escaped = False

    def feed(self, typed: bytes) -> Typed:
        """Takes keys, up to the first word; feed `rest` when that was done."""
        data = bytearray()
        for at in range(len(typed)):
            key = typed[at : at + 1]
            if self._escaped:
                self._escaped = False
                word = _WORDS.get(key, "")
                if word:
                    self._begins = True
                    return Typed(bytes(data), word, typed[at + 1 :])
                if key != ESCAPE:
                    data += ESCAPE
            elif self._begins and key == ESCAPE:
                self._escaped = True
                continue
            data += key
            self._begins = key in (b"\r", b"\n")
        return Typed(bytes(data), "", b"")
