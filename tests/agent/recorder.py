"""Stands where the outbox stands: keeps what a handler sends, and lets a test wait for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from sidecar.core import frames, messages

Kind = TypeVar("Kind")

PATIENCE = 20.0


class Recorder:
    """`send` may be called from any thread."""

    def __init__(self) -> None:
        self.sent: list[tuple[Any, int]] = []
        self._changed = threading.Condition()

    def send(self, message: messages.Message, lane: int = frames.CONTROL) -> None:
        with self._changed:
            self.sent.append((message, lane))
            self._changed.notify_all()

    @property
    def messages(self) -> list[Any]:
        with self._changed:
            return [message for message, _ in self.sent]

    def all(self, kind: type[Kind]) -> list[Kind]:
        return [message for message in self.messages if isinstance(message, kind)]

    def wait(self, kind: type[Kind], number: int | None = None) -> Kind:
        """The first message of that type (and id), when it comes."""

        def found() -> list[Any]:
            return [
                message
                for message, _ in self.sent
                if isinstance(message, kind) and number in (None, getattr(message, "id", None))
            ]

        self.until(lambda: bool(found()))
        return found()[0]

    def until(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, PATIENCE), self.sent[-5:]

    def bytes_of(self, number: int, channel: int) -> bytes:
        with self._changed:
            return b"".join(
                message.body
                for message, _ in self.sent
                if isinstance(message, messages.Data)
                and (message.id, message.channel) == (number, channel)
            )
