"""Texts that are not here: debugpy on the remote is asked once for each, and what it said is kept
for the rest of the conversation. Editors ask anew whenever a frame is looked at.

Only files are kept, under debugpy's number for them. A cell of a notebook may be another text
under the same name the next time.
"""

from __future__ import annotations

from sidecar.debug import dap
from sidecar.debug.dap import Message

LIMIT = 16 << 20
"""Characters that are kept; the oldest text makes way."""

MIME = "text/x-python"
"""What editors colour a text by that has no file here."""


class Sources:
    """Those of one conversation."""

    def __init__(self) -> None:
        self._kept: dict[int, Message] = {}
        self._size = 0
        self._asked: dict[int, tuple[int, str]] = {}

    def answer(self, request: Message) -> Message | None:
        """The answer to a `source` request, where the text is here by now."""
        number, _ = _meant(request)
        body = self._kept.get(number)
        return None if body is None else dap.success(request["seq"], "source", body)

    def asked(self, request: Message) -> None:
        """The request goes to debugpy."""
        self._asked[request["seq"]] = _meant(request)

    def told(self, answer: Message) -> Message:
        """debugpy's answer, as the editor is to see it."""
        number, path = self._asked.pop(answer["request_seq"], (0, ""))
        body = answer.get("body") or {}
        if not answer["success"] or not isinstance(body.get("content"), str):
            return answer
        if path.endswith((".py", ".pyi")) or path.startswith("<"):
            body = {"mimeType": MIME, **body}
        if number and path.startswith("/") and len(body["content"]) <= LIMIT:
            self._keep(number, body)
        return {**answer, "body": body}

    def _keep(self, number: int, body: Message) -> None:
        self._kept[number] = body
        self._size = sum(len(one["content"]) for one in self._kept.values())
        while self._size > LIMIT:
            oldest = next(iter(self._kept))
            self._size -= len(self._kept.pop(oldest)["content"])


def _meant(request: Message) -> tuple[int, str]:
    """debugpy's number of a text, 0 for none, and its name there."""
    arguments = request.get("arguments") or {}
    source = arguments.get("source")
    source = source if isinstance(source, dict) else {}
    number = source.get("sourceReference") or arguments.get("sourceReference")
    path = source.get("path")
    return number if type(number) is int else 0, path if isinstance(path, str) else ""
