"""The end of what a program wrote to stderr: bounded, and safe to show."""

from __future__ import annotations

LIMIT = 8 << 10
"""Bytes kept. Enough for a traceback or a shell's complaint; a chatty program costs no memory."""


def escaped(data: bytes) -> str:
    """As text for people: control characters are shown, not obeyed; newlines and tabs stay.

    What comes from another machine may hold sequences that rewrite a terminal's screen.
    """
    text = data.decode("utf-8", "backslashreplace").replace("\r\n", "\n")
    return "".join(
        character if character in "\n\t" or character.isprintable() else _shown(character)
        for character in text
    )


def _shown(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


class LastWords:
    """Is fed whatever comes, keeps the last LIMIT bytes."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._lost = False

    def feed(self, data: bytes) -> None:
        self._kept += data
        if len(self._kept) > LIMIT:
            del self._kept[:-LIMIT]
            self._lost = True

    def text(self) -> str:
        """What was kept; "…" in front where there was more."""
        return ("…" if self._lost else "") + escaped(bytes(self._kept))
